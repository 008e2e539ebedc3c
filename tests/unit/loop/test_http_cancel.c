/* http.c: requests and clients that are ended before they are done; memory that runs out. */
#include "http_run.h"

#include <dlfcn.h>
#include <netdb.h>

#include <curl/curl.h>

/* -- name lookups: libcurl's calls end up here -- */

static pthread_mutex_t names_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t names_changed = PTHREAD_COND_INITIALIZER;
static bool names_hang; /* those of hang.test */
static int names_hanging;

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
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    return real(node, service, hints, ret);
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
    int fd = pattern_file(30000000); /* within the body */
    _Atomic uint64_t sent = 0;
    assert_int_equal(
        begin(f, &a, ASK(.method = "PUT", .body_fd = fd, .body_size = 30000000, .bytes_sent = &sent)), 0);
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
    int fd = pattern_file(200000);
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
    int fd = pattern_file(200000);
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

int main(void)
{
    cmocka_set_test_filter(getenv("ONLY"));
    const struct CMUnitTest tests[] = {
        TEST(test_cancel),         TEST(test_cancel_held),     TEST(test_cancel_in_lookup),
        TEST(test_from_callbacks), TEST(test_close_under_way), TEST(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, group_setup, NULL);
}
