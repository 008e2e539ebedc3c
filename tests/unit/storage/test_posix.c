/* Disks: links, mount points, rights, space, leftovers. What every driver must do is in test_conformance.c.
 */
#include "harness.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include "storage/posix/path.h"
#include "storage/posix/publish.h"

#define NOBODY 65534

static struct storage_location location;
static struct artifact artifact;
static bool can_mount; /* a mount namespace of our own */

static int setup(void **state)
{
    (void)state;
    location =
        (struct storage_location){.storage_type = "local", .base_path = strdup(harness_make_dir("base"))};
    artifact = artifact_make(5000, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    path_without_openat2(false);
    artifact_free(&artifact);
    free((char *)location.base_path);
    free((char *)location.disk_identity);
    harness_remove_tree(harness_path("base"));
    harness_remove_tree(harness_path("outside"));
    return 0;
}

static void expect_unsafe_everywhere(const char *key, const char *named)
{
    struct outcome o = run_put(&location, key, &artifact, 1, 1);
    expect_error(&o, ERROR_UNSAFE_PATH, false, named);
    o = run_get(&location, key, -1);
    expect_error(&o, ERROR_UNSAFE_PATH, false, named);
    o = run_stat(&location, key);
    expect_error(&o, ERROR_UNSAFE_PATH, false, named);
}

static void links_out_of_the_base_are_refused_and_named(void **state)
{
    (void)state;
    const char *outside = harness_make_dir("outside");
    assert_int_equal(symlink(outside, harness_path("base/absolute")), 0);
    assert_int_equal(symlink("../outside", harness_path("base/relative")), 0);
    assert_int_equal(mkdir(harness_path("base/a"), 0755), 0);
    assert_int_equal(symlink("../../outside/x", harness_path("base/a/file")), 0);
    harness_write_file(harness_path("outside/x"), "keep me");
    for (int without = 0; without <= 1; without++) {
        path_without_openat2(without);
        expect_unsafe_everywhere("absolute/x", "'absolute'");
        expect_unsafe_everywhere("relative/x", "'relative'");
        expect_unsafe_everywhere("relative/deep/er/x", "'relative'");
        expect_unsafe_everywhere("a/file", "'a/file'");
    }
    struct outcome o = run_delete(&location, "relative/x", NULL, 1, 1);
    expect_error(&o, ERROR_UNSAFE_PATH, false, "'relative'");
    o = run_delete(&location, "a/file", NULL, 1, 1); /* the link, never its target */
    expect_success(&o);
    assert_int_equal(access(harness_path("outside/x"), F_OK), 0);
    assert_int_equal(harness_count_files(harness_path("outside")), 1);
}

static void links_inside_the_base_are_followed(void **state)
{
    (void)state;
    assert_int_equal(mkdir(harness_path("base/2025"), 0755), 0);
    assert_int_equal(mkdir(harness_path("base/by"), 0755), 0);
    assert_int_equal(symlink("../2025", harness_path("base/by/year")), 0);
    struct outcome o = run_put(&location, "by/year/new/dump.gz", &artifact, 1, 1);
    expect_success(&o);
    assert_int_equal(access(harness_path("base/2025/new/dump.gz"), F_OK), 0);

    path_without_openat2(true); /* then no link is followed at all */
    expect_unsafe_everywhere("by/year/new/dump.gz", "'by/year'");
}

static void names_that_are_taken_by_other_things(void **state)
{
    (void)state;
    harness_write_file(harness_path("base/file"), "x");
    assert_int_equal(mkdir(harness_path("base/dir"), 0755), 0);
    assert_int_equal(mkfifo(harness_path("base/fifo"), 0600), 0);
    assert_int_equal(symlink("nothing", harness_path("base/dangling")), 0);
    struct outcome o = run_put(&location, "file/dump.gz", &artifact, 1, 1);
    expect_error(&o, ERROR_CONFLICT, false, "'file'");
    o = run_put(&location, "dir", &artifact, 1, 1);
    expect_error(&o, ERROR_CONFLICT, false, "'dir'");
    o = run_put(&location, "fifo", &artifact, 1, 1);
    expect_error(&o, ERROR_CONFLICT, false, "'fifo'");
    o = run_put(&location, "dangling/dump.gz", &artifact, 1, 1);
    expect_error(&o, ERROR_CONFLICT, false, "'dangling'");
    assert_int_equal(harness_count_files(location.base_path), 3);
}

static void base_paths_that_cannot_be_used(void **state)
{
    (void)state;
    static const struct {
        const char *base;
        int code;
        bool retryable;
        const char *text;
    } cases[] = {
        {NULL, ERROR_INPUT, false, "base_path is missing"},
        {"", ERROR_INPUT, false, "base_path is missing"},
        {"backups", ERROR_INPUT, false, "not absolute"},
        {"/nowhere/at/all", ERROR_UNREACHABLE, true, "mount the disk"},
        {"/proc/version", ERROR_UNREACHABLE, true, "not a directory"},
        {"/dev/null", ERROR_UNREACHABLE, true, "not a directory"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct storage_location place = {.storage_type = "local", .base_path = cases[i].base};
        struct outcome o = run_put(&place, "a/b", &artifact, 1, 1);
        expect_error(&o, cases[i].code, cases[i].retryable, cases[i].text);
        o = run_stat(&place, "a/b");
        expect_error(&o, cases[i].code, cases[i].retryable, cases[i].text);
        struct error err = {0};
        char *identity;
        assert_int_equal(harness_driver(&place)->identify(&place, &identity, &err), cases[i].code);
    }
}

/* Root may write everywhere: the process is nobody meanwhile. */
static void become_nobody(void)
{
    if (geteuid() == 0)
        assert_int_equal(seteuid(NOBODY), 0);
}

static void become_root_again(void)
{
    if (getuid() == 0)
        assert_int_equal(seteuid(0), 0);
}

static void missing_rights_are_transient(void **state)
{
    (void)state;
    assert_int_equal(chmod(harness_root, 0711), 0);
    assert_int_equal(chmod(location.base_path, 0555), 0);
    become_nobody();
    struct outcome flat = run_put(&location, "dump.gz", &artifact, 1, 1);
    struct outcome deep = run_put(&location, "a/dump.gz", &artifact, 1, 1);
    become_root_again();
    assert_int_equal(chmod(location.base_path, 0755), 0);
    expect_error(&flat, ERROR_DENIED, true, "dump.gz");
    assert_string_equal(flat.err.native, "EACCES");
    expect_error(&deep, ERROR_DENIED, true, "directory 'a'");
    assert_int_equal(harness_count_files(location.base_path), 0);
}

static void read_only_file_system_is_transient(void **state)
{
    (void)state;
    if (!can_mount) {
        print_message("SKIPPED: mounting is not permitted here\n");
        skip();
    }
    assert_int_equal(mount("tmpfs", location.base_path, "tmpfs", MS_RDONLY, "size=1m"), 0);
    struct outcome o = run_put(&location, "a/dump.gz", &artifact, 1, 1);
    umount(location.base_path);
    expect_error(&o, ERROR_DENIED, true, "directory 'a'");
    assert_string_equal(o.err.native, "EROFS");
}

static void a_full_disk_is_seen_before_anything_is_written(void **state)
{
    (void)state;
    struct statvfs fs;
    assert_int_equal(statvfs(location.base_path, &fs), 0);
    struct artifact huge = artifact;
    huge.size = (size_t)fs.f_bavail * fs.f_frsize + ((size_t)64 << 30);
    struct outcome o = run_put(&location, "dump.gz", &huge, 1, 1);
    expect_error(&o, ERROR_NO_SPACE, true, "bytes free");
    assert_int_equal(harness_count_files(location.base_path), 0);
}

static void a_disk_that_fills_up_meanwhile(void **state)
{
    (void)state;
    if (!can_mount) {
        print_message("SKIPPED: mounting is not permitted here\n");
        skip();
    }
    /* blocks enough, inodes too few for a second file */
    assert_int_equal(mount("tmpfs", location.base_path, "tmpfs", 0, "size=8m,nr_inodes=3"), 0);
    struct outcome first = run_put(&location, "a/one.gz", &artifact, 1, 1);
    struct outcome second = run_put(&location, "a/two.gz", &artifact, 2, 1);
    struct artifact large = artifact_make((9 << 20), 3);
    struct outcome third = run_put(&location, "a/three.gz", &large, 3, 1);
    int files = harness_count_files(location.base_path);
    umount(location.base_path);
    artifact_free(&large);
    expect_success(&first);
    expect_error(&second, ERROR_NO_SPACE, true, "two.gz");
    assert_string_equal(second.err.native, "ENOSPC");
    expect_error(&third, ERROR_NO_SPACE, true, "bytes free");
    assert_int_equal(files, 1);
}

static void a_write_that_fails_leaves_nothing(void **state)
{
    (void)state;
    struct artifact large = artifact_make((3 << 20) + 1, 2);
    struct rlimit before, limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    limit = (struct rlimit){.rlim_cur = 4096, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    struct outcome small_outcome = run_put(&location, "small.gz", &artifact, 1, 1);
    struct outcome large_outcome = run_put(&location, "large.gz", &large, 1, 1);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    expect_error(&small_outcome, ERROR_LIMIT, false, "small.gz");
    expect_error(&large_outcome, ERROR_LIMIT, false, "large.gz");
    assert_int_equal(harness_count_files(location.base_path), 0);
    artifact_free(&large);
}

static void record_identity(const char *type)
{
    struct error err = {0};
    char *identity = NULL;
    free((char *)location.disk_identity);
    location.disk_identity = NULL;
    location.storage_type = type;
    assert_int_equal(harness_driver(&location)->identify(&location, &identity, &err), 0);
    location.disk_identity = identity;
}

static void expect_wrong_disk_everywhere(const char *text)
{
    struct outcome o[] = {run_put(&location, "a/b", &artifact, 1, 1), run_get(&location, "a/b", -1),
                          run_stat(&location, "a/b"), run_delete(&location, "a/b", NULL, 1, 1),
                          run_delete(&location, NULL, "a/b", 1, 1)};
    for (size_t i = 0; i < sizeof o / sizeof *o; i++) {
        expect_error(&o[i], ERROR_UNREACHABLE, true, text);
        expect_error(&o[i], ERROR_UNREACHABLE, true, location.disk_identity);
        expect_error(&o[i], ERROR_UNREACHABLE, true, "mount point");
    }
}

static void another_disk_is_never_written_to(void **state)
{
    (void)state;
    const char *marker = harness_path("base/" PATH_MARKER_NAME);
    record_identity("local_external");
    assert_int_equal(strncmp(location.disk_identity, "marker:", 7), 0);
    struct outcome o = run_put(&location, "first.gz", &artifact, 1, 1);
    expect_success(&o);

    harness_write_file(marker, "0123456789abcdef0123456789abcdef\n");
    expect_wrong_disk_everywhere("found marker:0123456789abcdef0123456789abcdef");
    harness_write_file(marker, "what?\n");
    expect_wrong_disk_everywhere("unreadable");
    assert_int_equal(unlink(marker), 0);
    expect_wrong_disk_everywhere("no file " PATH_MARKER_NAME);
    assert_int_equal(harness_count_files(location.base_path), 1);
}

static void a_marker_that_stands_is_taken_over(void **state)
{
    (void)state;
    const char *marker = harness_path("base/" PATH_MARKER_NAME);
    record_identity("local_external");
    char *first = strdup(location.disk_identity);
    record_identity("local_external");
    assert_string_equal(first, location.disk_identity);
    free(first);

    harness_write_file(marker, "00112233445566778899aabbccddeeff \n");
    record_identity("local_external");
    assert_string_equal(location.disk_identity, "marker:00112233445566778899aabbccddeeff");

    harness_write_file(marker, "somebody's notes\n");
    struct error err = {0};
    char *identity = NULL;
    assert_int_equal(harness_driver(&location)->identify(&location, &identity, &err), ERROR_CONFLICT);
    assert_null(identity);
    assert_non_null(strstr(err.message, PATH_MARKER_NAME));
    assert_int_equal(harness_count_files(location.base_path), 1);
}

static void local_has_no_identity(void **state)
{
    (void)state;
    record_identity("local");
    assert_null(location.disk_identity);
    assert_int_equal(harness_count_files(location.base_path), 0);
}

static void file_system_numbers_where_no_marker_can_be_written(void **state)
{
    (void)state;
    assert_int_equal(chmod(harness_root, 0711), 0);
    assert_int_equal(chmod(location.base_path, 0555), 0);
    become_nobody();
    record_identity("local_external");
    become_root_again();
    assert_int_equal(chmod(location.base_path, 0755), 0);
    assert_int_equal(strncmp(location.disk_identity, "fs:", 3), 0);
    struct outcome o = run_put(&location, "a.gz", &artifact, 1, 1);
    expect_success(&o);

    free((char *)location.disk_identity);
    location.disk_identity = strdup("fs:ef53:0123456701234567");
    expect_wrong_disk_everywhere("found fs:");
}

static bool temp_stands(int64_t row_id, int64_t fence)
{
    char name[PATH_TEMP_NAME_SIZE];
    char path[128];
    path_temp_name(row_id, fence, name);
    snprintf(path, sizeof path, "base/d/%s", name);
    return access(harness_path(path), F_OK) == 0;
}

static void make_temps(int64_t row_id, int64_t last_fence)
{
    for (int64_t fence = 1; fence <= last_fence; fence++) {
        char name[PATH_TEMP_NAME_SIZE];
        char path[128];
        path_temp_name(row_id, fence, name);
        snprintf(path, sizeof path, "base/d/%s", name);
        harness_write_file(harness_path(path), "left by a worker that was killed");
    }
}

static void leftovers_of_earlier_attempts_are_removed(void **state)
{
    (void)state;
    assert_int_equal(mkdir(harness_path("base/d"), 0755), 0);
    make_temps(301, 5);
    make_temps(302, 1);
    struct outcome o = run_put(&location, "d/dump.gz", &artifact, 301, 4);
    expect_success(&o);
    for (int64_t fence = 1; fence <= 4; fence++)
        assert_false(temp_stands(301, fence));
    assert_true(temp_stands(301, 5)); /* a later attempt's: not ours */
    assert_true(temp_stands(302, 1)); /* another row's */

    o = run_delete(&location, NULL, "d/dump.gz", 301, 5);
    expect_success(&o);
    assert_true(o.existed);
    assert_false(temp_stands(301, 5));
    assert_int_equal(harness_count_files(location.base_path), 2);
}

static void at_most_the_last_64_fences_are_looked_for(void **state)
{
    (void)state;
    assert_int_equal(mkdir(harness_path("base/d"), 0755), 0);
    make_temps(301, 70);
    struct outcome o = run_put(&location, "d/dump.gz", &artifact, 301, 71);
    expect_success(&o);
    assert_true(temp_stands(301, 6));
    assert_false(temp_stands(301, 7));
    assert_false(temp_stands(301, 70));
    /* a fence of any size costs no more */
    o = run_delete(&location, NULL, "d/dump.gz", 301, INT64_MAX - 1);
    expect_success(&o);
}

static void a_retry_finds_its_finished_work_without_room_for_a_second_copy(void **state)
{
    (void)state;
    if (!can_mount) {
        print_message("SKIPPED: mounting is not permitted here\n");
        skip();
    }
    assert_int_equal(mount("tmpfs", location.base_path, "tmpfs", 0, "size=5m"), 0);
    struct artifact large = artifact_make((3 << 20) + 1, 2);
    struct outcome first = run_put(&location, "large.gz", &large, 1, 1);
    struct outcome again = run_put(&location, "large.gz", &large, 1, 2);
    umount(location.base_path);
    artifact_free(&large);
    expect_success(&first);
    expect_success(&again);
    assert_true(again.existed);
}

static void published_files_are_not_for_everybody(void **state)
{
    (void)state;
    struct outcome o = run_put(&location, "a/dump.gz", &artifact, 1, 1);
    expect_success(&o);
    struct stat st;
    assert_int_equal(stat(harness_path("base/a/dump.gz"), &st), 0);
    assert_int_equal(st.st_mode & 0007, 0);
    assert_int_equal(stat(harness_path("base/a"), &st), 0);
    assert_int_equal(st.st_mode & 0007, 0);
}

static void every_way_of_publishing_replaces_nothing(void **state)
{
    (void)state;
    static const unsigned methods[] = {PUBLISH_RENAME_NOREPLACE, PUBLISH_LINK, PUBLISH_LOCKED_RENAME};
    int dir_fd = open(location.base_path, O_RDONLY | O_DIRECTORY);
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        harness_write_file(harness_path("base/temp"), "first");
        assert_int_equal(publish_rename(dir_fd, "temp", "final", methods[i]), 0);
        assert_int_equal(access(harness_path("base/temp"), F_OK), -1);
        harness_write_file(harness_path("base/temp"), "second");
        assert_int_equal(publish_rename(dir_fd, "temp", "final", methods[i]), -EEXIST);
        assert_int_equal(unlink(harness_path("base/temp")), 0);
        struct stat st;
        assert_int_equal(stat(harness_path("base/final"), &st), 0);
        assert_int_equal(st.st_size, 5);
        assert_int_equal(publish_rename(dir_fd, "gone", "new", methods[i]), -ENOENT);
        assert_int_equal(unlink(harness_path("base/final")), 0);
    }
    close(dir_fd);
}

static void stat_tells_the_absolute_path(void **state)
{
    (void)state;
    char expected[600];
    snprintf(expected, sizeof expected, "%s/a/dump.gz", location.base_path);
    struct outcome o = run_stat(&location, "a/dump.gz");
    expect_success(&o);
    assert_false(o.exists);
    assert_string_equal(o.absolute_path, expected);

    /* migrated rows: base "/" and the rest */
    struct storage_location root = {.storage_type = "local", .base_path = "/"};
    o = run_stat(&root, expected + 1);
    expect_success(&o);
    assert_string_equal(o.absolute_path, expected);
}

static void check_judges_shapes_only(void **state)
{
    (void)state;
    static const struct {
        const char *base;
        const char *key;
        const char *identity;
        const char *config;
        int code;
    } cases[] = {
        {"/mnt/x", "a/b", NULL, NULL, 0},
        {"/mnt/x", NULL, NULL, "{\"read_back\": false, \"note\": \"attic\"}", 0},
        {"/mnt/x", NULL, NULL, "{\"read_back\": \"yes\"}", ERROR_INPUT},
        {"/mnt/x", NULL, "marker:0123456789abcdef", NULL, 0},
        {"/mnt/x", NULL, "marker:xyz", NULL, ERROR_INPUT},
        {"/mnt/x", NULL, "uuid:1", NULL, ERROR_INPUT},
        {"mnt/x", NULL, NULL, NULL, ERROR_INPUT},
        {"/mnt/x", "../b", NULL, NULL, ERROR_UNSAFE_PATH},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        json_t *config;
        assert_int_equal(storage_config_parse(cases[i].config, &config, &err), 0);
        struct storage_location place = {.storage_type = "local_external",
                                         .base_path = cases[i].base,
                                         .disk_identity = cases[i].identity,
                                         .config = config};
        assert_int_equal(harness_driver(&place)->check(&place, cases[i].key, &err), cases[i].code);
        assert_false(err.retryable);
        json_decref(config);
    }
}

static void long_paths(void **state)
{
    (void)state;
    char key[5000];
    struct error err = {0};
    memset(key, 'a', sizeof key);
    key[256] = '\0';
    assert_int_equal(path_check_key(key, &err), ERROR_UNSAFE_PATH);
    for (size_t i = 1; i < sizeof key; i += 2)
        key[i] = '/';
    key[256] = '/';
    key[256] = 'a';
    key[4095] = '\0';
    key[255] = '/';
    assert_int_equal(path_check_key(key, &err), 0);
    key[4095] = '/';
    key[4096] = 'a';
    key[4097] = '\0';
    assert_int_equal(path_check_key(key, &err), ERROR_UNSAFE_PATH);
}

static void listings_tell_files_of_ours_only(void **state)
{
    (void)state;
    const char *outside = harness_make_dir("outside");
    harness_write_file(harness_path("outside/x"), "x");
    assert_int_equal(mkdir(harness_path("base/a"), 0755), 0);
    assert_int_equal(symlink(outside, harness_path("base/link")), 0);
    assert_int_equal(symlink("a", harness_path("base/inside")), 0);
    assert_int_equal(mkfifo(harness_path("base/a/fifo"), 0600), 0);
    harness_write_file(harness_path("base/.backupmanager-disk"), "x");
    harness_write_file(harness_path("base/a/.bm-5-1.tmp"), "x");
    harness_write_file(harness_path("base/a/file"), "x");
    struct listing l = run_listing(&location, STORAGE_LIST_OBJECTS, "", 0);
    assert_int_equal(l.err.code, 0);
    assert_string_equal(l.names, "a/file|");
    l = run_listing(&location, STORAGE_LIST_OBJECTS, "link/", 0);
    assert_int_equal(l.err.code, ERROR_UNSAFE_PATH);

    expect_error(
        &(struct outcome){.err = run_listing(&(struct storage_location){.storage_type = "local",
                                                                        .base_path = "/nowhere/here"},
                                             STORAGE_LIST_OBJECTS, "", 0)
                                     .err},
        ERROR_UNREACHABLE, true, "/nowhere/here");
}

static void listings_of_many_and_of_deep(void **state)
{
    (void)state;
    enum { N = 700 };
    char path[256];
    for (int i = 0; i < N; i++) {
        snprintf(path, sizeof path, "base/%d", i % 7);
        mkdir(harness_path(path), 0755);
        snprintf(path, sizeof path, "base/%d/%d", i % 7, i);
        harness_write_file(harness_path(path), "x");
    }
    struct listing l = run_listing(&location, STORAGE_LIST_OBJECTS, "", 0);
    assert_int_equal(l.err.code, 0);
    assert_int_equal(l.n, N);
    assert_int_equal(l.size, N);
    l = run_listing(&location, STORAGE_LIST_OBJECTS, "", 300);
    assert_int_equal(l.err.code, 0);
    assert_int_equal(l.n, 300);

    snprintf(path, sizeof path, "base");
    for (int i = 0; i < 70; i++) {
        snprintf(path + strlen(path), sizeof path - strlen(path), "/d");
        assert_int_equal(mkdir(harness_path(path), 0755), 0);
    }
    l = run_listing(&location, STORAGE_LIST_OBJECTS, "", 0);
    assert_int_equal(l.err.code, ERROR_LIMIT);
    assert_false(l.err.retryable);
}

static void open_uploads_are_told_and_aborted(void **state)
{
    (void)state;
    static const char *const names[] = {"base/a/.bm-301-2.tmp", "base/.bm-302-1.tmp", "base/a/.bm-301-02.tmp",
                                        "base/a/.bm-x.tmp", "base/a/file"};
    assert_int_equal(mkdir(harness_path("base/a"), 0755), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        harness_write_file(harness_path(names[i]), "x");
    struct listing l = run_listing(&location, STORAGE_LIST_UPLOADS, "", 0);
    assert_int_equal(l.err.code, 0);
    assert_int_equal(l.n, 2);
    assert_non_null(strstr(l.names, "a/.bm-301-2.tmp|"));
    assert_true(l.time_ms > INT64_C(1700000000000));
    l = run_listing(&location, STORAGE_LIST_UPLOADS, "a/", 0);
    assert_string_equal(l.names, "a/.bm-301-2.tmp|");
    assert_string_equal(l.upload_id, ".bm-301-2.tmp");

    struct outcome o = run_abort(&location, "a/.bm-301-2.tmp", ".bm-301-2.tmp");
    expect_success(&o);
    assert_true(o.existed);
    o = run_abort(&location, "a/.bm-301-2.tmp", ".bm-301-2.tmp");
    expect_success(&o);
    assert_false(o.existed);
    o = run_abort(&location, "a/file", ".bm-301-2.tmp"); /* by the object's name: the object stays */
    expect_success(&o);
    assert_false(o.existed);
    assert_int_equal(access(harness_path("base/a/file"), F_OK), 0);
    static const char *const not_ours[] = {"file", "../x", ".bm-301-2.tmp/../../x", ""};
    for (size_t i = 0; i < sizeof not_ours / sizeof *not_ours; i++) {
        o = run_abort(&location, "a/file", not_ours[i]);
        assert_int_equal(o.done, 0);
        expect_error(&o, ERROR_UNSAFE_PATH, false, "temporary file");
    }
    o = run_abort(&location, "../a/.bm-302-1.tmp", ".bm-302-1.tmp");
    expect_error(&o, ERROR_UNSAFE_PATH, false, "..");
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(links_out_of_the_base_are_refused_and_named),
        CASE(links_inside_the_base_are_followed),
        CASE(names_that_are_taken_by_other_things),
        CASE(base_paths_that_cannot_be_used),
        CASE(missing_rights_are_transient),
        CASE(read_only_file_system_is_transient),
        CASE(a_full_disk_is_seen_before_anything_is_written),
        CASE(a_disk_that_fills_up_meanwhile),
        CASE(a_write_that_fails_leaves_nothing),
        CASE(another_disk_is_never_written_to),
        CASE(a_marker_that_stands_is_taken_over),
        CASE(local_has_no_identity),
        CASE(file_system_numbers_where_no_marker_can_be_written),
        CASE(leftovers_of_earlier_attempts_are_removed),
        CASE(at_most_the_last_64_fences_are_looked_for),
        CASE(a_retry_finds_its_finished_work_without_room_for_a_second_copy),
        CASE(published_files_are_not_for_everybody),
        CASE(every_way_of_publishing_replaces_nothing),
        CASE(stat_tells_the_absolute_path),
        CASE(check_judges_shapes_only),
        CASE(long_paths),
        CASE(listings_tell_files_of_ours_only),
        CASE(listings_of_many_and_of_deep),
        CASE(open_uploads_are_told_and_aborted),
    };
    /* Before any thread is there. */
    can_mount = unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    harness_make_root();
    if (can_mount) { /* some containers have the right to unshare, but not to mount */
        can_mount = mount("tmpfs", harness_root, "tmpfs", 0, "size=1m") == 0;
        umount(harness_root);
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    harness_remove_tree(harness_root);
    return failed;
}
