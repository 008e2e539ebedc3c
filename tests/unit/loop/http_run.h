/* One http_client per test and scripted peers for it (http_peer.h): requests run to their end, what the tests
 * of http.c serve most. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "http_peer.h"
#include "loop/http.h"

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
    char dir[64];
    char ca_file[96];
    struct authority authority;
};

static inline void on_done(void *data, const struct http_response *response, const struct error *err)
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

static inline int on_body(void *data, const void *bytes, size_t size, struct error *err)
{
    struct answer *a = data;
    (void)bytes;
    a->streamed++;
    a->streamed_bytes += size;
    if (a->cancel_in_body)
        http_cancel(a->request);
    return a->body_rc ? error_set(err, a->body_rc, false, "the disk is full") : 0;
}

static inline void wait_done(struct fixture *f, struct answer *a)
{
    while (!a->done)
        assert_true(uv_run(&f->loop, UV_RUN_ONCE) || a->done);
}

/* ask.url may be a path on the peer; no descriptor is memory. */
static inline int begin(struct fixture *f, struct answer *a, struct http_ask ask)
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

static inline struct answer *run(struct fixture *f, struct http_ask ask)
{
    struct answer *a = &f->answer;
    if (begin(f, a, ask) == 0)
        wait_done(f, a);
    return a;
}

#define ASK(...) ((struct http_ask){__VA_ARGS__})

static inline void assert_error(const struct answer *a, int code, bool retryable)
{
    if (a->err.code != code || a->err.retryable != retryable)
        fail_msg("status %d, %s%s: %s", a->status, error_code_name(a->err.code),
                 a->err.retryable ? " (retryable)" : "", a->err.message);
    assert_non_null(strstr(a->err.message, "://127.0.0.1:"));
    assert_null(strstr(a->err.message, "secret"));
}

static inline void assert_status(const struct answer *a, int status)
{
    if (a->err.code != 0)
        fail_msg("%s: %s", error_code_name(a->err.code), a->err.message);
    assert_int_equal(a->status, status);
}

static inline void on_closed(void *data)
{
    ((struct fixture *)data)->closed++;
}

static inline void close_client(struct fixture *f)
{
    http_client_close(f->client, on_closed, f);
    f->client = NULL;
    while (f->closed == 0)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_int_equal(f->closed, 1);
}

static inline void serve(struct fixture *f, peer_fn fn)
{
    peer_start(&f->peer, fn, NULL);
}

static inline int setup(void **state)
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

static inline int teardown(void **state)
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

/* The test's own proxies only. */
static inline int group_setup(void **state)
{
    (void)state;
    static const char *const names[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
                                        "ALL_PROXY",  "no_proxy",    "NO_PROXY"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* A file of size bytes of a pattern; in memory, for no disk to be waited for. */
static inline int pattern_file(uint64_t size)
{
    int fd = memfd_create("body", MFD_CLOEXEC);
    static uint32_t words[16384];
    for (uint64_t at = 0; at < size; at += sizeof words) {
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            words[i] = (uint32_t)((at + i * 4) * 2654435761u);
        size_t n = size - at < sizeof words ? size - at : sizeof words;
        assert_int_equal(write(fd, words, n), n);
    }
    return fd;
}

static inline bool is_pattern(const char *bytes, uint64_t offset, uint64_t size)
{
    for (uint64_t i = 0; i < size; i++) {
        uint32_t word = (uint32_t)(((offset + i) & ~3ull) * 2654435761u);
        if (bytes[i] != ((const char *)&word)[(offset + i) & 3])
            return false;
    }
    return true;
}

/* -- peers -- */

/* Answers with method, target, and the body's size. */
static inline void serve_echo(struct peer_conn *c)
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

/* Answers with the request's head. */
static inline void serve_mirror(struct peer_conn *c)
{
    while (peer_read(c))
        peer_answer(c, 200, c->head);
}

static inline void serve_pattern_check(struct peer_conn *c)
{
    while (peer_read(c)) {
        char offset[32];
        peer_header(c, "X-Offset", offset, sizeof offset);
        bool same = is_pattern(c->body, strtoull(offset, NULL, 10), c->body_size);
        peer_answer(c, same ? 200 : 400, "");
    }
}

/* /N answers N bytes with status 200, /eN with 500. */
static inline void serve_sized(struct peer_conn *c)
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

static inline void serve_nothing(struct peer_conn *c)
{
    peer_read_head(c);
    peer_wait_gone(c);
}
