/* redis.c against a Redis of its own: what it starts it kills and restarts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "loop/redis.h"
#include "loop/redis_url.h"
#include "servers.h"

static struct server server;
static char url[128];

/* -- the server -- */

static bool answers(void)
{
    char path[96];
    snprintf(path, sizeof path, "%s/redis.sock", server.dir);
    redisContext *c = redisConnectUnix(path);
    redisReply *reply = c && !c->err ? redisCommand(c, "PING") : NULL;
    bool ok = reply && reply->type == REDIS_REPLY_STATUS;
    freeReplyObject(reply);
    if (c)
        redisFree(c);
    return ok;
}

static void start_redis(void)
{
    char *const argv[] = {"redis-server", "--port",      "0", "--unixsocket",
                          "redis.sock",   "--save",      "",  "--appendonly",
                          "no",           "--databases", "4", NULL};
    server.pid = server_spawn(&server, argv);
    for (int i = 0; i < 1500 && !answers(); i++)
        usleep(20000);
    if (!answers())
        server_die("Redis does not start");
}

static int group_setup(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    server_init(&server, "bm-test-redis", false);
    snprintf(url, sizeof url, "unix://%s/redis.sock", server.dir);
    start_redis();
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
    struct redis_client *client;
    struct redis_client *other;
    int closed;
    int ups;
    int downs;
    struct error why_not;
};

static void on_state(void *data, bool connected, const struct error *why_not)
{
    struct fixture *f = data;
    assert_true(connected ? why_not == NULL : why_not != NULL);
    f->ups += connected;
    f->downs += !connected;
    if (why_not)
        f->why_not = *why_not;
}

static struct redis_client *new_client(struct fixture *f, struct redis_options options)
{
    struct redis_client *client;
    struct error err;
    if (options.url == NULL)
        options.url = url;
    options.on_state = on_state;
    options.data = f;
    assert_int_equal(redis_client_new(&f->loop, &options, &client, &err), 0);
    return client;
}

static void open_client(struct fixture *f, struct redis_options options)
{
    f->client = new_client(f, options);
}

static void on_closed(void *data)
{
    ((struct fixture *)data)->closed++;
}

static void close_client(struct fixture *f, struct redis_client **client)
{
    f->closed = 0;
    redis_client_close(*client, on_closed, f);
    *client = NULL;
    while (f->closed == 0)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_int_equal(f->closed, 1);
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
        close_client(f, &f->client);
    if (f->other)
        close_client(f, &f->other);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    free(f);
    return 0;
}

#define COUNT(...) (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))
#define RUN(client, err, ...)                                                                                \
    redis_run(client, COUNT(__VA_ARGS__), (const char *const[]){__VA_ARGS__}, NULL, err)
#define SEND(client, timeout_ms, cb, data, ...)                                                              \
    redis_command(client, COUNT(__VA_ARGS__), (const char *const[]){__VA_ARGS__}, NULL, timeout_ms, cb, data)
#define MUST(client, ...)                                                                                    \
    do {                                                                                                     \
        struct error must_err = {0};                                                                         \
        redisReply *must_reply = RUN(client, &must_err, __VA_ARGS__);                                        \
        if (must_reply == NULL)                                                                              \
            fail_msg("%s", must_err.message);                                                                \
        freeReplyObject(must_reply);                                                                         \
    } while (0)

struct tally {
    int answers;
    int errors;
    int nils;
    long long last;
    bool out_of_order;
    char text[64];
    struct error err;
};

static void on_tally(void *data, const redisReply *reply, const struct error *err)
{
    struct tally *t = data;
    if (reply == NULL) {
        assert_non_null(err);
        t->errors++;
        t->err = *err;
        return;
    }
    assert_null(err);
    t->answers++;
    t->nils += reply->type == REDIS_REPLY_NIL;
    if (reply->type == REDIS_REPLY_INTEGER) {
        t->out_of_order |= reply->integer != t->last + 1;
        t->last = reply->integer;
    }
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2)
        snprintf(t->text, sizeof t->text, "%s", reply->element[1]->str);
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
    struct error err;
    open_client(f, (struct redis_options){.name = "tester"});
    const size_t lengths[3] = {3, 1, 5};
    redisReply *r = redis_run(f->client, 3, (const char *const[]){"SET", "k", "a\0b\r\n"}, lengths, &err);
    assert_non_null(r);
    assert_int_equal(r->type, REDIS_REPLY_STATUS);
    freeReplyObject(r);
    r = RUN(f->client, &err, "GET", "k");
    assert_int_equal(r->len, 5);
    assert_memory_equal(r->str, "a\0b\r\n", 5);
    freeReplyObject(r);
    r = RUN(f->client, &err, "EVAL", "return {1, {'x', {}}, false}", "0");
    assert_int_equal(r->elements, 3);
    assert_int_equal(r->element[0]->integer, 1);
    assert_string_equal(r->element[1]->element[0]->str, "x");
    assert_int_equal(r->element[1]->element[1]->elements, 0);
    assert_int_equal(r->element[2]->type, REDIS_REPLY_NIL);
    freeReplyObject(r);
    r = RUN(f->client, &err, "CLIENT", "GETNAME");
    assert_string_equal(r->str, "tester");
    freeReplyObject(r);
    assert_true(redis_client_connected(f->client));
    assert_int_equal(f->ups, 1);
    assert_int_equal(f->downs, 0);
}

static void test_url(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host, *path, *user, *password, *where;
        int port, db;
    } good[] = {
        {"redis://h", "h", NULL, NULL, NULL, "h:6379", 6379, 0},
        {"redis://h/", "h", NULL, NULL, NULL, "h:6379", 6379, 0},
        {"redis://h:1/15", "h", NULL, NULL, NULL, "h:1", 1, 15},
        {"redis://:s%40%3a@h:1/2", "h", NULL, NULL, "s@:", "h:1", 1, 2},
        {"redis://u:p@ss@[::1]:7?db=3", "::1", NULL, "u", "p@ss", "[::1]:7", 7, 3},
        {"unix:///run/r.sock", NULL, "/run/r.sock", NULL, NULL, "/run/r.sock", 0, 0},
        {"unix:///a%20b?db=9", NULL, "/a b", NULL, NULL, "/a b", 0, 9},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct redis_url parsed;
        struct error err = {0};
        if (redis_url_parse(&parsed, good[i].text, &err) != 0)
            fail_msg("%s: %s", good[i].text, err.message);
        const char *const pairs[][2] = {{parsed.host, good[i].host},
                                        {parsed.path, good[i].path},
                                        {parsed.user, good[i].user},
                                        {parsed.password, good[i].password},
                                        {parsed.where, good[i].where}};
        for (size_t j = 0; j < sizeof pairs / sizeof *pairs; j++)
            if (pairs[j][1] == NULL)
                assert_null(pairs[j][0]);
            else
                assert_string_equal(pairs[j][0], pairs[j][1]);
        assert_int_equal(parsed.port, good[i].port);
        assert_int_equal(parsed.db, good[i].db);
        redis_url_deinit(&parsed);
    }
    static const char *const bad[] = {"",
                                      "h",
                                      "http://h",
                                      "redis://",
                                      "redis://:hunter2@",
                                      "redis://hunter2@h",
                                      "redis://u:@h",
                                      "redis://:hunter2@h:0",
                                      "redis://:hunter2@h:65536",
                                      "redis://:hunter2@h:6x",
                                      "redis://:hunter2@h/x",
                                      "redis://:hunter2@h/1?tls=1",
                                      "redis://:hunter2%zz@h",
                                      "redis://:hunter2%00@h",
                                      "redis://:hunter2@[::1",
                                      "redis://:hunter2@[::1]x",
                                      "rediss://:hunter2@h",
                                      "unix://rel",
                                      "unix:///p?db=x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct redis_url parsed;
        struct error err = {0};
        if (redis_url_parse(&parsed, bad[i], &err) != ERROR_INPUT)
            fail_msg("accepted: %s", bad[i]);
        assert_null(strstr(err.message, "hunter2"));
    }
}

static void test_pipelining(void **state)
{
    struct fixture *f = *state;
    struct tally t = {0};
    open_client(f, (struct redis_options){.max_pending = 20000});
    MUST(f->client, "DEL", "n");
    for (int i = 0; i < 20000; i++)
        SEND(f->client, 0, on_tally, &t, "INCR", "n");
    assert_int_equal(t.answers + t.errors, 0);
    wait_for(f, &t, 20000);
    assert_int_equal(t.errors, 0);
    assert_false(t.out_of_order);
}

static void test_large_values(void **state)
{
    struct fixture *f = *state;
    struct error err;
    size_t size = 8u << 20;
    char *text = malloc(size + 1);
    memset(text, 'x', size);
    text[size] = '\0';
    open_client(f, (struct redis_options){0});
    MUST(f->client, "SET", "large", text);
    redisReply *r = RUN(f->client, &err, "GET", "large");
    assert_int_equal(r->len, size);
    assert_memory_equal(r->str, text, size);
    freeReplyObject(r);
    MUST(f->client, "DEL", "large");
    free(text);
}

static void test_error_replies(void **state)
{
    struct fixture *f = *state;
    open_client(f, (struct redis_options){.max_pending = 2});
    MUST(f->client, "SET", "k", "text");
    static const struct {
        const char *script;
        int code;
        bool retryable;
        const char *native;
    } cases[] = {
        {"return redis.error_reply('LOADING data')", ERROR_PROTOCOL, true, "LOADING"},
        {"return redis.error_reply('READONLY You')", ERROR_PROTOCOL, true, "READONLY"},
        {"return redis.error_reply('OOM no memory')", ERROR_PROTOCOL, true, "OOM"},
        {"return redis.error_reply('NOPERM you')", ERROR_DENIED, false, "NOPERM"},
        {"return redis.error_reply('BMFAULT of ours')", ERROR_PROTOCOL, false, "BMFAULT"},
        {"return redis.call('INCR', 'k')", ERROR_PROTOCOL, false, "ERR"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        assert_null(RUN(f->client, &err, "EVAL", cases[i].script, "0"));
        assert_int_equal(err.code, cases[i].code);
        assert_int_equal(err.retryable, cases[i].retryable);
        assert_string_equal(err.native, cases[i].native);
    }
    struct error err = {0};
    assert_null(RUN(f->client, &err, "Subscribe", "x"));
    assert_int_equal(err.code, ERROR_UNSUPPORTED);
    struct tally t = {0};
    for (int i = 0; i < 4; i++)
        SEND(f->client, 0, on_tally, &t, "GET", "k");
    wait_for(f, &t, 4);
    assert_int_equal(t.answers, 2);
    assert_int_equal(t.err.code, ERROR_LIMIT);
}

static void test_scripts(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct redis_script script = {.name = "echo", .text = "return {KEYS[1], ARGV[1], ARGV[2]}"};
    const char *const argv[2] = {"one", "t\0wo"};
    const size_t lengths[2] = {3, 4};
    open_client(f, (struct redis_options){0});
    for (int round = 0; round < 3; round++) { /* unknown, known, forgotten */
        if (round == 2)
            MUST(f->client, "SCRIPT", "FLUSH");
        redisReply *r = redis_eval_run(f->client, &script, "{q}", 2, argv, lengths, &err);
        assert_non_null(r);
        assert_string_equal(r->element[0]->str, "{q}");
        assert_string_equal(r->element[1]->str, "one");
        assert_int_equal(r->element[2]->len, 4);
        freeReplyObject(r);
    }
    assert_int_equal(strlen(script.sha1), 40);
    redisReply *r = RUN(f->client, &err, "SCRIPT", "EXISTS", script.sha1);
    assert_int_equal(r->element[0]->integer, 1); /* the second call went by its digest */
    freeReplyObject(r);
    MUST(f->client, "SCRIPT", "FLUSH");
    struct tally t = {0};
    for (int i = 0; i < 10; i++)
        redis_eval(f->client, &script, "k", 2, argv, lengths, on_tally, &t);
    wait_for(f, &t, 10);
    assert_int_equal(t.answers, 10);
    struct redis_script broken = {.name = "broken", .text = "return nonsense("};
    assert_null(redis_eval_run(f->client, &broken, "k", 0, NULL, NULL, &err));
    assert_int_equal(err.code, ERROR_PROTOCOL);
}

static void test_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const urls[] = {"redis://:hunter2@127.0.0.1:1", "unix:///nonexistent/r.sock",
                                       "redis://:hunter2@localhost:1", "redis://no-such-host.invalid"};
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        struct error err = {0};
        f->downs = 0;
        open_client(f, (struct redis_options){.url = urls[i],
                                              .connect_timeout_ms = 3600000,
                                              .backoff_base_ms = 5,
                                              .backoff_cap_ms = 10});
        while (f->downs < 2) /* it keeps trying */
            uv_run(&f->loop, UV_RUN_ONCE);
        assert_int_equal(f->why_not.code, ERROR_UNREACHABLE);
        assert_true(f->why_not.retryable);
        assert_null(strstr(f->why_not.message, "hunter2"));
        close_client(f, &f->client);
        open_client(f, (struct redis_options){.url = urls[i], .command_timeout_ms = 50});
        assert_null(RUN(f->client, &err, "PING"));
        assert_int_equal(err.code, ERROR_UNREACHABLE);
        assert_string_not_equal(err.native, "maybe");
        assert_false(redis_client_connected(f->client));
        close_client(f, &f->client);
    }
    assert_int_equal(f->ups, 0);
}

static void test_silent_server(void **state)
{
    struct fixture *f = *state;
    char path[96], silent[128];
    static uv_pipe_t
        listener; /* takes connections and never says a word; closed only in the teardown's loop */
    snprintf(path, sizeof path, "%s/silent.sock", server.dir);
    uv_pipe_init(&f->loop, &listener, 0);
    assert_int_equal(uv_pipe_bind(&listener, path), 0);
    assert_int_equal(listen(listener.io_watcher.fd, 8), 0);
    snprintf(silent, sizeof silent, "unix://%s", path);
    open_client(f, (struct redis_options){.url = silent, .connect_timeout_ms = 20});
    while (f->downs < 2)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_non_null(strstr(f->why_not.message, "within 20 ms"));
    uv_close((uv_handle_t *)&listener, NULL);
}

static void test_restart(void **state)
{
    struct fixture *f = *state;
    struct tally t = {0};
    open_client(f, (struct redis_options){.backoff_base_ms = 5, .backoff_cap_ms = 20});
    MUST(f->client, "PING");
    SEND(f->client, 60000, on_tally, &t, "BLPOP", "never", "0");
    SEND(f->client, 60000, on_tally, &t, "GET", "k");
    uv_run(&f->loop, UV_RUN_NOWAIT);
    server_kill(&server, SIGKILL);
    wait_for(f, &t, 2);
    assert_int_equal(t.errors, 2);
    assert_int_equal(t.err.code, ERROR_UNREACHABLE);
    assert_string_equal(t.err.native, "maybe");
    while (f->downs < 3)
        uv_run(&f->loop, UV_RUN_ONCE);
    t = (struct tally){0};
    SEND(f->client, 0, on_tally, &t, "PING"); /* waits */
    uv_run(&f->loop, UV_RUN_NOWAIT);
    start_redis();
    wait_for(f, &t, 1);
    assert_int_equal(t.answers, 1);
    assert_int_equal(f->ups, 2);
    assert_true(redis_client_connected(f->client));
}

static void test_blpop(void **state)
{
    struct fixture *f = *state;
    struct tally t = {0};
    open_client(f, (struct redis_options){0});
    f->other = new_client(f, (struct redis_options){0});
    SEND(f->client, 60000, on_tally, &t, "BLPOP", "bell", "0");
    MUST(f->other, "RPUSH", "bell", "ding");
    wait_for(f, &t, 1);
    assert_string_equal(t.text, "ding");
    SEND(f->client, 60000, on_tally, &t, "BLPOP", "bell", "0.01");
    wait_for(f, &t, 2);
    assert_int_equal(t.nils, 1);
}

static void test_timeout(void **state)
{
    struct fixture *f = *state;
    struct tally blocked = {0}, behind = {0};
    struct error err;
    open_client(f, (struct redis_options){0});
    MUST(f->client, "PING"); /* connecting may take longer than 30 ms, and is another error */
    SEND(f->client, 30, on_tally, &blocked, "BLPOP", "never", "0");
    wait_for(f, &blocked, 1);
    assert_int_equal(blocked.err.code, ERROR_TIMEOUT);
    assert_true(blocked.err.retryable);
    assert_string_equal(blocked.err.native, "maybe");
    MUST(f->client, "PING");
    /* the oldest deadline counts, not that of the command that is next to be answered */
    blocked = (struct tally){0};
    SEND(f->client, 60000, on_tally, &blocked, "BLPOP", "never", "0");
    SEND(f->client, 30, on_tally, &behind, "GET", "k");
    wait_for(f, &behind, 1);
    assert_int_equal(behind.err.code, ERROR_TIMEOUT);
    wait_for(f, &blocked, 1);
    assert_int_equal(blocked.err.code, ERROR_UNREACHABLE);
    redisReply *r = RUN(f->client, &err, "PING");
    assert_non_null(r);
    freeReplyObject(r);
}

static void test_entry(void **state)
{
    struct fixture *f = *state;
    f->other = new_client(f, (struct redis_options){0});
    MUST(f->other, "CONFIG", "SET", "requirepass", "right");
    MUST(f->other, "ACL", "SETUSER", "worker", "on", ">pw", "~*", "+@all", "-ping", "-client");
    static const struct {
        const char *scheme_user, *query;
        int code;
        const char *native;
    } cases[] = {
        {":right@", "/0", 0, ""},
        {":wrong@", "", ERROR_DENIED, "WRONGPASS"},
        {"", "", ERROR_DENIED, "NOAUTH"},
        {"worker:pw@", "", 0, ""},
        {"worker:no@", "", ERROR_DENIED, "WRONGPASS"},
        {":right@", "/99", ERROR_INPUT, "ERR"},
    };
    MUST(f->other, "CONFIG", "SET", "bind", "127.0.0.1");
    /* any free port: a few are tried */
    char port[16];
    struct error err = {0};
    redisReply *r = NULL;
    for (int i = 0; r == NULL && i < 50; i++) {
        snprintf(port, sizeof port, "%d", 20000 + (int)(getpid() + i * 37) % 20000);
        r = RUN(f->other, &err, "CONFIG", "SET", "port", port);
    }
    assert_non_null(r);
    freeReplyObject(r);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[128];
        snprintf(text, sizeof text, "redis://%s%s:%s%s", cases[i].scheme_user,
                 i % 2 ? "localhost" : "127.0.0.1", port, cases[i].query);
        open_client(f, (struct redis_options){.url = text, .name = "n"});
        err = (struct error){0};
        r = RUN(f->client, &err, "GET", "k");
        assert_int_equal(err.code, cases[i].code);
        assert_string_equal(err.native, cases[i].native);
        assert_true((r != NULL) == (cases[i].code == 0));
        assert_null(strstr(err.message, "right"));
        freeReplyObject(r);
        close_client(f, &f->client);
    }
    MUST(f->other, "CONFIG", "SET", "requirepass", "");
    MUST(f->other, "CONFIG", "SET", "port", "0");
    char second[160];
    snprintf(second, sizeof second, "%s?db=2", url);
    open_client(f, (struct redis_options){.url = second});
    MUST(f->client, "SET", "only-in-2", "x");
    r = RUN(f->other, &err, "EXISTS", "only-in-2");
    assert_int_equal(r->integer, 0);
    freeReplyObject(r);
}

static void test_close_any_time(void **state)
{
    struct fixture *f = *state;
    const char *const urls[] = {url, "redis://localhost:1", "redis://127.0.0.1:1"};
    for (size_t u = 0; u < sizeof urls / sizeof *urls; u++) {
        for (int turns = 0; turns < 10; turns++) {
            struct tally t = {0};
            struct redis_script script = {.name = "s", .text = "return 1"};
            open_client(f, (struct redis_options){.url = urls[u]});
            SEND(f->client, 0, on_tally, &t, "PING");
            SEND(f->client, 0, on_tally, &t, "BLPOP", "never", "0");
            redis_eval(f->client, &script, "k", 0, NULL, NULL, on_tally, &t);
            for (int i = 0; i < turns; i++)
                uv_run(&f->loop, UV_RUN_NOWAIT);
            f->closed = 0;
            redis_client_close(f->client, on_closed, f);
            f->client = NULL;
            assert_int_equal(t.answers + t.errors, 3); /* all told before close returns */
            assert_int_equal(t.err.code, ERROR_CANCELLED);
            assert_int_equal(f->closed, 0);
            uv_run(&f->loop, UV_RUN_DEFAULT);
            assert_int_equal(f->closed, 1);
        }
    }
}

static void on_answer_close(void *data, const redisReply *reply, const struct error *err)
{
    struct fixture *f = data;
    (void)reply;
    (void)err;
    redis_client_close(f->client, on_closed, f);
    f->client = NULL;
}

static void test_close_in_callback(void **state)
{
    struct fixture *f = *state;
    const char *const urls[] = {url, "unix:///nonexistent"};
    for (size_t u = 0; u < sizeof urls / sizeof *urls; u++) {
        struct tally t = {0};
        f->closed = 0;
        open_client(f, (struct redis_options){.url = urls[u], .command_timeout_ms = 20});
        SEND(f->client, 0, on_answer_close, f, "PING");
        SEND(f->client, 60000, on_tally, &t, "BLPOP", "never", "0");
        SEND(f->client, 0, on_tally, &t, "PING");
        uv_run(&f->loop, UV_RUN_DEFAULT);
        assert_int_equal(t.errors, 2);
        assert_int_equal(f->closed, 1);
    }
    redis_client_close(NULL, NULL, NULL);
}

static void test_idle_has_no_timer(void **state)
{
    struct fixture *f = *state;
    open_client(f, (struct redis_options){0});
    MUST(f->client, "PING");
    for (int i = 0; i < 3; i++)
        uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_int_equal(uv_backend_timeout(&f->loop), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    log_init("test_redis", LOG_ERROR, LOG_TEXT);
    const struct CMUnitTest tests[] = {
        TEST(test_values),
        TEST(test_url),
        TEST(test_pipelining),
        TEST(test_large_values),
        TEST(test_error_replies),
        TEST(test_scripts),
        TEST(test_refused),
        TEST(test_silent_server),
        TEST(test_restart),
        TEST(test_blpop),
        TEST(test_timeout),
        TEST(test_entry),
        TEST(test_close_any_time),
        TEST(test_close_in_callback),
        TEST(test_idle_has_no_timer),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
