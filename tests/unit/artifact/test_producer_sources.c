/* Files, directories, and pg_dump as shell scripts play it. */
#include "producer_run.h"

/* --- files and directories --- */

static void fill_file(const char *path, size_t n)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (size_t i = 0; i < n; i++)
        fputc((int)(i * 31 % 251), f);
    fclose(f);
}

static void a_file_is_staged(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 262144, 1000003};
    char path[128];
    snprintf(path, sizeof path, "%s/file", root);
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        fill_file(path, sizes[k]);
        struct run run = {.request.source = {.db_type = "file", .source_path = path}};
        produce(&run);
        size_t n;
        char *out = unzipped(&run, &n);
        assert_int_equal(n, sizes[k]);
        for (size_t i = 0; i < n; i++)
            if ((unsigned char)out[i] != i * 31 % 251)
                fail_msg("differs at %zu", i);
        free(out);
    }
}

static void sources_that_are_not_there(void **state)
{
    (void)state;
    char missing[128];
    snprintf(missing, sizeof missing, "%s/missing", root);
    struct run run = {.request.source = {.db_type = "file", .source_path = missing}};
    produce(&run);
    assert_failed(&run, ERROR_NOT_FOUND, true, missing);
    run = (struct run){.request.source = {.db_type = "directory", .source_path = missing}};
    produce(&run);
    assert_failed(&run, ERROR_NOT_FOUND, true, missing);
    run = (struct run){.request.source = {.db_type = "file", .source_path = "/tmp"}};
    produce(&run);
    assert_failed(&run, ERROR_INPUT, false, "type directory");
    run = (struct run){.request.source = {.db_type = "directory", .source_path = "/etc/passwd"}};
    produce(&run);
    assert_failed(&run, ERROR_INPUT, false, "not a directory");
}

struct growing {
    struct run run;
    const char *path;
    uint64_t seen;
    bool grown;
};

static void on_growth(uv_timer_t *timer)
{
    struct growing *g = timer->data;
    if (g->grown || g->run.request.source_bytes == 0)
        return;
    FILE *f = fopen(g->path, "a");
    if (f) {
        fputs("one more line\n", f);
        fclose(f);
        g->grown = true;
    }
}

/* Big and sparse: it can't be read to the end before it has grown. */
static void a_file_that_changes_while_it_is_read(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/file", root);
    fill_file(path, 1000);
    assert_int_equal(truncate(path, 200000000), 0);
    uv_loop_t loop;
    struct error err;
    assert_int_equal(uv_loop_init(&loop), 0);
    struct growing g = {.path = path};
    g.run.request = (struct producer_request){.loop = &loop,
                                              .source = {.db_type = "file", .source_path = path},
                                              .staging_dir = staging,
                                              .backup_id = 12,
                                              .fence = 3,
                                              .done = on_done,
                                              .data = &g.run};
    uv_timer_init(&loop, &g.run.watch);
    g.run.watch.data = &g;
    uv_timer_start(&g.run.watch, on_growth, 0, 1);
    assert_int_equal(producer_start(&g.run.request, &g.run.producer, &err), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_true(g.grown);
    assert_failed(&g.run, ERROR_SOURCE, false, "changed while it was read");
}

static void a_directory_is_staged(void **state)
{
    (void)state;
    char dir[128], path[160], command[512], text[64] = "";
    snprintf(dir, sizeof dir, "%s/data", root);
    assert_int_equal(mkdir(dir, 0755), 0);
    snprintf(path, sizeof path, "%s/inside it", dir);
    fill_file(path, 300000);
    struct run run = {.request.source = {.db_type = "directory", .source_path = dir}};
    produce(&run);
    size_t n;
    free(unzipped(&run, &n));
    snprintf(command, sizeof command, "tar -xzOf %s/b12.g3 './inside it' | cmp - '%s' && echo same", staging,
             path);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    assert_non_null(fgets(text, sizeof text, f));
    assert_int_equal(pclose(f), 0);
    assert_string_equal(text, "same\n");
}

static void a_directory_around_the_staging_directory_is_refused(void **state)
{
    (void)state;
    struct run run = {.request.source = {.db_type = "directory", .source_path = root}};
    produce(&run);
    assert_failed(&run, ERROR_INPUT, false, "BM_STAGING_DIR");
    run = (struct run){.request.source = {.db_type = "directory", .source_path = staging}};
    produce(&run);
    assert_failed(&run, ERROR_INPUT, false, "BM_STAGING_DIR");
}

/* --- pg_dump --- */

static void a_dump_with_its_trailer(void **state)
{
    (void)state;
    struct run run = {0};
    produce_pg_dump(&run, "head -c 1000000 /dev/zero;" TRAILER, NULL);
    size_t n;
    char *out = unzipped(&run, &n);
    assert_non_null(strstr(out + 1000000, "dump complete"));
    free(out);
}

static void a_dump_that_is_cut_off_with_status_0(void **state)
{
    (void)state;
    struct run run = {0};
    produce_pg_dump(&run, TRAILER "head -c 1000000 /dev/zero; echo oops >&2", NULL);
    assert_failed(&run, ERROR_SOURCE, false, "cut off");
    run = (struct run){0};
    produce_pg_dump(&run, "exit 0", NULL);
    assert_failed(&run, ERROR_SOURCE, false, "cut off");
}

static void a_dump_that_fails_after_its_trailer(void **state)
{
    (void)state;
    struct run run = {0};
    produce_pg_dump(&run, TRAILER "exit 1", NULL);
    assert_failed(&run, ERROR_SOURCE, false, "pg_dump exited with status 1");
}

static void a_refused_connection_is_retryable(void **state)
{
    (void)state;
    static const char words[] =
        "echo 'pg_dump: error: connection to server at \"db.example\" (10.0.0.1), port 5433 "
        "failed: Connection refused' >&2; exit 1";
    struct run run = {0};
    produce_pg_dump(&run, words, NULL);
    assert_failed(&run, ERROR_UNREACHABLE, true, "Connection refused");
    /* the same words after output: the dump had begun */
    char script[400];
    snprintf(script, sizeof script, "echo '-- PostgreSQL database dump'; %s", words);
    run = (struct run){0};
    produce_pg_dump(&run, script, NULL);
    assert_failed(&run, ERROR_SOURCE, false, "Connection refused");
    /* no output, but connected */
    run = (struct run){0};
    produce_pg_dump(&run, "echo 'pg_dump: error: query failed: ERROR:  permission denied' >&2; exit 1", NULL);
    assert_failed(&run, ERROR_SOURCE, false, "permission denied");
}

static void the_password_is_only_in_the_file(void **state)
{
    (void)state;
    setenv("TEST_PASSWORD", "hun:ter\\2", 1);
    setenv("BM_DATABASE_URL", "postgresql://u:hun@h/d", 1);
    struct run run = {0};
    produce_pg_dump(&run,
                    "case \"$*\" in *hun*) echo argv >&2; exit 9;; esac\n"
                    "env | grep hun >&2 && exit 8\n"
                    "tr '\\0' '\\n' </proc/self/environ | grep hun >&2 && exit 7\n"
                    "[ \"$(stat -Lc %a $PGPASSFILE)\" = 600 ] || exit 6\n"
                    "echo \"$*\"; cat $PGPASSFILE; cat $PGPASSFILE;" TRAILER,
                    "env:TEST_PASSWORD");
    size_t n;
    char *out = unzipped(&run, &n);
    static const char want[] = "--format=plain --no-password -h db.example -p 5433 -U shop_owner -d shop\n"
                               "*:*:*:*:hun\\:ter\\\\2\n*:*:*:*:hun\\:ter\\\\2\n--\n";
    out[sizeof want - 1] = '\0';
    assert_string_equal(out, want);
    free(out);
    unsetenv("TEST_PASSWORD");
    unsetenv("BM_DATABASE_URL");
}

static void a_missing_password_is_retryable(void **state)
{
    (void)state;
    unsetenv("TEST_PASSWORD");
    struct run run = {0};
    produce_pg_dump(&run, TRAILER, "env:TEST_PASSWORD");
    assert_failed(&run, ERROR_NOT_FOUND, true, "env:TEST_PASSWORD");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_file_is_staged),
        TEST(sources_that_are_not_there),
        TEST(a_file_that_changes_while_it_is_read),
        TEST(a_directory_is_staged),
        TEST(a_directory_around_the_staging_directory_is_refused),
        TEST(a_dump_with_its_trailer),
        TEST(a_dump_that_is_cut_off_with_status_0),
        TEST(a_dump_that_fails_after_its_trailer),
        TEST(a_refused_connection_is_retryable),
        TEST(the_password_is_only_in_the_file),
        TEST(a_missing_password_is_retryable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
