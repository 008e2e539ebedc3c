#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mounts.h"

static const char text[] = "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
                           "22 21 0:1 /export /mnt/nas rw - nfs4 nas:/ rw\n"
                           "23 22 0:2 / /mnt/nas/inner rw - nfs4 nas:/inner rw\n"
                           "24 21 0:3 / /mnt/with\\040space\\134 rw - fuse f rw\n"
                           "25 21\n"
                           "\n"
                           "26 21 0:4 / relative rw - x y rw\n"
                           "27 21 0:5 / /broken\\04 rw - x y rw";

static void test_longest_prefix(void **state)
{
    static const struct {
        const char *path, *mount;
    } cases[] = {
        {"/", "/"},
        {"/srv/backups", "/"},
        {"/mnt", "/"},
        {"/mnt/nas", "/mnt/nas"},
        {"/mnt/nas/a/b", "/mnt/nas"},
        {"/mnt/nasty", "/"},
        {"/mnt/nas/inner/x", "/mnt/nas/inner"},
        {"/mnt/nas/inners", "/mnt/nas"},
        {"/mnt/with space\\/x", "/mnt/with space\\"},
        {"/broken\\04/x", "/broken\\04"},
        {"relative/x", "relative/x"},
        {"", ""},
    };
    (void)state;
    char copy[sizeof text];
    struct mounts mounts;
    memcpy(copy, text, sizeof text);
    mounts_parse(&mounts, copy);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(mounts_find(&mounts, cases[i].path), cases[i].mount);
    mounts_deinit(&mounts);
    assert_string_equal(mounts_find(&mounts, "/x"), "/x");
}

static void test_this_process(void **state)
{
    (void)state;
    struct mounts mounts;
    mounts_load(&mounts);
    assert_true(mounts.n > 0);
    assert_string_equal(mounts_find(&mounts, "/proc/self/stat"), "/proc");
    mounts_deinit(&mounts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_longest_prefix),
        cmocka_unit_test(test_this_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
