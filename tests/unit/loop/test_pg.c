/* pg.c against a PostgreSQL of its own: what it starts it kills and restarts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "loop/pg.h"
#include "servers.h"

static struct server server;
static char url[256];
static char postgres_path[256];

/* -- the server -- */

static void find_binary(const char *name, char *out, size_t size)
{
    char pattern[64];
    glob_t found;
    snprintf(pattern, sizeof pattern, "/usr/lib/postgresql/*/bin/%s", name);
    if (glob(pattern, 0, NULL, &found) != 0 || found.gl_pathc == 0)
        server_die("no PostgreSQL server installed");
    snprintf(out, size, "%s", found.gl_pathv[found.gl_pathc - 1]);
    globfree(&found);
}

static void start_postgres(void)
{
    char data[96];
    snprintf(data, sizeof data, "%s/data", server.dir);
    char *const argv[] = {postgres_path,       "-D", data,        "-k", server.dir,           "-c",
                          "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=20", NULL};
    for (int i = 0; i < 1500; i++) {
        /* after kill -9 its children still hold the shared memory for a moment: start it again */
        if (server.pid == 0 || waitpid(server.pid, NULL, WNOHANG) == server.pid)
            server.pid = server_spawn(&server, argv);
        if (PQping(url) == PQPING_OK)
            return;
        usleep(20000);
    }
    server_die("PostgreSQL does not start");
}

static int group_setup(void **state)
{
    (void)state;
    char initdb[256], data[96];
    server_init(&server, "bm-test-pg", true);
    find_binary("initdb", initdb, sizeof initdb);
    find_binary("postgres", postgres_path, sizeof postgres_path);
    snprintf(data, sizeof data, "%s/data", server.dir);
    char *const argv[] = {initdb, "-D", data, "-U", "tester", "--no-sync", "-E", "UTF8", "--locale=C", NULL};
    int status;
    pid_t pid = server_spawn(&server, argv);
    if (waitpid(pid, &status, 0) != pid || status != 0)
        server_die("initdb failed");
    snprintf(url, sizeof url, "host=%s user=tester dbname=postgres", server.dir);
    start_postgres();
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    server_deinit(&server);
    return 0;
}

/* -- one client per test -- */

struct fixture {
    uv_loop_t loop;
    struct pg_client *client;
    int closed;
};

static void open_client(struct fixture *f, struct pg_options options)
{
    struct error err;
    if (options.url == NULL)
        options.url = url;
    options.application_name = "test_pg";
    assert_int_equal(pg_client_new(&f->loop, &options, &f->client, &err), 0);
}

static void on_closed(void *data)
{
    ((struct fixture *)data)->closed++;
}

static void close_client(struct fixture *f)
{
    f->closed = 0;
    pg_client_close(f->client, on_closed, f);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(f->closed, 1);
    f->client = NULL;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    uv_loop_init(&f->loop);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->client)
        close_client(f);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    free(f);
    return 0;
}

#define UNNAMED(text, n)                                                                                     \
    &(const struct pg_statement)                                                                             \
    {                                                                                                        \
        .sql = text, .n_params = n                                                                           \
    }

static struct pg_request *request(struct fixture *f)
{
    struct pg_request *r = pg_request_new(f->client);
    assert_non_null(r);
    return r;
}

static void must_run(struct fixture *f, const char *sql)
{
    struct pg_request *r = request(f);
    struct error err = {0};
    pg_request_add(r, UNNAMED(sql, 0), NULL);
    int rc = pg_run(r, NULL, &err);
    if (rc != 0)
        fail_msg("%s: %s", sql, err.message);
}

static int64_t must_get(struct fixture *f, const char *sql)
{
    struct pg_request *r = request(f);
    struct error err = {0};
    struct pg_copy copy;
    pg_request_add(r, UNNAMED(sql, 0), NULL);
    int rc = pg_run(r, &copy, &err);
    if (rc != 0)
        fail_msg("%s: %s", sql, err.message);
    int64_t value = pg_int(copy.results[0], 0, 0, -1);
    pg_copy_clear(&copy);
    return value;
}

static int run_error(struct fixture *f, const char *sql, struct error *err)
{
    struct pg_request *r = request(f);
    *err = (struct error){0};
    pg_request_add(r, UNNAMED(sql, 0), NULL);
    return pg_run(r, NULL, err);
}

/* -- counting callback -- */

struct tally {
    int answers;
    int errors;
    int64_t last;
    bool in_order;
    struct error err;
};

static void on_tally(void *data, const struct pg_results *results, const struct error *err)
{
    struct tally *t = data;
    if (results == NULL) {
        assert_non_null(err);
        t->errors++;
        t->err = *err;
        return;
    }
    assert_null(err);
    t->answers++;
    int64_t value = pg_int(results->results[results->n - 1], 0, 0, -1);
    if (value != t->last + 1)
        t->in_order = false;
    t->last = value;
}

static void wait_for(struct fixture *f, const struct tally *t, int n)
{
    while (t->answers + t->errors < n)
        uv_run(&f->loop, UV_RUN_ONCE);
}

/* -- tests -- */

static void test_values(void **state)
{
    struct fixture *f = *state;
    open_client(f, (struct pg_options){0});
    const struct pg_statement s = {
        .name = "values", .n_params = 3, .sql = "SELECT $1::bigint + 1, $2::text, $3::boolean, NULL::int"};
    for (int round = 0; round < 3; round++) { /* Parse under way, then by name */
        struct pg_request *r = request(f);
        struct pg_copy copy;
        struct error err;
        assert_int_equal(pg_request_add(r, &s, (const char *const[]){"41", "a'b\"c\\", NULL}), 0);
        assert_int_equal(pg_run(r, &copy, &err), 0);
        assert_int_equal(copy.n, 1);
        assert_int_equal(pg_int(copy.results[0], 0, 0, 0), 42);
        assert_string_equal(pg_text(copy.results[0], 0, 1), "a'b\"c\\");
        assert_int_equal(pg_bool(copy.results[0], 0, 2, -7), -7);
        assert_int_equal(pg_int(copy.results[0], 0, 3, 5), 5);
        assert_null(pg_text(copy.results[0], 0, 3));
        pg_copy_clear(&copy);
    }
    assert_int_equal(must_get(f, "SELECT count(*) FROM pg_prepared_statements WHERE name = 'values'"), 1);
    assert_int_equal(must_get(f, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'test_pg'"),
                     1);
}

static void test_one_transaction(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct pg_copy copy;
    open_client(f, (struct pg_options){0});
    must_run(f, "CREATE TABLE tx (id int PRIMARY KEY)");

    struct pg_request *r = request(f);
    pg_request_add(r, UNNAMED("INSERT INTO tx VALUES (1)", 0), NULL);
    pg_request_add(r, UNNAMED("SELECT count(*) FROM tx", 0), NULL);
    assert_int_equal(pg_run(r, &copy, &err), 0);
    assert_int_equal(copy.n, 2);
    assert_int_equal(pg_int(copy.results[1], 0, 0, -1), 1); /* sees the statement before it */
    pg_copy_clear(&copy);

    r = request(f);
    pg_request_add(r, UNNAMED("INSERT INTO tx VALUES (2)", 0), NULL);
    pg_request_add(r, UNNAMED("INSERT INTO tx VALUES (1)", 0), NULL);
    pg_request_add(r, UNNAMED("INSERT INTO tx VALUES (3)", 0), NULL);
    assert_int_equal(pg_run(r, &copy, &err), ERROR_EXISTS);
    assert_string_equal(err.native, "23505");
    assert_false(err.retryable);
    assert_false(pg_maybe_committed(&err));
    assert_non_null(strstr(err.message, "duplicate key value"));
    assert_non_null(strstr(err.message, "(id)=(1)"));
    assert_int_equal(must_get(f, "SELECT count(*) FROM tx"), 1);
    must_run(f, "DROP TABLE tx");
}

static void test_errors(void **state)
{
    struct fixture *f = *state;
    open_client(f, (struct pg_options){0});
    must_run(f, "CREATE TABLE strict (id int PRIMARY KEY, n int CHECK (n > 0) NOT NULL, "
                "CONSTRAINT later UNIQUE (n) DEFERRABLE INITIALLY DEFERRED)");
    must_run(f, "INSERT INTO strict VALUES (1, 1)");
    static const struct {
        const char *sql;
        int code;
        bool retryable;
        const char *native;
    } cases[] = {
        {"SELEC 1", ERROR_PROTOCOL, false, "42601"},
        {"SELECT * FROM nowhere", ERROR_PROTOCOL, false, "42P01"},
        {"INSERT INTO strict VALUES (2, -1)", ERROR_INPUT, false, "23514"},
        {"INSERT INTO strict VALUES (2, NULL)", ERROR_INPUT, false, "23502"},
        {"SELECT 1 / 0", ERROR_INPUT, false, "22012"},
        {"INSERT INTO strict VALUES (1, 5)", ERROR_EXISTS, false, "23505"},
        {"INSERT INTO strict VALUES (3, 1)", ERROR_EXISTS, false, "23505"}, /* at commit */
        {"DO $$ BEGIN RAISE serialization_failure; END $$", ERROR_CONFLICT, true, "40001"},
        {"DO $$ BEGIN RAISE lock_not_available; END $$", ERROR_PROTOCOL, true, "55P03"},
        {"DO $$ BEGIN RAISE disk_full; END $$", ERROR_PROTOCOL, true, "53100"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err;
        assert_int_equal(run_error(f, cases[i].sql, &err), cases[i].code);
        assert_string_equal(err.native, cases[i].native);
        assert_int_equal(err.retryable, cases[i].retryable);
        assert_false(pg_maybe_committed(&err));
    }
    assert_int_equal(must_get(f, "SELECT count(*) FROM strict"), 1);
    must_run(f, "DROP TABLE strict");
}

static void test_misuse(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct tally t = {.in_order = true};
    open_client(f, (struct pg_options){.max_queued = 2});
    assert_int_equal(pg_run(request(f), NULL, &err), ERROR_INPUT);
    struct pg_request *r = request(f);
    for (int i = 0; i < PG_REQUEST_MAX; i++)
        assert_int_equal(pg_request_add(r, UNNAMED("SELECT 1", 0), NULL), 0);
    assert_int_equal(pg_request_add(r, UNNAMED("SELECT 1", 0), NULL), ERROR_LIMIT);
    assert_int_equal(pg_run(r, NULL, &err), ERROR_LIMIT);
    pg_request_free(request(f));
    pg_request_free(NULL);
    for (int i = 0; i < 4; i++) {
        r = request(f);
        pg_request_add(r, UNNAMED("SELECT 1", 0), NULL);
        pg_request_send(r, on_tally, &t);
        assert_int_equal(t.answers + t.errors, 0);
    }
    wait_for(f, &t, 4);
    assert_int_equal(t.errors, 2);
    assert_int_equal(t.err.code, ERROR_LIMIT);

    /* an open transaction or a COPY must not reach the next request */
    must_run(f, "BEGIN");
    assert_int_not_equal(run_error(f, "COPY (SELECT 1) TO STDOUT", &err), 0);
    assert_int_equal(must_get(f, "SELECT 7"), 7);
}

static void test_session(void **state)
{
    struct fixture *f = *state;
    open_client(f, (struct pg_options){.session = true});
    must_run(f, "CREATE TABLE kept (id int)");
    must_run(f, "BEGIN");
    must_run(f, "INSERT INTO kept VALUES (1)");
    assert_int_equal(must_get(f, "SELECT count(*) FROM kept"), 1);
    must_run(f, "ROLLBACK");
    assert_int_equal(must_get(f, "SELECT count(*) FROM kept"), 0);
    must_run(f, "DROP TABLE kept");
}

static void test_url(void **state)
{
    struct fixture *f = *state;
    struct error err;
    static const char *const bad[] = {"postgresql://user:hunter2%zz@host/db", "host=h password=hunter2 oops",
                                      "postgres", "postgresql://u:hunter2@h/db?sslmod=x",
                                      "host=a,b port=1,2,3 password=hunter2"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct pg_client *client = NULL;
        assert_int_equal(pg_client_new(&f->loop, &(struct pg_options){.url = bad[i]}, &client, &err),
                         ERROR_INPUT);
        assert_null(client);
        assert_null(strstr(err.message, "hunter2"));
    }
    pg_client_close(NULL, NULL, NULL);
}

static void test_pipelining(void **state)
{
    struct fixture *f = *state;
    struct tally t = {.in_order = true};
    const struct pg_statement s = {.name = "next", .sql = "SELECT $1::int", .n_params = 1};
    open_client(f, (struct pg_options){.max_queued = 5000});
    for (int i = 1; i <= 5000; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        struct pg_request *r = request(f);
        pg_request_add(r, &s, (const char *const[]){text});
        pg_request_send(r, on_tally, &t);
    }
    wait_for(f, &t, 5000);
    assert_int_equal(t.errors, 0);
    assert_true(t.in_order);
}

static void test_large_values(void **state)
{
    struct fixture *f = *state;
    struct tally t = {0};
    const struct pg_statement s = {.name = "large", .sql = "SELECT length($1::text), $1", .n_params = 1};
    size_t size = 4u << 20;
    char *text = malloc(size + 1);
    memset(text, 'x', size);
    text[size] = '\0';
    open_client(f, (struct pg_options){.max_connections = 2});
    for (int i = 0; i < 8; i++) { /* more than the sockets take at once, in both directions */
        struct pg_request *r = request(f);
        pg_request_add(r, &s, (const char *const[]){text});
        pg_request_send(r, on_tally, &t);
    }
    free(text);
    wait_for(f, &t, 8);
    assert_int_equal(t.answers, 8);
    assert_int_equal(t.last, size);
}

static void test_several_connections(void **state)
{
    struct fixture *f = *state;
    struct tally t = {0};
    open_client(f, (struct pg_options){.max_connections = 4});
    const char *count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'test_pg'";
    assert_int_equal(must_get(f, "SELECT 1"), 1);
    assert_int_equal(must_get(f, count), 1); /* one is enough while it isn't busy */
    do {
        t = (struct tally){0};
        for (int i = 0; i < 200; i++) {
            struct pg_request *r = request(f);
            pg_request_add(r, UNNAMED("SELECT pg_sleep(0.001)", 0), NULL);
            pg_request_send(r, on_tally, &t);
        }
        wait_for(f, &t, 200);
        assert_int_equal(t.errors, 0);
    } while (must_get(f, count) < 2);
    assert_true(must_get(f, count) <= 4);
}

static void test_error_among_many(void **state)
{
    struct fixture *f = *state;
    struct tally t = {0};
    open_client(f, (struct pg_options){0});
    must_run(f, "CREATE TABLE many (id int PRIMARY KEY)");
    const struct pg_statement insert = {
        .name = "insert", .sql = "INSERT INTO many VALUES ($1) RETURNING id", .n_params = 1};
    const struct pg_statement select = {.name = "select", .sql = "SELECT count(*) FROM many", .n_params = 0};
    for (int i = 0; i < 40; i++) { /* each id twice: every second request fails before its second Parse */
        char id[16];
        snprintf(id, sizeof id, "%d", i / 2);
        struct pg_request *r = request(f);
        pg_request_add(r, &insert, (const char *const[]){id});
        pg_request_add(r, &select, NULL);
        pg_request_send(r, on_tally, &t);
    }
    wait_for(f, &t, 40);
    assert_int_equal(t.answers, 20);
    assert_int_equal(t.errors, 20);
    assert_int_equal(t.err.code, ERROR_EXISTS);
    /* the very first request of a connection fails before its second Parse: that one must come again */
    close_client(f);
    open_client(f, (struct pg_options){0});
    struct error err;
    for (int i = 0; i < 2; i++) {
        struct pg_request *r = request(f);
        pg_request_add(r, &insert, (const char *const[]){"0"});
        pg_request_add(r, &select, NULL);
        assert_int_equal(pg_run(r, NULL, &err), ERROR_EXISTS);
    }
    struct pg_request *r = request(f);
    pg_request_add(r, &select, NULL);
    assert_int_equal(pg_run(r, NULL, &err), 0);
    assert_int_equal(must_get(f, "SELECT count(*) FROM pg_prepared_statements WHERE name = 'select'"), 1);
    must_run(f, "DROP TABLE many");
}

static void test_prepared_lost(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct tally t = {.in_order = true};
    const struct pg_statement s = {.name = "one", .sql = "SELECT $1::int", .n_params = 1};
    open_client(f, (struct pg_options){0});
    struct pg_request *r = request(f);
    pg_request_add(r, &s, (const char *const[]){"1"});
    assert_int_equal(pg_run(r, NULL, &err), 0);
    must_run(f, "DEALLOCATE ALL");
    for (int i = 1; i <= 10; i++) { /* all under way when the first one finds out */
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        r = request(f);
        pg_request_add(r, &s, (const char *const[]){text});
        pg_request_send(r, on_tally, &t);
    }
    wait_for(f, &t, 10);
    assert_int_equal(t.errors, 0);
    assert_true(t.in_order);
    assert_int_equal(must_get(f, "SELECT count(*) FROM pg_prepared_statements"), 0);
}

static void test_prepared_outdated(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct pg_copy copy;
    const struct pg_statement s = {.name = "all", .sql = "SELECT * FROM shape", .n_params = 0};
    open_client(f, (struct pg_options){0});
    must_run(f, "CREATE TABLE shape (a int)");
    for (int i = 1; i <= 2; i++) {
        struct pg_request *r = request(f);
        pg_request_add(r, &s, NULL);
        assert_int_equal(pg_run(r, &copy, &err), 0);
        assert_int_equal(PQnfields(copy.results[0]), i);
        pg_copy_clear(&copy);
        must_run(f, "ALTER TABLE shape ADD COLUMN IF NOT EXISTS b int");
    }
    must_run(f, "DROP TABLE shape");
}

static void test_refused(void **state)
{
    struct fixture *f = *state;
    struct error err;
    static const char *const urls[] = {
        "postgresql://u:hunter2@127.0.0.1:1/db",
        "host=/nonexistent/folder password=hunter2",
        "postgresql://u:hunter2@localhost:1/db",
        "postgresql://u:hunter2@no-such-host.invalid:1/db",
        "postgresql://u:hunter2@127.0.0.1:1,localhost:1/db",
    };
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        open_client(f, (struct pg_options){
                           .url = urls[i], .connect_timeout_ms = 3600000, .unreachable_after_ms = 30});
        assert_int_equal(run_error(f, "SELECT 1", &err), ERROR_UNREACHABLE);
        assert_true(err.retryable);
        assert_false(pg_maybe_committed(&err));
        assert_null(strstr(err.message, "hunter2"));
        close_client(f);
    }
}

static void test_entry_denied(void **state)
{
    struct fixture *f = *state;
    struct error err;
    char text[256];
    static const struct {
        const char *user, *database;
        int code;
        const char *words;
    } cases[] = {{"tester", "nowhere", ERROR_NOT_FOUND, "database \"nowhere\" does not exist"},
                 {"nobody_here", "postgres", ERROR_DENIED, "role \"nobody_here\" does not exist"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text, "host=%s password=hunter2 user=%s dbname=%s", server.dir, cases[i].user,
                 cases[i].database);
        open_client(f, (struct pg_options){.url = text, .unreachable_after_ms = 3600000});
        for (int round = 0; round < 2; round++) {
            assert_int_equal(run_error(f, "SELECT 1", &err), cases[i].code);
            assert_non_null(strstr(err.message, cases[i].words));
            assert_null(strstr(err.message, "LOCATION"));
            assert_null(strstr(err.message, "hunter2"));
        }
        close_client(f);
    }
}

static void test_second_host(void **state)
{
    struct fixture *f = *state;
    char several[256];
    snprintf(several, sizeof several, "host=127.0.0.1,%s port=1,5432 user=tester dbname=postgres",
             server.dir);
    open_client(f, (struct pg_options){.url = several, .connect_timeout_ms = 3600000});
    assert_int_equal(must_get(f, "SELECT 3"), 3);
}

static void test_request_timeout(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct tally t = {0};
    open_client(f, (struct pg_options){.request_timeout_ms = 1500});
    struct pg_request *r = request(f);
    pg_request_add(r, UNNAMED("SELECT 1", 0), NULL);
    assert_int_equal(run_error(f, "SELECT pg_sleep(600)", &err), ERROR_TIMEOUT);
    assert_true(err.retryable);
    assert_true(pg_maybe_committed(&err));
    pg_request_send(r, on_tally, &t);
    wait_for(f, &t, 1);
    assert_int_equal(t.answers, 1);
    /* one sent behind the silent one had no time of its own yet */
    struct tally silent = {0}, behind = {0};
    for (struct tally *each = &silent; each; each = each == &silent ? &behind : NULL) {
        r = request(f);
        pg_request_add(r, UNNAMED("SELECT pg_sleep(600)", 0), NULL);
        pg_request_send(r, on_tally, each);
    }
    wait_for(f, &silent, 1);
    wait_for(f, &behind, 1);
    assert_int_equal(silent.err.code, ERROR_TIMEOUT);
    assert_int_equal(behind.err.code, ERROR_UNREACHABLE);
    assert_true(pg_maybe_committed(&behind.err));
    /* nobody waits for it on the server any more either */
    while (must_get(f, "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'") > 0)
        ;
}

static void test_connect_timeout(void **state)
{
    struct fixture *f = *state;
    struct error err;
    char silent[256];
    uv_pipe_t listener; /* takes connections and never says a word */
    char path[96];
    snprintf(path, sizeof path, "%s/.s.PGSQL.7777", server.dir);
    uv_pipe_init(&f->loop, &listener, 0);
    assert_int_equal(uv_pipe_bind(&listener, path), 0);
    assert_int_equal(listen(listener.io_watcher.fd, 8), 0);
    snprintf(silent, sizeof silent, "host=%s port=7777 user=tester", server.dir);
    open_client(f, (struct pg_options){.url = silent, .connect_timeout_ms = 20, .unreachable_after_ms = 50});
    assert_int_equal(run_error(f, "SELECT 1", &err), ERROR_UNREACHABLE);
    assert_non_null(strstr(err.message, "within 20 ms"));
    close_client(f);
    /* a second host that answers is reached all the same */
    snprintf(silent, sizeof silent, "host=%s,%s port=7777,5432 user=tester dbname=postgres", server.dir,
             server.dir);
    open_client(f, (struct pg_options){.url = silent, .connect_timeout_ms = 200});
    assert_int_equal(must_get(f, "SELECT 5"), 5);
    uv_close((uv_handle_t *)&listener, NULL);
}

static void test_server_killed(void **state)
{
    struct fixture *f = *state;
    struct tally t = {0};
    struct error err;
    open_client(f, (struct pg_options){.max_connections = 2, .unreachable_after_ms = 30000});
    must_run(f, "CREATE TABLE IF NOT EXISTS survive (id int)");
    struct pg_request *r = request(f);
    pg_request_add(r, UNNAMED("SELECT pg_sleep(600)", 0), NULL);
    pg_request_send(r, on_tally, &t);
    uv_run(&f->loop, UV_RUN_NOWAIT); /* sends it */
    server_kill(&server, SIGKILL);
    wait_for(f, &t, 1);
    assert_int_equal(t.errors, 1);
    assert_int_equal(t.err.code, ERROR_UNREACHABLE);
    assert_true(t.err.retryable);
    assert_true(pg_maybe_committed(&t.err));
    /* waits for the server to be back */
    r = request(f);
    pg_request_add(r, UNNAMED("SELECT 1", 0), NULL);
    t = (struct tally){0};
    pg_request_send(r, on_tally, &t);
    for (int i = 0; i < 3; i++)
        uv_run(&f->loop, UV_RUN_ONCE);
    start_postgres();
    wait_for(f, &t, 1);
    assert_int_equal(t.answers, 1);
    assert_int_equal(run_error(f, "SELECT * FROM survive", &err), 0);
}

static void test_backend_terminated(void **state)
{
    struct fixture *f = *state;
    struct error err;
    open_client(f, (struct pg_options){0});
    assert_int_equal(run_error(f, "SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(5)", &err),
                     ERROR_PROTOCOL);
    assert_string_equal(err.native, "57P01");
    assert_true(err.retryable);
    assert_false(pg_maybe_committed(&err));
    assert_int_equal(must_get(f, "SELECT 4"), 4);
}

/* -- LISTEN -- */

struct heard {
    struct fixture *f;
    int n, losses;
    char channel[32], payload[32];
    bool close_at_notification, close_at_loss;
};

static void on_heard(void *data, const char *channel, const char *payload)
{
    struct heard *h = data;
    h->n++;
    snprintf(h->channel, sizeof h->channel, "%s", channel);
    snprintf(h->payload, sizeof h->payload, "%s", payload);
    if (h->close_at_notification)
        pg_client_close(h->f->client, on_closed, h->f);
}

static void on_heard_loss(void *data, const struct error *why)
{
    struct heard *h = data;
    assert_int_equal(why->code, ERROR_UNREACHABLE);
    h->losses++;
    if (h->close_at_loss)
        pg_client_close(h->f->client, on_closed, h->f);
}

static void listen_to(struct fixture *f, struct heard *h)
{
    h->f = f;
    open_client(f, (struct pg_options){.on_notification = on_heard, .on_lost = on_heard_loss, .data = h});
    must_run(f, "LISTEN news");
}

static void from_another(const char *sql)
{
    PGconn *pq = PQconnectdb(url);
    PGresult *result = PQexec(pq, sql);
    assert_true(PQresultStatus(result) == PGRES_TUPLES_OK || PQresultStatus(result) == PGRES_COMMAND_OK);
    PQclear(result);
    PQfinish(pq);
}

static void test_notifications(void **state)
{
    struct fixture *f = *state;
    struct heard h = {0};
    listen_to(f, &h);
    from_another("NOTIFY news, 'from another'");
    while (h.n < 1)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_string_equal(h.channel, "news");
    assert_string_equal(h.payload, "from another");
    must_run(f, "SELECT pg_notify('news', 'from itself'), pg_notify('elsewhere', '')");
    while (h.n < 2)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_string_equal(h.payload, "from itself");
    assert_int_equal(h.losses, 0);
}

static void test_listener_lost(void **state)
{
    struct fixture *f = *state;
    struct heard h = {0};
    listen_to(f, &h);
    from_another("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test_pg'");
    while (h.losses < 1)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_false(pg_client_connected(f->client));
    must_run(f, "LISTEN news");
    from_another("NOTIFY news, 'again'");
    while (h.n < 1)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_int_equal(h.losses, 1);
}

static void test_listener_closes(void **state)
{
    struct fixture *f = *state;
    struct heard h = {.close_at_notification = true};
    listen_to(f, &h);
    from_another("SELECT pg_notify('news', i::text) FROM generate_series(1, 3) i");
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(h.n, 1);
    assert_int_equal(f->closed, 1);

    h = (struct heard){.close_at_loss = true};
    listen_to(f, &h);
    from_another("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test_pg'");
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(h.losses, 1);
    assert_int_equal(f->closed, 2);
    f->client = NULL;
}

static void test_close_any_time(void **state)
{
    struct fixture *f = *state;
    /* after n turns of the loop: looking up, connecting, running, done */
    static const char *const hosts[] = {"", "localhost", "no-such-host.invalid"};
    for (size_t h = 0; h < sizeof hosts / sizeof *hosts; h++) {
        for (int turns = 0; turns < 12; turns++) {
            struct tally t = {0};
            char other[128];
            snprintf(other, sizeof other, "host=%s port=1", hosts[h]);
            open_client(f, (struct pg_options){.url = h == 0 ? url : other, .max_connections = 2});
            for (int i = 0; i < 3; i++) {
                struct pg_request *r = request(f);
                pg_request_add(r, UNNAMED("SELECT 1", 0), NULL);
                pg_request_send(r, on_tally, &t);
            }
            for (int i = 0; i < turns; i++)
                uv_run(&f->loop, UV_RUN_NOWAIT);
            int before = t.answers + t.errors;
            f->closed = 0;
            pg_client_close(f->client, on_closed, f);
            assert_int_equal(t.answers + t.errors, 3); /* all told before close returns */
            assert_int_equal(f->closed, 0);
            if (before < 3)
                assert_int_equal(t.err.code, ERROR_CANCELLED);
            uv_run(&f->loop, UV_RUN_DEFAULT);
            assert_int_equal(f->closed, 1);
            f->client = NULL;
        }
    }
}

static void on_answer_close(void *data, const struct pg_results *results, const struct error *err)
{
    struct fixture *f = data;
    (void)results;
    (void)err;
    if (f->client)
        pg_client_close(f->client, on_closed, f);
    f->client = NULL;
}

static void test_close_in_callback(void **state)
{
    struct fixture *f = *state;
    for (int failing = 0; failing < 2; failing++) {
        struct tally t = {0};
        f->closed = 0;
        open_client(
            f, (struct pg_options){.url = failing ? "host=/nonexistent" : NULL, .unreachable_after_ms = 10});
        struct pg_request *r = request(f);
        pg_request_add(r, UNNAMED("SELECT 1", 0), NULL);
        pg_request_send(r, on_answer_close, f);
        for (int i = 0; i < 5; i++) {
            r = request(f);
            pg_request_add(r, UNNAMED("SELECT 1", 0), NULL);
            pg_request_send(r, on_tally, &t);
        }
        uv_run(&f->loop, UV_RUN_DEFAULT);
        assert_int_equal(t.errors, 5);
        assert_int_equal(f->closed, 1);
    }
}

static void test_idle_has_no_timer(void **state)
{
    struct fixture *f = *state;
    open_client(f, (struct pg_options){.max_connections = 2});
    assert_int_equal(must_get(f, "SELECT 1"), 1);
    uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_int_equal(uv_backend_timeout(&f->loop), -1);
}

static void test_arrays(void **state)
{
    struct fixture *f = *state;
    struct strbuf ints, texts;
    struct error err;
    struct pg_copy copy;
    strbuf_init(&ints, 1000);
    strbuf_init(&texts, 1000);
    pg_array_begin(&ints);
    pg_array_int(&ints, -9223372036854775807);
    pg_array_int(&ints, 7);
    pg_array_end(&ints);
    assert_string_equal(strbuf_cstr(&ints), "{-9223372036854775807,7}");
    static const char *const values[] = {"a",    "b\"c", "back\\slash", NULL,
                                         "NULL", "",     "{x,y}",       "\xc3\xa8 \n\t'"};
    const size_t n = sizeof values / sizeof *values;
    pg_array_begin(&texts);
    for (size_t i = 0; i < n; i++)
        pg_array_text(&texts, values[i]);
    pg_array_end(&texts);

    open_client(f, (struct pg_options){0});
    struct pg_request *r = request(f);
    pg_request_add(r, UNNAMED("SELECT unnest($1::bigint[])", 1), (const char *const[]){strbuf_cstr(&ints)});
    pg_request_add(r, UNNAMED("SELECT unnest($1::text[])", 1), (const char *const[]){strbuf_cstr(&texts)});
    assert_int_equal(pg_run(r, &copy, &err), 0);
    assert_int_equal(pg_int(copy.results[0], 1, 0, 0), 7);
    assert_int_equal(PQntuples(copy.results[1]), n);
    for (size_t i = 0; i < n; i++) {
        const char *text = pg_text(copy.results[1], (int)i, 0);
        if (values[i] == NULL)
            assert_null(text);
        else
            assert_string_equal(text, values[i]);
    }
    pg_copy_clear(&copy);
    strbuf_clear(&ints);
    pg_array_begin(&ints);
    pg_array_end(&ints);
    assert_string_equal(strbuf_cstr(&ints), "{}");
    strbuf_deinit(&ints);
    strbuf_deinit(&texts);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    log_init("test_pg", LOG_ERROR, LOG_TEXT);
    const struct CMUnitTest tests[] = {
        TEST(test_values),
        TEST(test_one_transaction),
        TEST(test_session),
        TEST(test_errors),
        TEST(test_misuse),
        TEST(test_url),
        TEST(test_pipelining),
        TEST(test_large_values),
        TEST(test_several_connections),
        TEST(test_error_among_many),
        TEST(test_prepared_lost),
        TEST(test_prepared_outdated),
        TEST(test_refused),
        TEST(test_entry_denied),
        TEST(test_second_host),
        TEST(test_request_timeout),
        TEST(test_connect_timeout),
        TEST(test_server_killed),
        TEST(test_backend_terminated),
        TEST(test_notifications),
        TEST(test_listener_lost),
        TEST(test_listener_closes),
        TEST(test_close_any_time),
        TEST(test_close_in_callback),
        TEST(test_idle_has_no_timer),
        TEST(test_arrays),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
