/* http.c: how long a request may take, how many run at once, how fast. */
#include "http_run.h"

/* -- time-outs -- */

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
    struct answer *a = run(f, ASK(.stall_timeout_ms = 1000));
    assert_error(a, ERROR_TIMEOUT, true);
    assert_string_equal(a->err.native, "sent");
    assert_non_null(strstr(a->err.message, "1000 ms"));
    a = run(f, ASK(.method = "PUT", .body = "12345", .body_size = 5, .stall_timeout_ms = 1000));
    assert_error(a, ERROR_TIMEOUT, true);
    assert_string_equal(a->err.native, "sent");
    peer_stop(&f->peer);
    serve(f, serve_deaf); /* takes no byte of the body */
    int fd = pattern_file(30000000);
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
    a = run(f, ASK(.stall_timeout_ms = 1500, .response_max = 16 * 200));
    assert_error(a, ERROR_TIMEOUT, true);
    assert_non_null(strstr(a->err.message, "dripping"));
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
    assert_int_equal(begin(f, &second, ASK(.url = "/b", .group = group, .stall_timeout_ms = 200)), 0);
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
    /* a chunk of 1 KiB each 250 ms at most, four to share: each waits far longer than its stall bound, which
     * the peer's answer has to keep */
    struct http_group *group = http_client_group(f->client, "slow", 0, 4000);
    int fd = pattern_file(4000);
    const char *const headers[] = {"X-Offset: 0"};
    struct answer answers[4] = {0};
    for (int i = 0; i < 4; i++)
        assert_int_equal(begin(f, &answers[i],
                               ASK(.method = "PUT", .body_fd = fd, .body_size = 4000, .group = group,
                                   .headers = headers, .n_headers = 1, .stall_timeout_ms = 500)),
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
    int fd = pattern_file(200000);
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

int main(void)
{
    cmocka_set_test_filter(getenv("ONLY"));
    const struct CMUnitTest tests[] = {
        TEST(test_connect_timeout),
        TEST(test_stalls),
        TEST(test_total_timeout),
        TEST(test_group_bound_and_order),
        TEST(test_wait_in_queue_is_no_stall),
        TEST(test_limited_is_no_stall),
        TEST(test_limit_lifted),
        TEST(test_many_groups),
    };
    return cmocka_run_group_tests(tests, group_setup, NULL);
}
