/* Real children: shell scripts as command sources and as fake pg_dump. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "artifact/producer.h"
#include "artifact/staging.h"
#include "auth/secrets.h"

static char root[64];
static char staging[80];
static bool can_mount;

struct run {
    struct producer_request request;
    struct producer *producer;
    struct secrets *secrets;
    uv_timer_t watch;
    uint64_t cancel_at; /* source bytes; 0 = never */
    int done;
    bool ok;
    struct producer_result result;
    struct error err;
};

static void on_done(void *data, const struct producer_result *result, const struct error *err)
{
    struct run *run = data;
    run->done++;
    run->ok = result != NULL;
    assert_true((result == NULL) == (err != NULL));
    if (result)
        run->result = *result;
    else
        run->err = *err;
    run->producer = NULL;
    secrets_close(run->secrets, NULL, NULL);
    uv_close((uv_handle_t *)&run->watch, NULL);
}

static void on_watch(uv_timer_t *timer)
{
    struct run *run = timer->data;
    if (run->producer && run->request.source_bytes >= run->cancel_at)
        producer_cancel(run->producer);
}

static void produce(struct run *run)
{
    uv_loop_t loop;
    struct error err = {0};
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(secrets_new(&loop, &(struct secrets_options){0}, &run->secrets, &err), 0);
    run->request.loop = &loop;
    run->request.secrets = run->secrets;
    if (run->request.pg_dump == NULL)
        run->request.pg_dump = "pg_dump";
    run->request.tar = "tar";
    run->request.staging_dir = staging;
    run->request.backup_id = 12;
    run->request.fence = 3;
    run->request.done = on_done;
    run->request.data = run;
    uv_timer_init(&loop, &run->watch);
    run->watch.data = run;
    if (producer_start(&run->request, &run->producer, &err))
        fail_msg("producer_start: %s", err.message);
    assert_int_equal(run->done, 0);
    if (run->cancel_at)
        uv_timer_start(&run->watch, on_watch, 1, 1);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(run->done, 1);
    assert_int_equal(uv_loop_close(&loop), 0);
}

/* Runs a shell script as a command source. */
static void produce_script(struct run *run, const char *script)
{
    json_t *argv = json_pack("[s,s,s]", "/bin/sh", "-c", script);
    char *text = json_dumps(argv, 0);
    run->request.source = (struct source){.db_type = "command", .source_argv = text};
    produce(run);
    free(text);
    json_decref(argv);
}

/* Writes an executable script and returns its path (static). */
static const char *script_file(const char *name, const char *text)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "#!/bin/sh\n%s", text);
    fclose(f);
    assert_int_equal(chmod(path, 0700), 0);
    return path;
}

static void produce_pg_dump(struct run *run, const char *script, const char *password_ref)
{
    run->request.pg_dump = script_file("pg_dump", script);
    run->request.source = (struct source){.db_type = "postgresql",
                                          .host = "db.example",
                                          .port = 5433,
                                          .username = "shop_owner",
                                          .database_name = "shop",
                                          .password_ref = password_ref};
    produce(run);
}

static int count_files(const char *dir)
{
    DIR *d = opendir(dir);
    assert_non_null(d);
    int n = 0;
    const struct dirent *entry;
    while ((entry = readdir(d)) != NULL)
        n += entry->d_name[0] != '.';
    closedir(d);
    return n;
}

static void assert_failed(const struct run *run, int code, bool retryable, const char *says)
{
    if (run->ok || run->err.code != code || run->err.retryable != retryable ||
        strstr(run->err.message, says) == NULL)
        fail_msg("wanted %s%s '%s', got %s%s '%s'", error_code_name(code), retryable ? " (retryable)" : "",
                 says, run->ok ? "success" : error_code_name(run->err.code),
                 run->err.retryable ? " (retryable)" : "", run->err.message);
    assert_int_equal(count_files(staging), 0);
}

/* The artifact unzipped; its digest and sizes are checked on the way. */
static char *unzipped(const struct run *run, size_t *ret_n)
{
    if (!run->ok)
        fail_msg("%s: %s", error_code_name(run->err.code), run->err.message);
    assert_int_equal(count_files(staging), 2);
    struct error err;
    int fd = -1;
    struct part_digests *parts = staging_open_parts(staging, 12, 3, run->result.size, run->result.sha256);
    assert_non_null(parts);
    assert_int_equal(parts->total, run->result.size);
    part_digests_free(parts);
    assert_int_equal(staging_open(staging, 12, 3, run->result.size, &fd, &err), 0);
    unsigned char *zipped = malloc(run->result.size);
    assert_non_null(zipped);
    size_t n = 0;
    for (ssize_t got; (got = read(fd, zipped + n, run->result.size - n)) > 0;)
        n += (size_t)got;
    assert_int_equal(n, run->result.size);
    close(fd);
    unsigned char digest[32];
    char hex[65];
    unsigned digest_n = 0;
    EVP_Digest(zipped, n, digest, &digest_n, EVP_sha256(), NULL);
    for (int i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(hex, run->result.sha256);
    char *out = malloc(run->result.source_bytes + 1);
    assert_non_null(out);
    z_stream z = {.next_in = zipped,
                  .avail_in = (uInt)n,
                  .next_out = (unsigned char *)out,
                  .avail_out = (uInt)run->result.source_bytes + 1};
    assert_int_equal(inflateInit2(&z, 16 + MAX_WBITS), Z_OK);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(z.avail_in, 0);
    assert_int_equal(z.total_out, run->result.source_bytes);
    inflateEnd(&z);
    out[run->result.source_bytes] = '\0';
    free(zipped);
    *ret_n = run->result.source_bytes;
    assert_true(run->request.source_bytes == run->result.source_bytes);
    assert_true(run->request.staged_bytes == run->result.size);
    return out;
}

static void assert_unzips_to(const struct run *run, const char *text)
{
    size_t n;
    char *out = unzipped(run, &n);
    assert_int_equal(n, strlen(text));
    assert_string_equal(out, text);
    free(out);
}

/* --- commands --- */

static void a_command_is_staged(void **state)
{
    (void)state;
    struct run run = {0};
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

#define TRAILER                                                                                              \
    "echo '--'; echo '-- PostgreSQL database dump complete'; echo '--'; echo; echo '\\unrestrict xyz';"

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

static int remove_one(const char *name, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(name);
}

static int setup(void **state)
{
    (void)state;
    strcpy(root, "/tmp/test_producer.XXXXXX");
    if (mkdtemp(root) == NULL)
        return -1;
    snprintf(staging, sizeof staging, "%s/staging", root);
    struct error err;
    return staging_prepare(staging, &err);
}

static int teardown(void **state)
{
    (void)state;
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

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
        TEST(nothing_is_left_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
