/* pg.c against a PostgreSQL of its own: statements, transactions, values. Connections: test_pg_connection.c.
 */
#include "pg_fixture.h"

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

int main(void)
{
    log_init("test_pg", LOG_ERROR, LOG_TEXT);
    const struct CMUnitTest tests[] = {
        TEST(test_values),           TEST(test_one_transaction), TEST(test_session),
        TEST(test_errors),           TEST(test_misuse),          TEST(test_url),
        TEST(test_pipelining),       TEST(test_large_values),    TEST(test_several_connections),
        TEST(test_error_among_many), TEST(test_prepared_lost),   TEST(test_prepared_outdated),
        TEST(test_arrays),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
