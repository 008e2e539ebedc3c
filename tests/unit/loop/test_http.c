/* http.c: what requests look like, their bodies, the answers. */
#include "http_run.h"

/* -- what requests look like -- */

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

static void test_body_from_file(void **state)
{
    struct fixture *f = *state;
    serve(f, serve_pattern_check);
    int fd = pattern_file(3000001);
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

enum { FRAMED = 400000 };

static void serve_framed(struct peer_conn *c)
{
    while (peer_read(c))
        peer_answer(c, c->body_size == FRAMED && is_pattern(c->body, 0, FRAMED) ? 200 : 400, "");
}

/* Three pieces arrive as one, however they are cut; what counts as sent is the body. */
static void test_framed_body(void **state)
{
    struct fixture *f = *state;
    serve(f, serve_framed);
    int fd = pattern_file(FRAMED);
    static char bytes[FRAMED];
    assert_int_equal(pread(fd, bytes, FRAMED, 0), FRAMED);
    static const size_t cuts[][2] = {{0, FRAMED},      {1, FRAMED - 1}, {300, 300},      {0, 0},
                                     {FRAMED, FRAMED}, {70000, 70001},  {65536, 131072}, {5, 99999},
                                     {200000, FRAMED}, {0, 70000}};
    for (size_t i = 0; i < 2 * sizeof cuts / sizeof *cuts; i++) {
        size_t from = cuts[i / 2][0], to = cuts[i / 2][1];
        bool file = i % 2 == 0;
        _Atomic uint64_t sent = 7;
        struct answer *a = run(f, ASK(.method = "POST", .body = bytes + from, .body_fd = file ? fd : -1,
                                      .body_offset = file ? from : 0, .body_size = to - from,
                                      .body_head = bytes, .body_head_size = from, .body_tail = bytes + to,
                                      .body_tail_size = FRAMED - to, .bytes_sent = &sent));
        assert_status(a, 200);
        assert_int_equal(atomic_load(&sent), to - from);
    }
    struct answer *a =
        run(f, ASK(.method = "POST", .body_fd = fd, .body_offset = 10, .body_size = FRAMED,
                   .body_head = bytes, .body_head_size = 10, .body_tail = bytes, .body_tail_size = 3));
    assert_error(a, ERROR_CORRUPT, true);
    assert_non_null(strstr(a->err.message, "10 bytes too soon"));
    close(fd);
}

static void test_body_too_short(void **state)
{
    struct fixture *f = *state;
    serve(f, serve_pattern_check);
    int fd = pattern_file(100000);
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
    int fd = pattern_file(300000);
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
    int fd = pattern_file(20000000);
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
    for (int i = 0; i < 2; i++) {
        struct answer *a = run(f, ASK(.url = "/"));
        assert_status(a, 200);
        assert_string_equal(a->body, "abc");
        assert_string_equal(a->header, "slow");
    }
}

int main(void)
{
    cmocka_set_test_filter(getenv("ONLY"));
    const struct CMUnitTest tests[] = {
        TEST(test_methods),         TEST(test_head_of_request),
        TEST(test_refused_at_once), TEST(test_body_from_file),
        TEST(test_framed_body),     TEST(test_body_too_short),
        TEST(test_expect_continue), TEST(test_error_before_body_ends),
        TEST(test_chunked_answer),  TEST(test_response_max),
        TEST(test_streamed),        TEST(test_bad_answers),
        TEST(test_endless_head),    TEST(test_byte_at_a_time),
    };
    return cmocka_run_group_tests(tests, group_setup, NULL);
}
