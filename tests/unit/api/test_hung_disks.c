#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hung_disks.h"

static void test_which_paths_are_meant(void **state)
{
    static const struct {
        const char *hung, *path;
        bool meant;
    } cases[] = {
        {"/mnt/nas", "/mnt/nas", true},
        {"/mnt/nas", "/mnt/nas/", true},
        {"/mnt/nas/", "/mnt/nas/a", true},
        {"/mnt/nas/a", "/mnt/nas", true},
        {"/mnt/nas", "/mnt/nas2", false},
        {"/mnt/nas2", "/mnt/nas", false},
        {"/mnt/nas/a", "/mnt/nas/b", false},
        {"/mnt/nas", NULL, false},
        {"/", "/mnt", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hung_disks disks = LIST_HEAD_INITIALIZER(disks);
        struct hung_disk disk = {0};
        hung_disk_add(&disks, &disk, cases[i].hung);
        assert_int_equal(hung_disks_have(&disks, cases[i].path), cases[i].meant);
        hung_disk_remove(&disk);
        assert_false(hung_disks_have(&disks, cases[i].path));
    }
}

static void test_several(void **state)
{
    struct hung_disks disks = LIST_HEAD_INITIALIZER(disks);
    struct hung_disk a = {0}, b = {0}, store = {0};
    (void)state;
    hung_disk_add(&disks, &a, "/a");
    hung_disk_add(&disks, &a, "/a"); /* once */
    hung_disk_add(&disks, &b, "/b");
    hung_disk_add(&disks, &store, NULL);
    hung_disk_remove(&a);
    hung_disk_remove(&a);
    hung_disk_remove(&store);
    assert_false(hung_disks_have(&disks, "/a"));
    assert_true(hung_disks_have(&disks, "/b/c"));
    hung_disk_remove(&b);
    assert_true(LIST_EMPTY(&disks));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_which_paths_are_meant),
                                       cmocka_unit_test(test_several)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
