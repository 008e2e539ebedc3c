/* pg.c's connections against a PostgreSQL of its own, which is killed and started again: refused, lost, late,
 * closed; notifications. */
#include "pg_fixture.h"

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
    open_client(f, (struct pg_options){.request_timeout_ms = 4000});
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
        pg_client_close(h->f->client, count_closed, h->f);
}

static void on_heard_loss(void *data, const struct error *why)
{
    struct heard *h = data;
    assert_int_equal(why->code, ERROR_UNREACHABLE);
    h->losses++;
    if (h->close_at_loss)
        pg_client_close(h->f->client, count_closed, h->f);
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
            pg_client_close(f->client, count_closed, f);
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
        pg_client_close(f->client, count_closed, f);
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

int main(void)
{
    log_init("test_pg_connection", LOG_ERROR, LOG_TEXT);
    const struct CMUnitTest tests[] = {
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
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
