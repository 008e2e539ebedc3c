/* http.c against scripted peers of its own (http_peer.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <curl/curl.h>

#include "http_peer.h"
#include "loop/http.h"

/* -- name lookups: libcurl's calls end up here -- */

static pthread_mutex_t names_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t names_changed = PTHREAD_COND_INITIALIZER;
static bool names_hang;
static int names_hanging;
static atomic_int names_asked;

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
    static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    if (node && strcmp(node, "hang.test") == 0) {
        pthread_mutex_lock(&names_mutex);
        names_hanging++;
        while (names_hang)
            pthread_cond_wait(&names_changed, &names_mutex);
        names_hanging--;
        pthread_cond_broadcast(&names_changed);
        pthread_mutex_unlock(&names_mutex);
        return EAI_NONAME;
    }
    if (node && strcmp(node, "unknown.test") == 0)
        return EAI_NONAME;
    atomic_fetch_add(&names_asked, 1);
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    return real(strcmp(node, "peer.test") == 0 ? "127.0.0.1" : node, service, hints, ret);
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

/* -- memory runs out: the linker's --wrap gives us these calls of the library -- */

static _Thread_local int fail_at = -1; /* this many more calls work */

static bool runs_out(void)
{
    return fail_at >= 0 && fail_at-- == 0;
}

#define WRAP(type, name, parameters, arguments)                                                              \
    type __real_##name parameters;                                                                           \
    type __wrap_##name parameters;                                                                           \
    type __wrap_##name parameters                                                                            \
    {                                                                                                        \
        return runs_out() ? NULL : __real_##name arguments;                                                  \
    }

WRAP(void *, calloc, (size_t n, size_t size), (n, size))
WRAP(void *, realloc, (void *old, size_t size), (old, size))
WRAP(char *, strdup, (const char *text), (text))
WRAP(CURL *, curl_easy_init, (void), ())
WRAP(CURLM *, curl_multi_init, (void), ())
WRAP(CURLU *, curl_url, (void), ())
WRAP(struct curl_slist *, curl_slist_append, (struct curl_slist * list, const char *line), (list, line))

/* -- one client per test -- */

struct answer {
    int done;
    int status;
    char *body;
    size_t body_size;
    uint64_t received;
    char header[256]; /* X-Status, or what the test asked for */
    struct error err;
    struct http_request *request;
    const char *want_header;
    int streamed; /* calls of on_body */
    uint64_t streamed_bytes;
    int body_rc;
    bool cancel_in_body;
    struct fixture *f;
};

struct fixture {
    uv_loop_t loop;
    struct http_client *client;
    struct peer peer;
    struct answer answer;
    int closed;
    int dir_fds;
    char dir[64];
    char ca_file[96];
    struct authority authority;
};

static void on_done(void *data, const struct http_response *response, const struct error *err)
{
    struct answer *a = data;
    a->done++;
    assert_true((response == NULL) != (err == NULL));
    if (err) {
        a->err = *err;
        return;
    }
    a->status = response->status;
    a->body = malloc(response->body_size + 1);
    memcpy(a->body, response->body, response->body_size + 1);
    a->body_size = response->body_size;
    a->received = response->received;
    const char *value = response->header(response, a->want_header ? a->want_header : "x-status");
    snprintf(a->header, sizeof a->header, "%s", value ? value : "(none)");
}

static int on_body(void *data, const void *bytes, size_t size, struct error *err)
{
    struct answer *a = data;
    (void)bytes;
    a->streamed++;
    a->streamed_bytes += size;
    if (a->cancel_in_body)
        http_cancel(a->request);
    return a->body_rc ? error_set(err, a->body_rc, false, "the disk is full") : 0;
}

static void wait_done(struct fixture *f, struct answer *a)
{
    while (!a->done)
        assert_true(uv_run(&f->loop, UV_RUN_ONCE) || a->done);
}

/* ask.url may be a path on the peer; no descriptor is memory. */
static int begin(struct fixture *f, struct answer *a, struct http_ask ask)
{
    char url[8192];
    struct error err = {0};
    free(a->body);
    *a = (struct answer){
        .want_header = a->want_header, .body_rc = a->body_rc, .cancel_in_body = a->cancel_in_body, .f = f};
    if (ask.url == NULL || ask.url[0] == '/') {
        snprintf(url, sizeof url, "%s%s", f->peer.url, ask.url ? ask.url : "/");
        ask.url = url;
    }
    ask.method = ask.method ? ask.method : "GET";
    ask.body_fd = ask.body_fd > 0 ? ask.body_fd : -1;
    ask.done = on_done;
    ask.data = a;
    int rc = http_start(f->client, &ask, &a->request, &err);
    assert_int_equal(a->done, 0);
    if (rc != 0)
        a->err = err;
    return rc;
}

static struct answer *run(struct fixture *f, struct http_ask ask)
{
    struct answer *a = &f->answer;
    if (begin(f, a, ask) == 0)
        wait_done(f, a);
    return a;
}

#define ASK(...) ((struct http_ask){__VA_ARGS__})

static void assert_error(const struct answer *a, int code, bool retryable)
{
    if (a->err.code != code || a->err.retryable != retryable)
        fail_msg("status %d, %s%s: %s", a->status, error_code_name(a->err.code),
                 a->err.retryable ? " (retryable)" : "", a->err.message);
    assert_non_null(strstr(a->err.message, "://127.0.0.1:"));
    assert_null(strstr(a->err.message, "secret"));
}

static void assert_status(const struct answer *a, int status)
{
    if (a->err.code != 0)
        fail_msg("%s: %s", error_code_name(a->err.code), a->err.message);
    assert_int_equal(a->status, status);
}

static void on_closed(void *data)
{
    ((struct fixture *)data)->closed++;
}

static void close_client(struct fixture *f)
{
    http_client_close(f->client, on_closed, f);
    f->client = NULL;
    while (f->closed == 0)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_int_equal(f->closed, 1);
}

static void serve(struct fixture *f, peer_fn fn)
{
    peer_start(&f->peer, fn, NULL);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct error err;
    uv_loop_init(&f->loop);
    const struct http_options options = {.connect_timeout_ms = 60000, .stall_timeout_ms = 60000};
    assert_int_equal(http_client_new(&f->loop, &options, &f->client, &err), 0);
    f->peer.fd = -1;
    snprintf(f->dir, sizeof f->dir, "/tmp/bm-test-http.XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->ca_file, sizeof f->ca_file, "%s/ca.pem", f->dir);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->client)
        close_client(f);
    peer_stop(&f->peer);
    SSL_CTX_free(f->peer.tls);
    authority_deinit(&f->authority);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    free(f->answer.body);
    unlink(f->ca_file);
    rmdir(f->dir);
    free(f);
    return 0;
}

/* A file of size bytes of a pattern, already unlinked. */
static int pattern_file(struct fixture *f, uint64_t size)
{
    char path[96];
    snprintf(path, sizeof path, "%s/body", f->dir);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    unlink(path);
    static uint32_t words[16384];
    for (uint64_t at = 0; at < size; at += sizeof words) {
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            words[i] = (uint32_t)((at + i * 4) * 2654435761u);
        size_t n = size - at < sizeof words ? size - at : sizeof words;
        assert_int_equal(write(fd, words, n), n);
    }
    return fd;
}

static bool is_pattern(const char *bytes, uint64_t offset, uint64_t size)
{
    for (uint64_t i = 0; i < size; i++) {
        uint32_t word = (uint32_t)(((offset + i) & ~3ull) * 2654435761u);
        if (bytes[i] != ((const char *)&word)[(offset + i) & 3])
            return false;
    }
    return true;
}

/* -- what requests look like -- */

/* Answers with method, target, and the body's size. */
static void serve_echo(struct peer_conn *c)
{
    while (peer_read(c)) {
        char text[8192];
        snprintf(text, sizeof text, "%s %s %llu", c->method, c->target, (unsigned long long)c->body_size);
        if (strcmp(c->method, "HEAD") == 0)
            peer_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 123456\r\n\r\n");
        else if (strcmp(c->method, "DELETE") == 0)
            peer_say(c, "HTTP/1.1 204 No Content\r\nX-Status: 204\r\n\r\n");
        else
            peer_answer(c, 200, text);
    }
}

static void test_methods(void **state)
{
    struct fixture *f = *state;
    serve(f, serve_echo);
    struct answer *a = run(f, ASK(.url = "/a"));
    assert_status(a, 200);
    assert_string_equal(a->body, "GET /a 0");
    assert_int_equal(a->received, 8);
    assert_string_equal(a->header, "200");
    a = run(f, ASK(.method = "PUT", .url = "/b", .body = "12345", .body_size = 5));
    assert_string_equal(a->body, "PUT /b 5");
    a = run(f, ASK(.method = "POST", .url = "/c?x=1", .body = "12", .body_size = 2));
    assert_string_equal(a->body, "POST /c?x=1 2");
    a = run(f, ASK(.method = "DELETE", .url = "/d"));
    assert_status(a, 204);
    assert_string_equal(a->body, "");
    a->want_header = "content-LENGTH";
    a = run(f, ASK(.method = "HEAD", .url = "/e"));
    assert_status(a, 200);
    assert_string_equal(a->header, "123456");
    assert_int_equal(a->body_size, 0);
    assert_int_equal(atomic_load(&f->peer.accepted), 1); /* one connection for all */
    for (int i = 0; i < 3; i++)
        uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_false(uv_loop_alive(&f->loop)); /* nothing wakes an idle client */
}

/* Answers with the request's head. */
static void serve_mirror(struct peer_conn *c)
{
    while (peer_read(c))
        peer_answer(c, 200, c->head);
}

static void test_head_of_request(void **state)
{
    struct fixture *f = *state;
    serve(f, serve_mirror);
    const char *const headers[] = {"Authorization: secret", "Accept:", "x-amz-date: 20251102T080000Z"};
    struct answer *a = run(f, ASK(.method = "PUT", .url = "/a/../b//./%7e%2Fc?q=%20&r", .headers = headers,
                                  .n_headers = 3, .body = "", .body_size = 0));
    assert_status(a, 200);
    char want[512];
    snprintf(
        want, sizeof want,
        "PUT /a/../b//./%%7e%%2Fc?q=%%20&r HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: BackupManager/%s\r\n"
        "Authorization: secret\r\nx-amz-date: 20251102T080000Z\r\nContent-Length: 0\r\n\r\n",
        f->peer.port, BM_VERSION);
    assert_string_equal(a->body, want);
    a = run(f, ASK(.method = "POST", .url = "/"));
    assert_non_null(strstr(a->body, "Content-Length: 0\r\n"));
    a = run(f, ASK(.method = "PUT", .body = "x", .body_size = 1));
    assert_null(strstr(a->body, "Expect"));
    assert_null(strstr(a->body, "Accept-Encoding"));
}

static void test_refused_at_once(void **state)
{
    struct fixture *f = *state;
    static const char *const urls[] = {"ftp://x/",          "file:///etc/passwd",    "",
                                       "http://",           "http://user:secret@x/", "https://x/a b",
                                       "http://x/\r\nA: b", "http://x/a#b",          "http://x:99999/"};
    struct answer *a = &f->answer;
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        assert_int_equal(begin(f, a, ASK(.url = urls[i][0] ? urls[i] : "x")), ERROR_INPUT);
        assert_false(a->err.retryable);
        assert_null(strstr(a->err.message, "secret"));
    }
    assert_int_equal(begin(f, a, ASK(.method = "GET / HTTP/1.1\r\nA: b", .url = "http://x/")), ERROR_INPUT);
    static const char *const lines[] = {"A: b\r\nC: d", "A: b\nC", "no colon", ": x"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_int_equal(begin(f, a, ASK(.url = "http://x/", .headers = &lines[i], .n_headers = 1)),
                         ERROR_INPUT);
}

/* -- bodies -- */

static void serve_pattern_check(struct peer_conn *c)
{
    while (peer_read(c)) {
        char offset[32];
        peer_header(c, "X-Offset", offset, sizeof offset);
        bool same = is_pattern(c->body, strtoull(offset, NULL, 10), c->body_size);
        peer_answer(c, same ? 200 : 400, "");
    }
}

static void test_body_from_file(void **state)
{
    struct fixture *f = *state;
    serve(f, serve_pattern_check);
    int fd = pattern_file(f, 3000001);
    static const struct {
        uint64_t offset, size;
    } parts[] = {{0, 3000001}, {1, 3000000}, {1048577, 65536}, {3000000, 1}, {7, 16385}, {500000, 2000000}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char line[64];
        snprintf(line, sizeof line, "X-Offset: %llu", (unsigned long long)parts[i].offset);
        const char *const headers[] = {line};
        _Atomic uint64_t sent = 0;
        struct answer *a =
            run(f, ASK(.method = "PUT", .headers = headers, .n_headers = 1, .body_fd = fd,
                       .body_offset = parts[i].offset, .body_size = parts[i].size, .bytes_sent = &sent));
        assert_status(a, 200);
        assert_int_equal(atomic_load(&sent), parts[i].size);
    }
    assert_int_equal(atomic_load(&f->peer.accepted), 1);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 3000001);
    close(fd);
}

static void test_body_too_short(void **state)
{
    struct fixture *f = *state;
    serve(f, serve_pattern_check);
    int fd = pattern_file(f, 100000);
    struct answer *a = run(f, ASK(.method = "PUT", .body_fd = fd, .body_offset = 10, .body_size = 100000));
    assert_error(a, ERROR_CORRUPT, true);
    assert_string_equal(a->err.native, "");
    close(fd);
    int unreadable = open(f->dir, O_RDONLY | O_DIRECTORY);
    a = run(f, ASK(.method = "PUT", .body_fd = unreadable, .body_size = 10));
    assert_error(a, ERROR_IO, false);
    assert_string_equal(a->err.native, "EISDIR");
    close(unreadable);
}

static void serve_expect(struct peer_conn *c)
{
    char expect[32];
    while (peer_read_head(c)) {
        peer_header(c, "Expect", expect, sizeof expect);
        if (strcmp(c->target, "/refuse") == 0) {
            peer_say(c, "HTTP/1.1 403 No\r\nContent-Length: 6\r\nConnection: close\r\n\r\ndenied");
            peer_wait_gone(c);
            return;
        }
        if (strcmp(c->target, "/417") == 0 && expect[0]) {
            peer_say(c, "HTTP/1.1 417 No\r\nContent-Length: 3\r\nX-Status: old\r\n\r\nold");
            continue;
        }
        if (strcmp(expect, "100-continue") == 0)
            peer_say(c, "HTTP/1.1 100 Continue\r\nX-Status: 100\r\n\r\n");
        if (!peer_read_body(c))
            return;
        peer_answer(c, 200, expect[0] ? expect : "none");
    }
}

static void test_expect_continue(void **state)
{
    struct fixture *f = *state;
    serve(f, serve_expect);
    int fd = pattern_file(f, 300000);
    struct answer *a = run(
        f, ASK(.method = "PUT", .url = "/ok", .body_fd = fd, .body_size = 300000, .expect_continue = true));
    assert_status(a, 200);
    assert_string_equal(a->body, "100-continue");
    assert_string_equal(a->header, "200");
    _Atomic uint64_t sent = 7;
    a = run(f, ASK(.method = "PUT", .url = "/refuse", .body_fd = fd, .body_size = 300000, .bytes_sent = &sent,
                   .expect_continue = true));
    assert_status(a, 403);
    assert_string_equal(a->body, "denied");
    a = run(f,
            ASK(.method = "PUT", .url = "/417", .body_fd = fd, .body_size = 300000, .expect_continue = true));
    assert_status(a, 200);
    assert_string_equal(a->body, "none");
    close(fd);
}

/* Answers an error after the first bytes of the body. */
static void serve_early_error(struct peer_conn *c)
{
    char bytes[1000];
    if (!peer_read_head(c))
        return;
    peer_read_some(c, bytes, sizeof bytes);
    peer_say(c, "HTTP/1.1 503 Slow Down\r\nContent-Length: 4\r\n\r\nslow");
    peer_wait_gone(c);
}

static void test_error_before_body_ends(void **state)
{
    struct fixture *f = *state;
    serve(f, serve_early_error);
    int fd = pattern_file(f, 20000000);
    struct answer *a = run(f, ASK(.method = "PUT", .body_fd = fd, .body_size = 20000000));
    assert_status(a, 503);
    assert_string_equal(a->body, "slow");
    close(fd);
}

static void serve_chunks(struct peer_conn *c)
{
    while (peer_read(c))
        peer_say(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Status: head\r\n\r\n"
                    "5\r\nhello\r\n7;ext=1\r\n, world\r\n0\r\nX-Status: trailer\r\n\r\n");
}

static void test_chunked_answer(void **state)
{
    struct fixture *f = *state;
    serve(f, serve_chunks);
    struct answer *a = run(f, ASK(.url = "/"));
    assert_status(a, 200);
    assert_string_equal(a->body, "hello, world");
    assert_string_equal(a->header, "head");
    a = run(f, ASK(.url = "/"));
    assert_status(a, 200);
    assert_int_equal(atomic_load(&f->peer.accepted), 1);
}

/* /N answers N bytes with status 200, /eN with 500. */
static void serve_sized(struct peer_conn *c)
{
    static char zeros[65536];
    while (peer_read(c)) {
        bool bad = c->target[1] == 'e';
        unsigned long long n = strtoull(c->target + 1 + bad, NULL, 10);
        peer_say(c, "HTTP/1.1 %d X\r\nContent-Length: %llu\r\n\r\n", bad ? 500 : 200, n);
        for (; n > 0; n -= n < sizeof zeros ? n : sizeof zeros)
            if (!peer_send(c, zeros, n < sizeof zeros ? n : sizeof zeros))
                return;
    }
}

static void test_response_max(void **state)
{
    struct fixture *f = *state;
    serve(f, serve_sized);
    assert_status(run(f, ASK(.url = "/1000", .response_max = 1000)), 200);
    assert_int_equal(f->answer.body_size, 1000);
    assert_error(run(f, ASK(.url = "/1001", .response_max = 1000)), ERROR_LIMIT, true);
    assert_string_equal(f->answer.err.native, "sent");
    assert_status(run(f, ASK(.url = "/1048576")), 200);
    assert_error(run(f, ASK(.url = "/1048577")), ERROR_LIMIT, true);
}

static void test_streamed(void **state)
{
    struct fixture *f = *state;
    serve(f, serve_sized);
    struct answer *a = run(f, ASK(.url = "/30000000", .on_body = on_body));
    assert_status(a, 200);
    assert_int_equal(a->streamed_bytes, 30000000);
    assert_int_equal(a->received, 30000000);
    assert_int_equal(a->body_size, 0);
    a = run(f, ASK(.url = "/e100", .on_body = on_body)); /* an error document is kept */
    assert_status(a, 500);
    assert_int_equal(a->streamed, 0);
    assert_int_equal(a->body_size, 100);
    a->body_rc = ERROR_NO_SPACE;
    a = run(f, ASK(.url = "/30000000", .on_body = on_body));
    assert_int_equal(a->err.code, ERROR_NO_SPACE);
    assert_string_equal(a->err.message, "the disk is full");
    assert_int_equal(a->streamed, 1);
    a->body_rc = 0;
    a->cancel_in_body = true;
    a = run(f, ASK(.url = "/30000000", .on_body = on_body));
    assert_error(a, ERROR_CANCELLED, true);
    assert_int_equal(a->streamed, 1);
    a->cancel_in_body = false;
    assert_status(run(f, ASK(.url = "/1")), 200);
}

/* -- what goes wrong -- */

static const char *bad_answers[] = {
    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    "HTTP/1.1 200 OK\r\nContent-Le",
    "",
    "garbage\r\n\r\n",
    "SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/1.1 abc\r\n\r\n",
    "HTTP/7 200 OK\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: banana\r\n\r\n",
};

static void serve_bad(struct peer_conn *c)
{
    if (peer_read(c)) {
        const char *text = bad_answers[strtoull(c->target + 1, NULL, 10)];
        peer_send(c, text, strlen(text));
    }
}

static void test_bad_answers(void **state)
{
    struct fixture *f = *state;
    static const int codes[] = {ERROR_UNREACHABLE, ERROR_UNREACHABLE, ERROR_UNREACHABLE, ERROR_UNREACHABLE,
                                ERROR_PROTOCOL,    ERROR_PROTOCOL,    ERROR_PROTOCOL,    ERROR_PROTOCOL,
                                ERROR_PROTOCOL,    ERROR_PROTOCOL};
    serve(f, serve_bad);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        char path[16];
        snprintf(path, sizeof path, "/%zu", i);
        struct answer *a = run(f, ASK(.url = path));
        assert_error(a, codes[i], true);
        assert_string_equal(a->err.native, "sent");
    }
}

static void serve_long_head(struct peer_conn *c)
{
    if (!peer_read(c))
        return;
    peer_say(c, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 1000000; i++)
        if (!peer_say(c, c->target[1] == 'i' ? "HTTP/1.1 102 Wait\r\n\r\n" : "X-%d: %0100d\r\n", i, i))
            return;
}

static void test_endless_head(void **state)
{
    struct fixture *f = *state;
    serve(f, serve_long_head);
    assert_error(run(f, ASK(.url = "/headers")), ERROR_PROTOCOL, true);
    assert_error(run(f, ASK(.url = "/interim")), ERROR_PROTOCOL, true);
}

static void serve_drip(struct peer_conn *c)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Status: slow\r\n\r\nabc";
    while (peer_read(c))
        for (size_t i = 0; i < sizeof text - 1; i++)
            peer_send(c, text + i, 1);
}

static void test_byte_at_a_time(void **state)
{
    struct fixture *f = *state;
    serve(f, serve_drip);
    for (int i = 0; i < 5; i++) {
        struct answer *a = run(f, ASK(.url = "/"));
        assert_status(a, 200);
        assert_string_equal(a->body, "abc");
        assert_string_equal(a->header, "slow");
    }
}

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

/* A listener whose queue is full drops further SYNs. */
static void test_connect_timeout(void **state)
{
    struct fixture *f = *state;
    int fd = peer_listen(0, &f->peer.port), clients[4];
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)f->peer.port)};
    for (int i = 0; i < 4; i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(clients[i], (struct sockaddr *)&address, sizeof address);
    }
    snprintf(f->peer.url, sizeof f->peer.url, "http://127.0.0.1:%d", f->peer.port);
    struct answer *a = run(f, ASK(.connect_timeout_ms = 200));
    assert_error(a, ERROR_TIMEOUT, true);
    assert_string_equal(a->err.native, "");
    struct answer other = {0};
    assert_int_equal(begin(f, &other, ASK(.connect_timeout_ms = 60000)), 0);
    for (int i = 0; i < 20; i++)
        uv_run(&f->loop, UV_RUN_NOWAIT);
    http_cancel(other.request);
    wait_done(f, &other);
    assert_error(&other, ERROR_CANCELLED, true);
    for (int i = 0; i < 4; i++)
        close(clients[i]);
    close(fd);
}

static void serve_nothing(struct peer_conn *c)
{
    peer_read_head(c);
    peer_wait_gone(c);
}

static void serve_deaf(struct peer_conn *c)
{
    if (!peer_read_head(c))
        return;
    pthread_mutex_lock(&c->peer->mutex);
    while (c->peer->count == 0)
        pthread_cond_wait(&c->peer->changed, &c->peer->mutex);
    pthread_mutex_unlock(&c->peer->mutex);
}

static void open_gate(struct fixture *f)
{
    pthread_mutex_lock(&f->peer.mutex);
    f->peer.count = 1;
    pthread_cond_broadcast(&f->peer.changed);
    pthread_mutex_unlock(&f->peer.mutex);
}

static void test_stalls(void **state)
{
    struct fixture *f = *state;
    serve(f, serve_nothing);
    struct answer *a = run(f, ASK(.stall_timeout_ms = 200));
    assert_error(a, ERROR_TIMEOUT, true);
    assert_string_equal(a->err.native, "sent");
    assert_non_null(strstr(a->err.message, "200 ms"));
    a = run(f, ASK(.method = "PUT", .body = "12345", .body_size = 5, .stall_timeout_ms = 200));
    assert_error(a, ERROR_TIMEOUT, true);
    assert_string_equal(a->err.native, "sent");
    peer_stop(&f->peer);
    serve(f, serve_deaf); /* takes no byte of the body */
    int fd = pattern_file(f, 30000000);
    a = run(f, ASK(.method = "PUT", .body_fd = fd, .body_size = 30000000, .stall_timeout_ms = 300));
    assert_error(a, ERROR_TIMEOUT, true);
    assert_string_equal(a->err.native, "");
    open_gate(f);
    close(fd);
}

static void serve_endless_drip(struct peer_conn *c)
{
    if (!peer_read(c))
        return;
    peer_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    while (peer_send(c, "x", 1))
        usleep(1000);
}

static void test_total_timeout(void **state)
{
    struct fixture *f = *state;
    serve(f, serve_endless_drip);
    struct answer *a = run(f, ASK(.total_timeout_ms = 300));
    assert_error(a, ERROR_TIMEOUT, true);
    assert_non_null(strstr(a->err.message, "300 ms"));
    /* what is kept in memory may not drip for ever either */
    a = run(f, ASK(.stall_timeout_ms = 100, .response_max = 16 * 200));
    assert_error(a, ERROR_TIMEOUT, true);
    assert_non_null(strstr(a->err.message, "dripping"));
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
    int fd = pattern_file(f, 30000000);
    assert_error(run(f, ASK(.method = "PUT", .body_fd = fd, .body_size = 30000000)), ERROR_UNREACHABLE, true);
    assert_string_equal(f->answer.err.native, "");
    close(fd);
}

/* -- connections -- */

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
    int fd = pattern_file(f, 20000000);
    static const struct {
        const char *path;
        uint64_t size;
        bool close_first;
    } rows[] = {{"/head", 20000000, false}, {"/some", 20000000, false}, {"/whole", 20000000, false},
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
    int fd = pattern_file(f, 20000000);
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

static void test_thousand_requests(void **state)
{
    struct fixture *f = *state;
    serve(f, serve_echo);
    struct answer answers[8] = {0};
    struct http_group *group = http_client_group(f->client, "many", 4, 0);
    int before = 0;
    for (int round = 0; round < 125; round++) {
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
    assert_int_equal(atomic_load(&f->peer.requests), 1000);
    for (int i = 0; i < 8; i++)
        free(answers[i].body);
}

/* -- groups -- */

/* Counts who is inside; leaves when `count` have been. */
static void serve_together(struct peer_conn *c)
{
    while (peer_read(c)) {
        struct peer *peer = c->peer;
        pthread_mutex_lock(&peer->mutex);
        size_t used = strlen(peer->log);
        snprintf(peer->log + used, sizeof peer->log - used, "%s", c->target);
        pthread_cond_broadcast(&peer->changed);
        while (peer->count == 0)
            pthread_cond_wait(&peer->changed, &peer->mutex);
        if (peer->count > 0)
            peer->count--;
        pthread_mutex_unlock(&peer->mutex);
        peer_answer(c, 200, "");
    }
}

static size_t log_size(struct peer *peer)
{
    pthread_mutex_lock(&peer->mutex);
    size_t n = strlen(peer->log);
    pthread_mutex_unlock(&peer->mutex);
    return n;
}

static void let_out(struct peer *peer, int n)
{
    pthread_mutex_lock(&peer->mutex);
    peer->count += n;
    pthread_cond_broadcast(&peer->changed);
    pthread_mutex_unlock(&peer->mutex);
}

static void test_group_bound_and_order(void **state)
{
    struct fixture *f = *state;
    serve(f, serve_together);
    struct http_group *group = http_client_group(f->client, "place", 2, 0);
    assert_ptr_equal(http_client_group(f->client, "place", 2, 0), group);
    struct answer answers[6] = {0};
    static const char *const paths[] = {"/a", "/b", "/c", "/d", "/e", "/f"};
    for (int i = 0; i < 6; i++)
        assert_int_equal(begin(f, &answers[i], ASK(.url = paths[i], .group = group)), 0);
    while (log_size(&f->peer) < 4)
        uv_run(&f->loop, UV_RUN_NOWAIT);
    for (int i = 0; i < 50; i++)
        uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_int_equal(log_size(&f->peer), 4); /* not three of them */
    http_cancel(answers[3].request);         /* still in the queue */
    wait_done(f, &answers[3]);
    assert_error(&answers[3], ERROR_CANCELLED, true);
    http_client_group(f->client, "place", 1, 0); /* from now on one by one */
    let_out(&f->peer, 2);
    while (log_size(&f->peer) < 6)
        uv_run(&f->loop, UV_RUN_NOWAIT);
    for (int i = 0; i < 50; i++)
        uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_int_equal(log_size(&f->peer), 6);
    let_out(&f->peer, 100);
    for (int i = 0; i < 6; i++)
        wait_done(f, &answers[i]);
    assert_true(strcmp(f->peer.log + 4, "/c/e/f") == 0);
    assert_int_equal(atomic_load(&f->peer.requests), 5);
    for (int i = 0; i < 6; i++)
        free(answers[i].body);
}

static void test_wait_in_queue_is_no_stall(void **state)
{
    struct fixture *f = *state;
    serve(f, serve_together);
    struct http_group *group = http_client_group(f->client, "one", 1, 0);
    struct answer first = {0}, second = {0}, third = {0};
    assert_int_equal(begin(f, &first, ASK(.url = "/a", .group = group, .stall_timeout_ms = 500)), 0);
    assert_int_equal(begin(f, &second, ASK(.url = "/b", .group = group, .stall_timeout_ms = 1)), 0);
    assert_int_equal(begin(f, &third, ASK(.url = "/c", .group = group, .total_timeout_ms = 300)), 0);
    wait_done(f, &third); /* a total bound counts the wait */
    assert_error(&third, ERROR_TIMEOUT, true);
    assert_false(second.done);
    wait_done(f, &first);
    assert_error(&first, ERROR_TIMEOUT, true);
    assert_false(second.done); /* its clock has only begun */
    wait_done(f, &second);
    let_out(&f->peer, 100);
}

static void test_limited_is_no_stall(void **state)
{
    struct fixture *f = *state;
    serve(f, serve_pattern_check);
    /* a chunk of 1 KiB each 50 ms at most, four to share: each waits far longer than its stall bound */
    struct http_group *group = http_client_group(f->client, "slow", 0, 20000);
    int fd = pattern_file(f, 4000);
    const char *const headers[] = {"X-Offset: 0"};
    struct answer answers[4] = {0};
    for (int i = 0; i < 4; i++)
        assert_int_equal(begin(f, &answers[i],
                               ASK(.method = "PUT", .body_fd = fd, .body_size = 4000, .group = group,
                                   .headers = headers, .n_headers = 1, .stall_timeout_ms = 100)),
                         0);
    for (int i = 0; i < 4; i++) {
        wait_done(f, &answers[i]);
        assert_status(&answers[i], 200);
        free(answers[i].body);
    }
    close(fd);
}

static void test_limit_lifted(void **state)
{
    struct fixture *f = *state;
    serve(f, serve_sized);
    struct http_group *group = http_client_group(f->client, "slow", 0, 1);
    struct answer up = {0}, down = {0};
    int fd = pattern_file(f, 200000);
    assert_int_equal(
        begin(f, &up, ASK(.method = "PUT", .url = "/1", .body_fd = fd, .body_size = 200000, .group = group)),
        0);
    assert_int_equal(begin(f, &down, ASK(.url = "/200000", .on_body = on_body, .group = group)), 0);
    while (down.streamed == 0)
        uv_run(&f->loop, UV_RUN_ONCE);
    for (int i = 0; i < 50; i++)
        uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_false(up.done || down.done);
    http_client_group(f->client, "slow", 0, 0);
    wait_done(f, &up);
    wait_done(f, &down);
    assert_status(&up, 200);
    assert_int_equal(down.received, 200000);
    free(up.body);
    free(down.body);
    close(fd);
}

static void test_many_groups(void **state)
{
    struct fixture *f = *state;
    char name[16];
    for (int i = 0; i < 4096; i++) {
        snprintf(name, sizeof name, "g%d", i);
        assert_non_null(http_client_group(f->client, name, 0, 0));
    }
    assert_null(http_client_group(f->client, "one more", 0, 0));
    assert_non_null(http_client_group(f->client, "g7", 0, 0));
}

/* -- cancel and close -- */

static void test_cancel(void **state)
{
    struct fixture *f = *state;
    serve(f, serve_nothing);
    struct answer a = {0};
    assert_int_equal(begin(f, &a, ASK(.url = "/")), 0); /* before libcurl has it */
    http_cancel(a.request);
    http_cancel(a.request);
    assert_false(a.done);
    wait_done(f, &a);
    assert_error(&a, ERROR_CANCELLED, true);
    assert_string_equal(a.err.native, "");
    assert_int_equal(begin(f, &a, ASK(.url = "/")), 0); /* sent, waiting for the answer */
    while (atomic_load(&f->peer.requests) == 0)
        uv_run(&f->loop, UV_RUN_NOWAIT);
    http_cancel(a.request);
    wait_done(f, &a);
    assert_error(&a, ERROR_CANCELLED, true);
    assert_string_equal(a.err.native, "sent");
    int fd = pattern_file(f, 100000000); /* within the body */
    _Atomic uint64_t sent = 0;
    assert_int_equal(
        begin(f, &a, ASK(.method = "PUT", .body_fd = fd, .body_size = 100000000, .bytes_sent = &sent)), 0);
    while (atomic_load(&sent) == 0)
        uv_run(&f->loop, UV_RUN_ONCE);
    http_cancel(a.request);
    wait_done(f, &a);
    assert_error(&a, ERROR_CANCELLED, true);
    assert_string_equal(a.err.native, "");
    close(fd);
}

/* Who waits for bandwidth, in either direction. */
static void test_cancel_held(void **state)
{
    struct fixture *f = *state;
    serve(f, serve_sized);
    struct http_group *group = http_client_group(f->client, "slow", 0, 1);
    int fd = pattern_file(f, 200000);
    struct answer answers[6] = {0};
    _Atomic uint64_t sent[6] = {0};
    for (int i = 0; i < 6; i++) {
        struct http_ask ask = i % 2 ? ASK(.method = "PUT", .url = "/1", .body_fd = fd, .body_size = 200000)
                                    : ASK(.url = "/200000", .on_body = on_body);
        ask.group = group;
        ask.bytes_sent = &sent[i];
        assert_int_equal(begin(f, &answers[i], ask), 0);
    }
    while (answers[0].streamed + answers[2].streamed + answers[4].streamed == 0 ||
           atomic_load(&sent[1]) + atomic_load(&sent[3]) + atomic_load(&sent[5]) == 0)
        uv_run(&f->loop, UV_RUN_ONCE);
    for (int i = 0; i < 200; i++)
        uv_run(&f->loop, UV_RUN_NOWAIT);
    static const int order[] = {2, 3, 0, 5, 4, 1};
    for (int i = 0; i < 6; i++) {
        http_cancel(answers[order[i]].request);
        if (i % 2)
            wait_done(f, &answers[order[i]]);
    }
    for (int i = 0; i < 6; i++) {
        wait_done(f, &answers[i]);
        assert_error(&answers[i], ERROR_CANCELLED, true);
    }
    http_client_group(f->client, "slow", 0, 0);
    struct answer *a =
        run(f, ASK(.method = "PUT", .url = "/1", .body_fd = fd, .body_size = 200000, .group = group));
    assert_status(a, 200);
    close(fd);
}

static void test_cancel_in_lookup(void **state)
{
    struct fixture *f = *state;
    struct answer a = {0};
    names_hang = true;
    assert_int_equal(begin(f, &a, ASK(.url = "http://hang.test/")), 0);
    for (int hanging = 0; !hanging;) {
        uv_run(&f->loop, UV_RUN_NOWAIT);
        pthread_mutex_lock(&names_mutex);
        hanging = names_hanging;
        pthread_mutex_unlock(&names_mutex);
    }
    http_cancel(a.request);
    wait_done(f, &a); /* while the lookup hangs on */
    assert_int_equal(a.err.code, ERROR_CANCELLED);
    a = *run(f, ASK(.url = "http://hang.test/", .connect_timeout_ms = 200));
    assert_int_equal(a.err.code, ERROR_TIMEOUT);
    close_client(f);
    pthread_mutex_lock(&names_mutex);
    names_hang = false;
    pthread_cond_broadcast(&names_changed);
    while (names_hanging > 0)
        pthread_cond_wait(&names_changed, &names_mutex);
    pthread_mutex_unlock(&names_mutex);
}

struct chain {
    struct fixture *f;
    struct answer victim, next;
    int done;
    int rc;
};

static void on_chain_done(void *data, const struct http_response *response, const struct error *err)
{
    struct chain *chain = data;
    struct fixture *f = chain->f;
    (void)err;
    assert_non_null(response);
    chain->done++;
    http_cancel(chain->victim.request);
    if (chain->done == 2) { /* the second time close from here */
        http_client_close(f->client, on_closed, f);
        chain->rc = begin(f, &chain->next, ASK(.url = "/x"));
    }
}

/* done may cancel others, start others, close the client. */
static void test_from_callbacks(void **state)
{
    struct fixture *f = *state;
    serve(f, serve_echo);
    struct chain chain = {.f = f};
    char url[128];
    snprintf(url, sizeof url, "%s/x", f->peer.url);
    struct http_group *group = http_client_group(f->client, "one", 1, 0);
    for (int i = 0; i < 2; i++) {
        struct http_request *request;
        struct http_ask ask = ASK(.method = "GET", .url = url, .body_fd = -1, .group = group,
                                  .done = on_chain_done, .data = &chain);
        assert_int_equal(http_start(f->client, &ask, &request, NULL), 0);
        assert_int_equal(begin(f, &chain.victim, ASK(.url = "/v", .group = group)), 0);
        wait_done(f, &chain.victim);
        assert_error(&chain.victim, ERROR_CANCELLED, true);
        assert_int_equal(chain.done, i + 1);
    }
    assert_int_equal(chain.rc, ERROR_CANCELLED);
    assert_false(chain.next.done);
    while (f->closed == 0)
        uv_run(&f->loop, UV_RUN_ONCE);
    f->client = NULL;
}

static int close_in_body(void *data, const void *bytes, size_t size, struct error *err)
{
    struct answer *a = data;
    (void)bytes;
    (void)size;
    (void)err;
    a->streamed++;
    http_client_close(a->f->client, on_closed, a->f);
    return 0;
}

static void test_close_under_way(void **state)
{
    struct fixture *f = *state;
    serve(f, serve_sized);
    struct http_group *group = http_client_group(f->client, "one", 1, 0);
    struct answer running = {0}, waiting = {0}, limited = {0};
    struct http_group *slow = http_client_group(f->client, "slow", 1, 1);
    int fd = pattern_file(f, 200000);
    _Atomic uint64_t sent = 0;
    assert_int_equal(begin(f, &limited,
                           ASK(.method = "PUT", .url = "/1", .body_fd = fd, .body_size = 200000,
                               .group = slow, .bytes_sent = &sent)),
                     0);
    while (atomic_load(&sent) == 0)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_int_equal(begin(f, &running, ASK(.url = "/30000000", .on_body = close_in_body, .group = group)),
                     0);
    assert_int_equal(begin(f, &waiting, ASK(.url = "/1", .group = group)), 0);
    while (f->closed == 0)
        uv_run(&f->loop, UV_RUN_ONCE);
    f->client = NULL;
    assert_int_equal(running.done, 1);
    assert_int_equal(running.streamed, 1);
    assert_error(&running, ERROR_CANCELLED, true);
    assert_error(&waiting, ERROR_CANCELLED, true);
    assert_error(&limited, ERROR_CANCELLED, true);
    close(fd);
}

static void test_out_of_memory(void **state)
{
    struct fixture *f = *state;
    serve(f, serve_echo);
    const char *const headers[] = {"A: b", "C: d"};
    int n = 0, failures = 0;
    for (bool used_up = true; used_up; n++) {
        struct http_client *client, *kept = f->client;
        struct error err = {0};
        struct answer a = {0};
        fail_at = n;
        if (http_client_new(&f->loop, NULL, &client, &err) != 0) {
            assert_int_equal(err.code, ERROR_SYSTEM);
            failures++;
            continue;
        }
        f->client = client;
        struct http_group *group = http_client_group(client, "g", 1, 1000000);
        int rc = begin(f, &a,
                       ASK(.method = "PUT", .headers = headers, .n_headers = 2, .body = "x", .body_size = 1,
                           .group = group, .ca_file = f->ca_file));
        if (rc == 0)
            wait_done(f, &a);
        used_up = fail_at < 0;
        fail_at = -1;
        if (a.status == 200) {
            failures += group == NULL;
        } else {
            assert_int_equal(a.err.code, ERROR_SYSTEM);
            assert_true(a.err.retryable);
            failures++;
        }
        free(a.body);
        f->closed = 0;
        close_client(f);
        f->closed = 0;
        f->client = kept;
    }
    assert_int_equal(failures, n - 1);
    assert_true(n > 15);
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
    int fd = pattern_file(f, 3000000);
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
    serve(f, serve_bad); /* speaks no TLS */
    char url[64];
    snprintf(url, sizeof url, "https://127.0.0.1:%d/", f->peer.port);
    a = run(f, ASK(.url = url, .connect_timeout_ms = 300));
    assert_true(a->err.code == ERROR_UNREACHABLE || a->err.code == ERROR_TIMEOUT);
}

int main(void)
{
    static const char *const names[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
                                        "ALL_PROXY",  "no_proxy",    "NO_PROXY"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    cmocka_set_test_filter(getenv("ONLY"));
    const struct CMUnitTest tests[] = {
        TEST(test_methods),
        TEST(test_head_of_request),
        TEST(test_refused_at_once),
        TEST(test_body_from_file),
        TEST(test_body_too_short),
        TEST(test_expect_continue),
        TEST(test_error_before_body_ends),
        TEST(test_chunked_answer),
        TEST(test_response_max),
        TEST(test_streamed),
        TEST(test_bad_answers),
        TEST(test_endless_head),
        TEST(test_byte_at_a_time),
        TEST(test_refused_connect),
        TEST(test_connect_timeout),
        TEST(test_stalls),
        TEST(test_total_timeout),
        TEST(test_reset),
        TEST(test_dead_connection),
        TEST(test_dead_again),
        TEST(test_cancel_held),
        TEST(test_out_of_memory),
        TEST(test_thousand_requests),
        TEST(test_group_bound_and_order),
        TEST(test_wait_in_queue_is_no_stall),
        TEST(test_limited_is_no_stall),
        TEST(test_limit_lifted),
        TEST(test_many_groups),
        TEST(test_cancel),
        TEST(test_cancel_in_lookup),
        TEST(test_from_callbacks),
        TEST(test_close_under_way),
        TEST(test_proxy),
        TEST(test_tls),
        TEST(test_tls_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
