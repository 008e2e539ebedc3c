#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "artifact/staging.h"

static char root[] = "/tmp/test_staging.XXXXXX";
static char dir[128];

static int remove_one(const char *name, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(name);
}

static int setup(void **state)
{
    (void)state;
    strcpy(root + strlen(root) - 6, "XXXXXX");
    if (mkdtemp(root) == NULL)
        return -1;
    snprintf(dir, sizeof dir, "%s/a/b", root);
    struct error err;
    return staging_prepare(dir, &err);
}

static int teardown(void **state)
{
    (void)state;
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static bool exists(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

static void put(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void the_directory_is_made_and_private(void **state)
{
    (void)state;
    struct stat st;
    struct error err;
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(staging_prepare(dir, &err), 0);
    int n = -1;
    struct staging_entry entries[4];
    assert_int_equal(staging_list(dir, entries, 4, &n, &err), 0);
    assert_int_equal(n, 0);
    put("file", "x");
    char path[256];
    snprintf(path, sizeof path, "%s/file", dir);
    assert_int_equal(staging_prepare(path, &err), ERROR_NOT_FOUND);
    snprintf(path, sizeof path, "%s/file/below", dir);
    assert_true(staging_prepare(path, &err) < 0);
    assert_true(staging_prepare("", &err) < 0);
}

static void published_after_create_and_gone_after_remove(void **state)
{
    (void)state;
    struct error err;
    int fd = -1;
    assert_int_equal(staging_create(dir, 7, 3, &fd, &err), 0);
    assert_true(exists("b7.g3.tmp"));
    assert_int_equal(write(fd, "hello", 5), 5);
    int read_fd = -1;
    assert_int_equal(staging_open(dir, 7, 3, 5, &read_fd, &err), ERROR_NOT_FOUND);
    assert_false(err.retryable);
    assert_int_equal(staging_publish(dir, 7, 3, fd, &err), 0);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_false(exists("b7.g3.tmp"));
    assert_true(exists("b7.g3"));
    assert_int_equal(staging_open(dir, 7, 3, 6, &read_fd, &err), ERROR_CORRUPT);
    assert_int_equal(read_fd, -1);
    assert_int_equal(staging_open(dir, 7, 3, 5, &read_fd, &err), 0);
    char text[6] = "";
    assert_int_equal(read(read_fd, text, 5), 5);
    assert_string_equal(text, "hello");
    close(read_fd);
    staging_remove(dir, 7, 3);
    assert_false(exists("b7.g3"));
    staging_remove(dir, 7, 3);
}

static void a_new_file_replaces_an_older_unfinished_one(void **state)
{
    (void)state;
    struct error err;
    put("b7.g3.tmp", "left by a crash");
    int fd = -1;
    assert_int_equal(staging_create(dir, 7, 3, &fd, &err), 0);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 0);
    staging_discard(dir, 7, 3, fd);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_false(exists("b7.g3.tmp"));
    staging_discard(dir, 7, 3, -1);
}

static void a_link_in_the_way_is_not_followed(void **state)
{
    (void)state;
    struct error err;
    char link[256], target[256];
    snprintf(link, sizeof link, "%s/b7.g3", dir);
    snprintf(target, sizeof target, "%s/elsewhere", root);
    assert_int_equal(symlink(target, link), 0);
    int fd = -1;
    assert_int_equal(staging_open(dir, 7, 3, 0, &fd, &err), ERROR_UNSAFE_PATH);
    snprintf(link, sizeof link, "%s/b7.g3.tmp", dir);
    assert_int_equal(symlink(target, link), 0);
    assert_int_equal(staging_create(dir, 7, 3, &fd, &err), 0);
    assert_int_equal(access(target, F_OK), -1);
    staging_discard(dir, 7, 3, fd);
}

static void a_missing_directory_is_retryable(void **state)
{
    (void)state;
    struct error err;
    int fd = -1, n = 0;
    char missing[256];
    snprintf(missing, sizeof missing, "%s/missing", root);
    assert_int_equal(staging_create(missing, 1, 1, &fd, &err), ERROR_NOT_FOUND);
    assert_true(err.retryable);
    struct staging_entry entry;
    assert_int_equal(staging_list(missing, &entry, 1, &n, &err), ERROR_NOT_FOUND);
    assert_int_equal(staging_open(missing, 1, 1, 0, &fd, &err), ERROR_NOT_FOUND);
    staging_remove(missing, 1, 1);
    assert_int_equal(fd, -1);
}

static int by_id(const void *a, const void *b)
{
    const struct staging_entry *x = a, *y = b;
    return (x->backup_id > y->backup_id) - (x->backup_id < y->backup_id);
}

static void only_our_names_are_listed(void **state)
{
    (void)state;
    static const char *const others[] = {"b1",         "b1.g",      "b.g1",     "b1.g1.tm",
                                         "b1.g1.tmp2", "b01.g1",    "b1.g01",   "b-1.g1",
                                         "x1.g1",      ".probe-12", "b1.g1 ",   "b+1.g1",
                                         "readme",     "b1.g1.",    "b1.g1tmp", "B1.g1",
                                         "b1.G1",      "b1.g-1",    "b 1.g1",   "b99999999999999999999.g1"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        put(others[i], "");
    put("b5.g1", "12345");
    put("b6.g0.tmp", "1");
    put("b9223372036854775807.g2", "");
    char path[256];
    snprintf(path, sizeof path, "%s/b8.g1", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    struct staging_entry entries[8];
    struct error err;
    int n = 0;
    assert_int_equal(staging_list(dir, entries, 8, &n, &err), 0);
    assert_int_equal(n, 3);
    qsort(entries, 3, sizeof *entries, by_id);
    assert_int_equal(entries[0].backup_id, 5);
    assert_int_equal(entries[0].fence, 1);
    assert_int_equal(entries[0].size, 5);
    assert_false(entries[0].unfinished);
    assert_true(entries[0].modified_ms > 1600000000000);
    assert_int_equal(entries[1].fence, 0);
    assert_true(entries[1].unfinished);
    assert_true(entries[2].backup_id == INT64_MAX);
    assert_int_equal(staging_list(dir, entries, 2, &n, &err), 0);
    assert_int_equal(n, 2);
}

static const char sha256[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

static void write_parts(void)
{
    struct part_digest part = {.crc32c = 0x364b3fb7, .size = 3};
    struct part_digests digests = {.total = 3, .count = 1, .parts = &part};
    struct error err;
    memset(part.sha256, 7, sizeof part.sha256);
    assert_int_equal(staging_write_parts(dir, 7, 3, &digests, sha256, &err), 0);
}

static void digests_stand_beside_the_artifact(void **state)
{
    (void)state;
    struct error err;
    int fd = -1;
    assert_int_equal(staging_create(dir, 7, 3, &fd, &err), 0);
    assert_int_equal(write(fd, "abc", 3), 3);
    assert_null(staging_open_parts(dir, 7, 3, 3, sha256));
    write_parts();
    assert_int_equal(staging_publish(dir, 7, 3, fd, &err), 0);
    struct part_digests *found = staging_open_parts(dir, 7, 3, 3, sha256);
    assert_non_null(found);
    assert_int_equal(found->count, 1);
    assert_int_equal(found->parts[0].crc32c, 0x364b3fb7);
    assert_int_equal(found->parts[0].sha256[31], 7);
    part_digests_free(found);

    assert_null(staging_open_parts(dir, 7, 3, 4, sha256));
    assert_null(staging_open_parts(dir, 7, 2, 3, sha256));
    assert_null(staging_open_parts("/nowhere", 7, 3, 3, sha256));
    put("b7.g3.parts", "damaged");
    assert_null(staging_open_parts(dir, 7, 3, 3, sha256));

    put("b7.g3.parts.tmp", "left by a crash");
    staging_remove(dir, 7, 3);
    assert_false(exists("b7.g3"));
    assert_false(exists("b7.g3.parts"));
    assert_false(exists("b7.g3.parts.tmp"));
}

static void digests_of_what_was_given_up_are_gone(void **state)
{
    (void)state;
    struct error err;
    int fd = -1;
    put("b7.g3.parts", "left by a crash");
    assert_int_equal(staging_create(dir, 7, 3, &fd, &err), 0);
    assert_false(exists("b7.g3.parts"));
    write_parts();
    staging_discard(dir, 7, 3, fd);
    assert_false(exists("b7.g3.parts"));

    assert_int_equal(staging_create(dir, 7, 3, &fd, &err), 0);
    write_parts();
    char path[256];
    snprintf(path, sizeof path, "%s/b7.g3", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_true(staging_publish(dir, 7, 3, fd, &err) < 0);
    assert_false(exists("b7.g3.parts"));
    assert_false(exists("b7.g3.tmp"));
}

/* One entry per generation, and one for what a crash left of it. */
static void digests_are_listed_when_they_stand_alone(void **state)
{
    (void)state;
    struct staging_entry entries[8];
    struct error err;
    int n = 0;
    put("b1.g1", "x");
    put("b1.g1.parts", "x");
    put("b2.g1.tmp", "x");
    put("b2.g1.parts", "x");
    put("b3.g1.parts", "x");
    put("b4.g1.parts.tmp", "x");
    put("b5.g1.parts.tm", "x");
    assert_int_equal(staging_list(dir, entries, 8, &n, &err), 0);
    assert_int_equal(n, 4);
    qsort(entries, 4, sizeof *entries, by_id);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(entries[i].backup_id, i + 1);
        assert_int_equal(entries[i].unfinished, i > 0);
        staging_remove(dir, entries[i].backup_id, entries[i].fence);
    }
    assert_int_equal(staging_list(dir, entries, 8, &n, &err), 0);
    assert_int_equal(n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_directory_is_made_and_private, setup, teardown),
        cmocka_unit_test_setup_teardown(published_after_create_and_gone_after_remove, setup, teardown),
        cmocka_unit_test_setup_teardown(a_new_file_replaces_an_older_unfinished_one, setup, teardown),
        cmocka_unit_test_setup_teardown(a_link_in_the_way_is_not_followed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_missing_directory_is_retryable, setup, teardown),
        cmocka_unit_test_setup_teardown(only_our_names_are_listed, setup, teardown),
        cmocka_unit_test_setup_teardown(digests_stand_beside_the_artifact, setup, teardown),
        cmocka_unit_test_setup_teardown(digests_of_what_was_given_up_are_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(digests_are_listed_when_they_stand_alone, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
