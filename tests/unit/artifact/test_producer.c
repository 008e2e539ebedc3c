/* Real children: shell scripts as command sources. */
#include "producer_run.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

static bool can_mount;

/* --- commands --- */

static void a_command_is_staged(void **state)
{
    (void)state;
    struct run run = {.request = {.md5 = true}};
    produce_script(&run, "echo hello; echo to stderr >&2; echo world >/dev/stdout; echo x >/dev/stderr");
    assert_unzips_to(&run, "hello\nworld\n");
}

static void a_command_without_output_is_an_empty_artifact(void **state)
{
    (void)state;
    struct run run = {0};
    produce_script(&run, "exit 0");
    assert_unzips_to(&run, "");
}

static void standard_input_is_empty(void **state)
{
    (void)state;
    struct run run = {0};
    produce_script(&run, "cat; echo end");
    assert_unzips_to(&run, "end\n");
}

static void exit_status_and_words_are_told(void **state)
{
    (void)state;
    struct run run = {0};
    produce_script(&run, "echo some output; echo 'no such table: orders' >&2; exit 3");
    assert_failed(&run, ERROR_SOURCE, false, "sh exited with status 3: no such table: orders");
}

static void silent_failure_is_told(void **state)
{
    (void)state;
    struct run run = {0};
    produce_script(&run, "exit 7");
    assert_failed(&run, ERROR_SOURCE, false, "sh exited with status 7");
}

static void a_flood_of_words_is_bounded(void **state)
{
    (void)state;
    struct run run = {0};
    produce_script(&run,
                   "yes 'warning: it rains' | head -c 5000000 >&2; echo 'the roof is gone' >&2; exit 1");
    assert_failed(&run, ERROR_SOURCE, false, "the roof is gone");
}

static void a_child_killed_in_mid_output_leaves_nothing(void **state)
{
    (void)state;
    struct run run = {0};
    produce_script(&run, "head -c 3000000 /dev/zero; kill -9 $$");
    assert_failed(&run, ERROR_SOURCE, false, "sh was killed by signal 9 (SIGKILL)");
}

static void huge_output_comes_through(void **state)
{
    (void)state;
    struct run run = {0};
    produce_script(&run, "yes 'a line of an ordinary dump, as they go' | head -c 200000000");
    size_t n;
    char *out = unzipped(&run, &n);
    assert_int_equal(n, 200000000);
    static const char line[] = "a line of an ordinary dump, as they go\n";
    size_t k = sizeof line - 1;
    for (size_t i = 0; i + k <= n; i += k)
        if (memcmp(out + i, line, k) != 0)
            fail_msg("differs at %zu", i);
    free(out);
}

static void output_closed_early_by_a_child_that_ends_well(void **state)
{
    (void)state;
    struct run run = {0};
    produce_script(&run, "echo all; exec >&-; read nothing </dev/null; exit 0");
    assert_unzips_to(&run, "all\n");
}

static void output_closed_early_by_a_child_that_stays(void **state)
{
    (void)state;
    struct run run = {.request = {.exit_grace_ms = 20, .kill_grace_ms = 20}};
    produce_script(&run, "echo all; exec >&-; trap '' TERM; while :; do sleep 100; done");
    assert_failed(&run, ERROR_SOURCE, false, "closed its output but did not end");
}

static void a_grandchild_that_holds_the_output(void **state)
{
    (void)state;
    struct run run = {.request = {.pipe_grace_ms = 20}};
    produce_script(&run, "echo all; sleep 1000 & exit 0");
    assert_failed(&run, ERROR_SOURCE, false, "kept its output open");
}

static void a_grandchild_that_goes_on_writing(void **state)
{
    (void)state;
    struct run run = {.request = {.pipe_grace_ms = 20}};
    produce_script(&run, "cat /dev/urandom & exit 0");
    assert_failed(&run, ERROR_SOURCE, false, "kept its output open");
}

static void a_grandchild_that_ends_in_time_is_part_of_the_dump(void **state)
{
    (void)state;
    struct run run = {.request = {.pipe_grace_ms = 60000}};
    produce_script(&run, "echo one; (head -c 3000000 /dev/zero >/dev/null; echo two) & exit 0");
    assert_unzips_to(&run, "one\ntwo\n");
}

static void a_grandchild_that_holds_only_the_words_is_not_waited_for(void **state)
{
    (void)state;
    struct run run = {.request = {.pipe_grace_ms = 3600000}};
    produce_script(&run, "echo all; echo $$ >/dev/null; sleep 1000 >/dev/null & echo $! ; exit 0");
    size_t n;
    char *out = unzipped(&run, &n);
    kill((pid_t)atoi(strchr(out, '\n') + 1), SIGKILL);
    free(out);
}

static void the_failing_childs_family_is_killed(void **state)
{
    (void)state;
    char script[200];
    snprintf(script, sizeof script, "sleep 1000 & echo $! >%s/pid; exit 1", root);
    struct run run = {.request = {.pipe_grace_ms = 3600000}};
    produce_script(&run, script);
    assert_failed(&run, ERROR_SOURCE, false, "exited with status 1");
}

static void programs_that_are_not_there(void **state)
{
    (void)state;
    struct run run = {.request.source = {.db_type = "command", .source_argv = "[\"/nowhere/dump\"]"}};
    produce(&run);
    assert_failed(&run, ERROR_SOURCE, false, "'/nowhere/dump'");
    run = (struct run){
        .request = {.source = {.db_type = "postgresql", .database_name = "x"}, .pg_dump = "no_such_pg_dump"}};
    produce(&run);
    assert_failed(&run, ERROR_SOURCE, false, "BM_PG_DUMP");
    run = (struct run){.request.source = {.db_type = "command", .source_argv = "[\"/etc/passwd\"]"}};
    produce(&run);
    assert_failed(&run, ERROR_SOURCE, false, "'/etc/passwd'");
}

static void descriptions_that_make_no_sense_are_refused_at_once(void **state)
{
    (void)state;
    struct error err;
    struct producer *producer = NULL;
    struct producer_request request = {.source = {.db_type = "command", .source_argv = "[]"}};
    assert_int_equal(producer_start(&request, &producer, &err), ERROR_INPUT);
    uv_loop_t loop;
    struct secrets *secrets;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(secrets_new(&loop, &(struct secrets_options){0}, &secrets, &err), 0);
    struct producer_request vault = {
        .loop = &loop,
        .secrets = secrets,
        .source = {.db_type = "postgresql", .database_name = "x", .password_ref = "vault:a#b"}};
    assert_int_equal(producer_start(&vault, &producer, &err), ERROR_INPUT);
    struct producer_request encrypted = {
        .loop = &loop,
        .secrets = secrets,
        .source = {.db_type = "postgresql", .database_name = "x", .password_encrypted = "gAAAA"}};
    assert_int_equal(producer_start(&encrypted, &producer, &err), ERROR_NOT_FOUND);
    assert_true(err.retryable);
    assert_non_null(strstr(err.message, "BM_LEGACY_ENCRYPTION_KEY_REF"));
    assert_null(producer);
    secrets_close(secrets, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

/* --- cancel --- */

static bool is_alive(const char *pid_file)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", root, pid_file);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    int pid = 0;
    assert_int_equal(fscanf(f, "%d", &pid), 1);
    fclose(f);
    assert_true(pid > 1);
    return kill(pid, 0) == 0;
}

static void cancelled_in_mid_output(void **state)
{
    (void)state;
    char script[200];
    snprintf(script, sizeof script, "echo $$ >%s/pid; exec yes", root);
    struct run run = {.cancel_at = 1000000};
    produce_script(&run, script);
    assert_failed(&run, ERROR_CANCELLED, true, "cancelled");
    assert_false(is_alive("pid"));
}

static void cancelled_against_a_child_that_ignores_it(void **state)
{
    (void)state;
    char script[300];
    snprintf(script, sizeof script,
             "echo $$ >%s/pid; trap '' TERM; head -c 2000000 /dev/zero; while :; do sleep 100; done", root);
    struct run run = {.cancel_at = 1000000, .request = {.kill_grace_ms = 20}};
    produce_script(&run, script);
    assert_failed(&run, ERROR_CANCELLED, true, "cancelled");
    assert_false(is_alive("pid"));
}

static void cancelled_while_a_grandchild_holds_the_output(void **state)
{
    (void)state;
    struct run run = {.cancel_at = 1000000, .request = {.pipe_grace_ms = 3600000}};
    produce_script(&run, "head -c 2000000 /dev/zero; sleep 1000 & exit 0");
    assert_failed(&run, ERROR_CANCELLED, true, "cancelled");
}

static void cancelled_at_once(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct error err;
    assert_int_equal(uv_loop_init(&loop), 0);
    struct run run = {.request = {.loop = &loop,
                                  .source = {.db_type = "command", .source_argv = "[\"yes\"]"},
                                  .staging_dir = staging,
                                  .backup_id = 12,
                                  .fence = 3,
                                  .done = on_done,
                                  .data = &run}};
    uv_timer_init(&loop, &run.watch);
    assert_int_equal(producer_start(&run.request, &run.producer, &err), 0);
    producer_cancel(run.producer);
    producer_cancel(run.producer);
    assert_int_equal(run.done, 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(run.done, 1);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_failed(&run, ERROR_CANCELLED, true, "cancelled");
}

/* A cancel in every loop turn in which it can come, of a production that would succeed. */
static void cancelled_at_any_turn(void **state)
{
    (void)state;
    for (int turn = 0; turn < 100; turn++) {
        uv_loop_t loop;
        struct error err;
        assert_int_equal(uv_loop_init(&loop), 0);
        struct run run = {
            .request = {.loop = &loop,
                        .source = {.db_type = "command", .source_argv = "[\"echo\", \"hello\"]"},
                        .staging_dir = staging,
                        .backup_id = 12,
                        .fence = 3,
                        .done = on_done,
                        .data = &run}};
        uv_timer_init(&loop, &run.watch);
        assert_int_equal(producer_start(&run.request, &run.producer, &err), 0);
        for (int i = 0; i < turn && run.producer; i++)
            uv_run(&loop, UV_RUN_ONCE);
        bool too_late = run.producer == NULL;
        if (!too_late)
            producer_cancel(run.producer);
        uv_run(&loop, UV_RUN_DEFAULT);
        assert_int_equal(run.done, 1);
        assert_int_equal(uv_loop_close(&loop), 0);
        if (too_late) {
            assert_unzips_to(&run, "hello\n");
            return;
        }
        assert_failed(&run, ERROR_CANCELLED, true, "cancelled");
    }
    fail_msg("it never ended");
}

/* --- the staging disk --- */

static void a_file_that_may_not_grow_is_retryable(void **state)
{
    (void)state;
    struct rlimit old, small;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){1000000, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    struct run run = {0};
    produce_script(&run, "exec cat /dev/urandom");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_failed(&run, ERROR_LIMIT, true, "staging directory");
}

static void a_full_staging_disk_is_retryable(void **state)
{
    (void)state;
    if (!can_mount || mount("tmpfs", staging, "tmpfs", 0, "size=1m") < 0)
        skip();
    struct run run = {0};
    produce_script(&run, "exec cat /dev/urandom");
    int left = count_files(staging);
    umount(staging);
    assert_int_equal(left, 0);
    assert_failed(&run, ERROR_NO_SPACE, true, "staging directory");
}

static void a_missing_staging_directory_is_retryable(void **state)
{
    (void)state;
    assert_int_equal(rmdir(staging), 0);
    struct run run = {0};
    produce_script(&run, "echo hello");
    assert_int_equal(mkdir(staging, 0700), 0);
    assert_failed(&run, ERROR_NOT_FOUND, true, "staging directory");
}

/* --- descriptors --- */

static void nothing_is_left_open(void **state)
{
    (void)state;
    static const char *const scripts[] = {"echo hello", "echo no >&2; exit 3", "kill -9 $$",
                                          "echo x; sleep 1000 &"};
    int before = 0;
    setenv("TEST_PASSWORD", "x", 1);
    for (int i = 0; i < 50; i++) {
        struct run run = {.request = {.pipe_grace_ms = 5}};
        if (i % 5 == 4)
            produce_pg_dump(&run, TRAILER, "env:TEST_PASSWORD");
        else
            produce_script(&run, scripts[i % 5]);
        run = (struct run){.request.source = {.db_type = "command", .source_argv = "[\"/nowhere/dump\"]"}};
        produce(&run);
        if (i == 4)
            before = count_files("/proc/self/fd");
    }
    assert_int_equal(count_files("/proc/self/fd"), before);
}

int main(void)
{
    can_mount = unshare(CLONE_NEWNS) == 0 && mount("none", "/", "none", MS_REC | MS_PRIVATE, "") == 0;
    const struct CMUnitTest tests[] = {
        TEST(a_command_is_staged),
        TEST(a_command_without_output_is_an_empty_artifact),
        TEST(standard_input_is_empty),
        TEST(exit_status_and_words_are_told),
        TEST(silent_failure_is_told),
        TEST(a_flood_of_words_is_bounded),
        TEST(a_child_killed_in_mid_output_leaves_nothing),
        TEST(huge_output_comes_through),
        TEST(output_closed_early_by_a_child_that_ends_well),
        TEST(output_closed_early_by_a_child_that_stays),
        TEST(a_grandchild_that_holds_the_output),
        TEST(a_grandchild_that_goes_on_writing),
        TEST(a_grandchild_that_ends_in_time_is_part_of_the_dump),
        TEST(a_grandchild_that_holds_only_the_words_is_not_waited_for),
        TEST(the_failing_childs_family_is_killed),
        TEST(programs_that_are_not_there),
        TEST(descriptions_that_make_no_sense_are_refused_at_once),
        TEST(cancelled_in_mid_output),
        TEST(cancelled_against_a_child_that_ignores_it),
        TEST(cancelled_while_a_grandchild_holds_the_output),
        TEST(cancelled_at_once),
        TEST(cancelled_at_any_turn),
        TEST(a_file_that_may_not_grow_is_retryable),
        TEST(a_full_staging_disk_is_retryable),
        TEST(a_missing_staging_directory_is_retryable),
        TEST(nothing_is_left_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
