#include "pg_fixture.h"

struct server server;
char url[256];
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

void start_postgres(void)
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

int group_setup(void **state)
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

int group_teardown(void **state)
{
    (void)state;
    server_deinit(&server);
    return 0;
}

/* -- one client per test -- */

void open_client(struct fixture *f, struct pg_options options)
{
    struct error err;
    if (options.url == NULL)
        options.url = url;
    options.application_name = "test_pg";
    assert_int_equal(pg_client_new(&f->loop, &options, &f->client, &err), 0);
}

void count_closed(void *data)
{
    ((struct fixture *)data)->closed++;
}

void close_client(struct fixture *f)
{
    f->closed = 0;
    pg_client_close(f->client, count_closed, f);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(f->closed, 1);
    f->client = NULL;
}

int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    uv_loop_init(&f->loop);
    *state = f;
    return 0;
}

int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->client)
        close_client(f);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    free(f);
    return 0;
}

struct pg_request *request(struct fixture *f)
{
    struct pg_request *r = pg_request_new(f->client);
    assert_non_null(r);
    return r;
}

void must_run(struct fixture *f, const char *sql)
{
    struct pg_request *r = request(f);
    struct error err = {0};
    pg_request_add(r, UNNAMED(sql, 0), NULL);
    int rc = pg_run(r, NULL, &err);
    if (rc != 0)
        fail_msg("%s: %s", sql, err.message);
}

int64_t must_get(struct fixture *f, const char *sql)
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

int run_error(struct fixture *f, const char *sql, struct error *err)
{
    struct pg_request *r = request(f);
    *err = (struct error){0};
    pg_request_add(r, UNNAMED(sql, 0), NULL);
    return pg_run(r, NULL, err);
}

/* -- counting callback -- */

void on_tally(void *data, const struct pg_results *results, const struct error *err)
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

void wait_for(struct fixture *f, const struct tally *t, int n)
{
    while (t->answers + t->errors < n)
        uv_run(&f->loop, UV_RUN_ONCE);
}
