/* http.c: connections that are refused, reset, used again, led through proxies, encrypted. */
#include "http_run.h"

#include <dirent.h>
#include <dlfcn.h>
#include <netdb.h>

/* -- name lookups: libcurl's calls end up here; peer.test is this machine, unknown.test nobody -- */

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
    static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    if (node && strcmp(node, "unknown.test") == 0)
        return EAI_NONAME;
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    return real(node && strcmp(node, "peer.test") == 0 ? "127.0.0.1" : node, service, hints, ret);
}

/* -- libcurl's sends wait, if told so, until the peer has reset the connection -- */

static _Thread_local struct peer *send_after_reset;

ssize_t send(int fd, const void *bytes, size_t n, int flags)
{
    struct peer *peer = send_after_reset;
    if (peer && n > 4096) {
        pthread_mutex_lock(&peer->mutex);
        peer->count++;
        pthread_cond_broadcast(&peer->changed);
        while (peer->count < 2)
            pthread_cond_wait(&peer->changed, &peer->mutex);
        pthread_mutex_unlock(&peer->mutex);
    }
    return sendto(fd, bytes, n, flags, NULL, 0);
}

/* -- connections that fail -- */

static void test_refused_connect(void **state)
{
    struct fixture *f = *state;
    int fd = peer_listen(1, &f->peer.port);
    close(fd);
    snprintf(f->peer.url, sizeof f->peer.url, "http://127.0.0.1:%d", f->peer.port);
    struct answer *a = run(f, ASK(.url = "/"));
    assert_error(a, ERROR_UNREACHABLE, true);
    assert_string_equal(a->err.native, "");
    a = run(f, ASK(.url = "http://unknown.test/secret"));
    assert_int_equal(a->err.code, ERROR_UNREACHABLE);
    assert_non_null(strstr(a->err.message, "http://unknown.test:80: "));
    assert_null(strstr(a->err.message, "secret"));
}

static void serve_reset(struct peer_conn *c)
{
    if (peer_read_head(c))
        peer_reset(c);
}

static void test_reset(void **state)
{
    struct fixture *f = *state;
    serve(f, serve_reset);
    assert_error(run(f, ASK(.url = "/")), ERROR_UNREACHABLE, true);
    assert_string_equal(f->answer.err.native, "sent");
    int fd = pattern_file(30000000);
    assert_error(run(f, ASK(.method = "PUT", .body_fd = fd, .body_size = 30000000)), ERROR_UNREACHABLE, true);
    assert_string_equal(f->answer.err.native, "");
    close(fd);
}

/* For /head once the client is within send(), else at once. */
static void reset_within_send(struct peer_conn *c)
{
    peer_reset(c);
    pthread_mutex_lock(&c->peer->mutex);
    while (strcmp(c->target, "/head") == 0 && c->peer->count == 0)
        pthread_cond_wait(&c->peer->changed, &c->peer->mutex);
    close(c->fd);
    c->fd = -1;
    c->peer->count = 2;
    pthread_cond_broadcast(&c->peer->changed);
    pthread_mutex_unlock(&c->peer->mutex);
}

/* The first connection serves /first only. What comes next it resets at once, resets after its whole body, or
 * closes before it comes. */
static void serve_once(struct peer_conn *c)
{
    while (peer_read_head(c)) {
        bool first = strcmp(c->target, "/first") == 0, whole = strcmp(c->target, "/whole") == 0;
        if (c->n == 0 && !first) {
            char bytes[1000];
            if (whole)
                peer_read_body(c);
            else if (strcmp(c->target, "/some") == 0)
                peer_read_some(c, bytes, sizeof bytes);
            reset_within_send(c);
            return;
        }
        if (!peer_read_body(c))
            return;
        peer_answer(c, is_pattern(c->body, 0, c->body_size) ? 200 : 400, "");
        if (c->peer->log[0] == 'c' && c->n == 0)
            return;
    }
}

static void test_dead_connection(void **state)
{
    struct fixture *f = *state;
    int fd = pattern_file(20000000);
    static const struct {
        const char *path;
        uint64_t size;
        bool close_first;
    } rows[] = {{"/head", 20000000, false}, {"/some", 20000000, false}, {"/whole", 300000, false},
                {"/whole", 10, false},      {"/whole", 0, false},       {"/some", 20000000, true},
                {"/some", 0, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        serve(f, serve_once);
        f->peer.log[0] = rows[i].close_first ? 'c' : ' ';
        assert_status(run(f, ASK(.url = "/first")), 200);
        send_after_reset = strcmp(rows[i].path, "/head") == 0 ? &f->peer : NULL;
        _Atomic uint64_t sent = 0;
        struct answer *a = run(f, ASK(.method = rows[i].size > 0 ? "PUT" : "GET", .url = rows[i].path,
                                      .body_fd = fd, .body_size = rows[i].size, .bytes_sent = &sent));
        assert_status(a, 200);
        assert_int_equal(atomic_load(&sent), rows[i].size);
        assert_int_equal(atomic_load(&f->peer.accepted), 2);
        send_after_reset = NULL;
        peer_stop(&f->peer);
    }
    close(fd);
}

/* A peer that resets every connection is asked once more, not for ever. */
static void test_dead_again(void **state)
{
    struct fixture *f = *state;
    serve(f, serve_echo);
    assert_status(run(f, ASK(.url = "/")), 200);
    f->peer.serve = serve_reset; /* from the second connection on */
    int fd = pattern_file(20000000);
    struct answer a = {0}, b = {0};
    assert_int_equal(begin(f, &a, ASK(.method = "PUT", .body_fd = fd, .body_size = 20000000)), 0);
    assert_int_equal(begin(f, &b, ASK(.method = "PUT", .body_fd = fd, .body_size = 20000000)), 0);
    wait_done(f, &a);
    wait_done(f, &b);
    assert_true((a.status == 200) != (b.status == 200));
    assert_error(a.status == 200 ? &b : &a, ERROR_UNREACHABLE, true);
    free(a.body);
    free(b.body);
    close(fd);
}

static int count_fds(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static void test_many_requests(void **state)
{
    struct fixture *f = *state;
    serve(f, serve_echo);
    struct answer answers[8] = {0};
    struct http_group *group = http_client_group(f->client, "many", 4, 0);
    int before = 0;
    for (int round = 0; round < 25; round++) {
        for (int i = 0; i < 8; i++)
            assert_int_equal(
                begin(f, &answers[i], ASK(.method = "PUT", .body = "x", .body_size = 1, .group = group)), 0);
        for (int i = 0; i < 8; i++) {
            wait_done(f, &answers[i]);
            assert_status(&answers[i], 200);
        }
        if (round == 0)
            before = count_fds();
    }
    assert_in_range(count_fds(), before - 8, before + 8);
    assert_in_range(atomic_load(&f->peer.accepted), 1, 4);
    assert_int_equal(atomic_load(&f->peer.requests), 200);
    for (int i = 0; i < 8; i++)
        free(answers[i].body);
}

/* -- proxies -- */

static void test_proxy(void **state)
{
    struct fixture *f = *state;
    serve(f, serve_mirror);
    struct peer proxy;
    peer_start(&proxy, serve_mirror, NULL);
    setenv("http_proxy", proxy.url, 1);
    struct answer *a = run(f, ASK(.url = "/x"));
    assert_status(a, 200);
    assert_int_equal(atomic_load(&proxy.requests), 1);
    assert_non_null(strstr(a->body, "GET http://127.0.0.1:"));
    a = run(f, ASK(.url = "/x", .proxy = HTTP_PROXY_NEVER));
    assert_status(a, 200);
    assert_int_equal(atomic_load(&proxy.requests), 1);
    setenv("no_proxy", "127.0.0.1", 1);
    a = run(f, ASK(.url = "/x"));
    assert_status(a, 200);
    assert_int_equal(atomic_load(&proxy.requests), 1);
    unsetenv("no_proxy");
    setenv("http_proxy", "socks9://me:secret@127.0.0.1:1", 1);
    a = run(f, ASK(.url = "/x"));
    assert_error(a, ERROR_UNREACHABLE, true);
    unsetenv("http_proxy");
    peer_stop(&proxy);
}

/* -- TLS -- */

static void serve_tls(struct fixture *f, const char *alt, long valid_s)
{
    if (f->authority.key == NULL)
        authority_init(&f->authority, f->ca_file);
    peer_start(&f->peer, serve_pattern_check, authority_server(&f->authority, alt, valid_s));
}

static void stop_tls(struct fixture *f)
{
    peer_stop(&f->peer);
    SSL_CTX_free(f->peer.tls);
    f->peer.tls = NULL;
}

static void test_tls(void **state)
{
    struct fixture *f = *state;
    serve_tls(f, "IP:127.0.0.1,DNS:peer.test", 3600);
    int fd = pattern_file(3000000);
    const char *const headers[] = {"X-Offset: 0"};
    for (int i = 0; i < 3; i++)
        assert_status(run(f, ASK(.method = "PUT", .body_fd = fd, .body_size = 3000000, .headers = headers,
                                 .n_headers = 1, .ca_file = f->ca_file)),
                      200);
    assert_int_equal(atomic_load(&f->peer.accepted), 1);
    char url[64];
    snprintf(url, sizeof url, "https://peer.test:%d/", f->peer.port);
    assert_status(run(f, ASK(.url = url, .ca_file = f->ca_file)), 200);
    /* a connection made with that authority is not used for one who doesn't trust it */
    struct answer *a = run(f, ASK(.url = "/"));
    assert_error(a, ERROR_DENIED, false);
    assert_non_null(strstr(a->err.message, "ca_file"));
    setenv("AWS_CA_BUNDLE", f->ca_file, 1);
    assert_error(run(f, ASK(.url = "/")), ERROR_DENIED, false);
    unsetenv("AWS_CA_BUNDLE");
    close(fd);
}

static void test_tls_refused(void **state)
{
    struct fixture *f = *state;
    serve_tls(f, "DNS:other.test", 3600);
    struct answer *a = run(f, ASK(.ca_file = f->ca_file));
    assert_error(a, ERROR_DENIED, false);
    assert_non_null(strstr(a->err.message, "name"));
    stop_tls(f);
    serve_tls(f, "IP:127.0.0.1", -3600);
    a = run(f, ASK(.ca_file = f->ca_file));
    assert_error(a, ERROR_DENIED, false);
    assert_non_null(strstr(a->err.message, "clock"));
    a = run(f, ASK(.ca_file = "/nowhere/ca.pem"));
    assert_error(a, ERROR_INPUT, false);
    stop_tls(f);
    serve(f, serve_echo); /* speaks no TLS */
    char url[64];
    snprintf(url, sizeof url, "https://127.0.0.1:%d/", f->peer.port);
    a = run(f, ASK(.url = url, .connect_timeout_ms = 300));
    assert_true(a->err.code == ERROR_UNREACHABLE || a->err.code == ERROR_TIMEOUT);
}

int main(void)
{
    cmocka_set_test_filter(getenv("ONLY"));
    const struct CMUnitTest tests[] = {
        TEST(test_refused_connect),
        TEST(test_reset),
        TEST(test_dead_connection),
        TEST(test_dead_again),
        TEST(test_many_requests),
        TEST(test_proxy),
        TEST(test_tls),
        TEST(test_tls_refused),
    };
    return cmocka_run_group_tests(tests, group_setup, NULL);
}
