/* The producer with a real pg_dump, of a private server that asks for a password (SCRAM). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "artifact/producer.h"
#include "artifact/staging.h"
#include "auth/secrets.h"

#define PASSWORD "pass:wo\\rd *#'\""

static char root[] = "/tmp/test_producer_pg.XXXXXX";
static char staging[64];
static PGconn *conn;

/* Runs a shell script with $dir (of the server), $as (prefix that drops root) and $bin set. */
static int sh(const char *script)
{
    static const char prelude[] =
        "set -e; cd /; as=; bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1);"
        "[ -x \"$bin/initdb\" ] || bin=$(dirname \"$(command -v initdb)\");"
        "if [ $(id -u) = 0 ]; then user=postgres; id -u $user >/dev/null 2>&1 || user=nobody;"
        "as=\"setpriv --reuid=$user --regid=$(id -g $user) --clear-groups\"; chown $user $dir; fi;";
    char command[4096];
    snprintf(command, sizeof command, "dir=%s/pg; mkdir -p $dir; %s %s", root, prelude, script);
    return system(command);
}

static void sql(const char *text)
{
    PGresult *result = PQexec(conn, text);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        fail_msg("%s: %s", text, PQerrorMessage(conn));
    PQclear(result);
}

static int start_server(void **state)
{
    (void)state;
    if (mkdtemp(root) == NULL || sh("chmod 755 $(dirname $dir)") != 0)
        return -1;
    snprintf(staging, sizeof staging, "%s/staging", root);
    struct error err;
    if (staging_prepare(staging, &err))
        return -1;
    char path[64];
    snprintf(path, sizeof path, "%s/password", root);
    FILE *f = fopen(path, "w");
    if (f == NULL)
        return -1;
    fprintf(f, "%s\n", PASSWORD);
    fclose(f);
    if (sh("cp $dir/../password $dir/password; [ -z \"$as\" ] || chown $user $dir/password;"
           "$as $bin/initdb -D $dir/data -U owner --auth=scram-sha-256 --pwfile=$dir/password -E UTF8 "
           "--locale=C -N >$dir/../log 2>&1;"
           "$as $bin/pg_ctl -w -D $dir/data -l $dir/server.log start -o \"-k $dir -p 5432 -c "
           "listen_addresses= -c fsync=off\" >>$dir/../log 2>&1") != 0)
        return -1;
    char host[64];
    snprintf(host, sizeof host, "%s/pg", root);
    const char *keys[] = {"host", "port", "user", "password", "dbname", NULL};
    const char *values[] = {host, "5432", "owner", PASSWORD, "postgres", NULL};
    conn = PQconnectdbParams(keys, values, 0);
    if (PQstatus(conn) != CONNECTION_OK) {
        fprintf(stderr, "%s", PQerrorMessage(conn));
        return -1;
    }
    sql("CREATE DATABASE \"odd=name\"");
    sql("CREATE TABLE orders AS SELECT n, 'row ' || n AS label FROM generate_series(1, 1000) n");
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    PQfinish(conn);
    int rc = sh("$as $bin/pg_ctl -D $dir/data -m immediate stop >/dev/null");
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command) || rc;
}

struct run {
    struct producer_request request;
    struct producer *producer;
    struct secrets *secrets;
    uv_timer_t watch;
    bool terminate; /* pg_dump's backend, in mid dump */
    bool ok;
    struct producer_result result;
    struct error err;
};

static void on_done(void *data, const struct producer_result *result, const struct error *err)
{
    struct run *run = data;
    run->ok = result != NULL;
    if (result)
        run->result = *result;
    else
        run->err = *err;
    secrets_close(run->secrets, NULL, NULL);
    uv_close((uv_handle_t *)&run->watch, NULL);
}

static void on_watch(uv_timer_t *timer)
{
    struct run *run = timer->data;
    if (run->request.source_bytes == 0)
        return;
    uv_timer_stop(timer);
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pg_dump'");
}

static void dump(struct run *run, const char *database_name, const char *password)
{
    char host[64];
    snprintf(host, sizeof host, "%s/pg", root);
    unsetenv("PGPASSWORD");
    setenv("TEST_PASSWORD", password ? password : "", 1);
    uv_loop_t loop;
    struct error err;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(secrets_new(&loop, &(struct secrets_options){0}, &run->secrets, &err), 0);
    run->request =
        (struct producer_request){.loop = &loop,
                                  .secrets = run->secrets,
                                  .source = {.db_type = "postgresql",
                                             .host = host,
                                             .port = 5432,
                                             .username = "owner",
                                             .database_name = database_name,
                                             .password_ref = password ? "env:TEST_PASSWORD" : NULL},
                                  .pg_dump = "pg_dump",
                                  .staging_dir = staging,
                                  .backup_id = 1,
                                  .fence = 1,
                                  .done = on_done,
                                  .data = run};
    uv_timer_init(&loop, &run->watch);
    run->watch.data = run;
    if (run->terminate)
        uv_timer_start(&run->watch, on_watch, 0, 1);
    assert_int_equal(producer_start(&run->request, &run->producer, &err), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void assert_dumped(const struct run *run, const char *says)
{
    if (!run->ok)
        fail_msg("%s", run->err.message);
    char path[96];
    snprintf(path, sizeof path, "%s/b1.g1", staging);
    gzFile f = gzopen(path, "rb");
    assert_non_null(f);
    char *text = calloc(1, run->result.source_bytes + 1);
    assert_non_null(text);
    assert_int_equal(gzread(f, text, (unsigned)run->result.source_bytes), run->result.source_bytes);
    assert_non_null(strstr(text, says));
    assert_non_null(strstr(text, "PostgreSQL database dump complete"));
    gzclose(f);
    free(text);
    staging_remove(staging, 1, 1);
}

static void assert_failed(const struct run *run, int code, bool retryable, const char *says)
{
    struct error err;
    struct staging_entry entry;
    int n = -1;
    if (run->ok || run->err.code != code || run->err.retryable != retryable ||
        strstr(run->err.message, says) == NULL)
        fail_msg("wanted %s '%s', got %s '%s'", error_code_name(code), says,
                 run->ok ? "success" : error_code_name(run->err.code), run->err.message);
    assert_int_equal(staging_list(staging, &entry, 1, &n, &err), 0);
    assert_int_equal(n, 0);
}

static void a_database_behind_a_password(void **state)
{
    (void)state;
    struct run run = {0};
    dump(&run, "postgres", PASSWORD);
    assert_dumped(&run, "\n1000\trow 1000\n");
}

static void a_name_that_looks_like_a_connection_string(void **state)
{
    (void)state;
    struct run run = {0};
    dump(&run, "odd=name", PASSWORD);
    assert_dumped(&run, "PostgreSQL database dump");
}

static void connections_that_are_refused_are_retryable(void **state)
{
    (void)state;
    struct run run = {0};
    dump(&run, "postgres", "wrong");
    assert_failed(&run, ERROR_UNREACHABLE, true, "password authentication failed for user \"owner\"");
    run = (struct run){0};
    dump(&run, "postgres", NULL);
    assert_failed(&run, ERROR_UNREACHABLE, true, "no password supplied");
    run = (struct run){0};
    dump(&run, "missing", PASSWORD);
    assert_failed(&run, ERROR_UNREACHABLE, true, "database \"missing\" does not exist");
}

static void a_backend_that_dies_in_mid_dump(void **state)
{
    (void)state;
    sql("CREATE TABLE big AS SELECT n, repeat('wide row ', 40) AS label FROM generate_series(1, 300000) n");
    struct run run = {.terminate = true};
    dump(&run, "postgres", PASSWORD);
    assert_failed(&run, ERROR_SOURCE, false,
                  "pg_dump exited with status 1: pg_dump: error: Dumping the contents");
    assert_true(run.request.source_bytes > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_database_behind_a_password),
        cmocka_unit_test(a_name_that_looks_like_a_connection_string),
        cmocka_unit_test(connections_that_are_refused_are_retryable),
        cmocka_unit_test(a_backend_that_dies_in_mid_dump),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
