/* The cache with a kind of the test's own: what it fetches, it gets when the test says so. (What the cache
 * does with services that answer late, wrongly or not at all: test_aws_credentials.c.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/credential_cache.h"
#include "auth/secrets.h"

enum { MAX_FETCHES = 8, MINUTE_MS = 60 * 1000 };

struct running {
    struct credential_fetch *fetch; /* NULL: ended */
    char reference[64], texts[2][64], secret[64];
    int cancelled;
};

static struct world {
    uv_loop_t loop;
    struct http_client *http;
    struct secrets *secrets;
    struct credential_cache *cache;
    struct running fetches[MAX_FETCHES];
    int n_fetches, n_values; /* begun; alive */
    const char *at_once;     /* given inside start */
    int refuse;              /* what start returns */
    bool closed;
} w;

static int64_t now_ms;

static int64_t fake_wall_ms(void)
{
    return now_ms;
}

static void give(struct credential_fetch *fetch, const char *id, int64_t lifetime_ms)
{
    char *value = strdup(id);
    assert_non_null(value);
    w.n_values++;
    credential_fetch_end(fetch,
                         &(struct credential){.value = value,
                                              .expires_at_ms = lifetime_ms ? now_ms + lifetime_ms : 0,
                                              .source = value},
                         NULL);
}

static int start(void *owner, const struct credential_question *question, const char *secret,
                 struct credential_fetch *fetch, void **ret_running, struct error *err)
{
    assert_ptr_equal(owner, &w);
    assert_true(w.n_fetches < MAX_FETCHES);
    struct running *running = &w.fetches[w.n_fetches++];
    if (w.refuse)
        return error_set(err, w.refuse, false, "refused at once");
    snprintf(running->reference, sizeof running->reference, "%s", question->reference);
    snprintf(running->secret, sizeof running->secret, "%s", secret ? secret : "(none)");
    for (int i = 0; i < 2; i++)
        snprintf(running->texts[i], sizeof running->texts[i], "%s", question->texts[i]);
    *ret_running = running;
    if (w.at_once)
        give(fetch, w.at_once, 0);
    else
        running->fetch = fetch;
    return 0;
}

static void cancel(void *data)
{
    struct running *running = data;
    running->cancelled++;
}

static void free_value(void *value)
{
    w.n_values--;
    free(value);
}

static const char *id_of(const void *value)
{
    return value;
}

typedef void (*got_fn)(void *data, const char *id, const struct error *err);

static void serve(void (*done)(void), void *data, const void *value, const struct error *err)
{
    ((got_fn)done)(data, value, err);
}

static const struct credential_kind kind = {
    .name = "test credentials",
    .due = {10 * MINUTE_MS, 2},
    .too_old = {MINUTE_MS, 10},
    .start = start,
    .cancel = cancel,
    .free = free_value,
    .id = id_of,
    .serve = serve,
};

struct result {
    int done;
    char id[32];
    struct error err;
    bool close; /* the cache, inside the callback */
    struct credential_wait *wait;
};

static void on_closed(void *data)
{
    *(bool *)data = true;
}

static void close_cache(void)
{
    credential_cache_close(w.cache, on_closed, &w.closed);
    w.cache = NULL;
}

static void on_got(void *data, const char *id, const struct error *err)
{
    struct result *r = data;
    assert_true((id == NULL) != (err == NULL));
    r->done++;
    snprintf(r->id, sizeof r->id, "%s", id ? id : "");
    if (err)
        r->err = *err;
    if (r->close)
        close_cache();
}

static void turn(void)
{
    for (int i = 0; i < 10; i++)
        uv_run(&w.loop, UV_RUN_NOWAIT);
}

static void ask(struct result *r, const char *reference, const char *text)
{
    struct credential_question q = {.reference = reference, .texts = {text}};
    *r = (struct result){0};
    assert_int_equal(credential_cache_get(w.cache, &q, (void (*)(void))on_got, r, &r->wait, NULL), 0);
    assert_int_equal(r->done, 0);
}

static void end_fetch(int i, const char *id, int64_t lifetime_ms)
{
    struct credential_fetch *fetch = w.fetches[i].fetch;
    assert_non_null(fetch);
    w.fetches[i].fetch = NULL;
    give(fetch, id, lifetime_ms);
}

static void fail_fetch(int i)
{
    struct error err = {0};
    struct credential_fetch *fetch = w.fetches[i].fetch;
    assert_non_null(fetch);
    w.fetches[i].fetch = NULL;
    error_set(&err, ERROR_UNREACHABLE, true, "not there");
    credential_fetch_end(fetch, NULL, &err);
}

static int setup(void **state)
{
    (void)state;
    memset(&w, 0, sizeof w);
    now_ms = INT64_C(1767225600000);
    assert_int_equal(uv_loop_init(&w.loop), 0);
    assert_int_equal(http_client_new(&w.loop, NULL, &w.http, NULL), 0);
    assert_int_equal(secrets_new(&w.loop, &(struct secrets_options){.http = w.http}, &w.secrets, NULL), 0);
    assert_int_equal(credential_cache_new(&w.loop, &kind, &w, w.secrets, &w.cache, NULL), 0);
    credential_cache_use_clock(w.cache, fake_wall_ms);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (w.cache)
        close_cache();
    while (!w.closed)
        uv_run(&w.loop, UV_RUN_ONCE);
    secrets_close(w.secrets, NULL, NULL);
    http_client_close(w.http, NULL, NULL);
    uv_run(&w.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w.loop), 0);
    assert_int_equal(w.n_values, 0);
    return 0;
}

/* ---- questions and fetches ---- */

static void one_question_is_fetched_once(void **state)
{
    (void)state;
    struct result a, b, c;
    ask(&a, NULL, "x");
    ask(&b, "", "x");
    ask(&c, NULL, "y");
    turn();
    assert_int_equal(w.n_fetches, 2);
    assert_string_equal(w.fetches[0].texts[0], "x");
    assert_string_equal(w.fetches[0].texts[1], "");
    assert_string_equal(w.fetches[0].reference, "");
    assert_string_equal(w.fetches[0].secret, "(none)");
    end_fetch(0, "for x", 0);
    end_fetch(1, "for y", 0);
    assert_string_equal(a.id, "for x");
    assert_string_equal(b.id, "for x");
    assert_string_equal(c.id, "for y");
    ask(&a, NULL, "x");
    turn();
    assert_string_equal(a.id, "for x");
    assert_int_equal(w.n_fetches, 2);
}

static void a_reference_s_text_goes_to_the_kind(void **state)
{
    (void)state;
    struct result r;
    setenv("TEST_CREDENTIAL", "text", 1);
    w.at_once = "made of it";
    ask(&r, "env:TEST_CREDENTIAL", NULL);
    while (r.done == 0)
        uv_run(&w.loop, UV_RUN_ONCE);
    assert_string_equal(r.id, "made of it");
    assert_string_equal(w.fetches[0].secret, "text");
    assert_string_equal(w.fetches[0].reference, "env:TEST_CREDENTIAL");
    unsetenv("TEST_CREDENTIAL");
    ask(&r, "env:TEST_CREDENTIAL_2", NULL);
    while (r.done == 0)
        uv_run(&w.loop, UV_RUN_ONCE);
    assert_int_equal(r.err.code, ERROR_NOT_FOUND);
    assert_int_equal(w.n_fetches, 1);
}

static void what_the_kind_refuses_at_once_is_an_answer(void **state)
{
    (void)state;
    struct result r;
    w.refuse = ERROR_INPUT;
    ask(&r, NULL, NULL);
    turn();
    assert_int_equal(r.done, 1);
    assert_int_equal(r.err.code, ERROR_INPUT);
    w.refuse = 0;
    w.at_once = "now";
    ask(&r, NULL, NULL);
    turn();
    assert_string_equal(r.id, "now");
}

/* ---- time ---- */

static void the_kind_says_when_one_is_due_and_too_old(void **state)
{
    (void)state;
    struct result r;
    ask(&r, NULL, NULL);
    turn();
    end_fetch(0, "first", 60 * MINUTE_MS);
    now_ms += 50 * MINUTE_MS - 1;
    ask(&r, NULL, NULL);
    turn();
    assert_string_equal(r.id, "first");
    assert_int_equal(w.n_fetches, 1);
    now_ms += 1; /* due: served, and fetched meanwhile */
    ask(&r, NULL, NULL);
    turn();
    assert_string_equal(r.id, "first");
    assert_int_equal(w.n_fetches, 2);
    now_ms += 9 * MINUTE_MS; /* too old: waits */
    ask(&r, NULL, NULL);
    turn();
    assert_int_equal(r.done, 0);
    assert_int_equal(w.n_fetches, 2);
    end_fetch(1, "second", 60 * MINUTE_MS);
    assert_string_equal(r.id, "second");
}

static void nobody_asked_so_nothing_is_refreshed(void **state)
{
    (void)state;
    struct result r;
    ask(&r, NULL, NULL);
    turn();
    credential_forget(r.wait);
    end_fetch(0, "first", 60 * MINUTE_MS);
    now_ms += 59 * MINUTE_MS;
    turn();
    assert_int_equal(w.n_fetches, 1);
    assert_int_equal(r.done, 0);
}

static void a_failed_refresh_leaves_the_old_one(void **state)
{
    (void)state;
    struct result r;
    ask(&r, NULL, NULL);
    turn();
    end_fetch(0, "first", 60 * MINUTE_MS);
    now_ms += 59 * MINUTE_MS + 1;
    ask(&r, NULL, NULL);
    turn();
    fail_fetch(1);
    assert_string_equal(r.id, "first");
    now_ms += MINUTE_MS;
    ask(&r, NULL, NULL);
    turn();
    fail_fetch(2);
    assert_int_equal(r.err.code, ERROR_UNREACHABLE);
}

static void a_complaint_about_this_one_causes_one_fetch(void **state)
{
    (void)state;
    struct result r;
    struct credential_question q = {0};
    ask(&r, NULL, NULL);
    turn();
    end_fetch(0, "first", 60 * MINUTE_MS);
    credential_cache_expired(w.cache, &q, "another");
    ask(&r, NULL, NULL);
    turn();
    assert_int_equal(w.n_fetches, 1);
    credential_cache_expired(w.cache, &q, "first");
    credential_cache_expired(w.cache, &q, "first");
    ask(&r, NULL, NULL);
    turn();
    assert_int_equal(w.n_fetches, 2);
    end_fetch(1, "second", 60 * MINUTE_MS);
    credential_cache_expired(w.cache, &q, "first");
    ask(&r, NULL, NULL);
    turn();
    assert_string_equal(r.id, "second");
    assert_int_equal(w.n_fetches, 2);
}

/* ---- the end ---- */

static void closing_waits_for_what_was_cancelled(void **state)
{
    (void)state;
    struct result r;
    ask(&r, NULL, NULL);
    turn();
    close_cache();
    assert_int_equal(w.fetches[0].cancelled, 1);
    turn();
    assert_int_equal(r.err.code, ERROR_CANCELLED);
    assert_false(w.closed);
    end_fetch(0, "too late", 0); /* freed, told to nobody */
    turn();
    assert_true(w.closed);
    assert_int_equal(r.done, 1);
}

static void closing_inside_a_callback(void **state)
{
    (void)state;
    struct result r[4];
    w.at_once = "x";
    for (int i = 0; i < 4; i++) {
        char text[2] = {(char)('a' + i / 2), '\0'};
        ask(&r[i], NULL, text);
        r[i].close = i == 0;
    }
    turn();
    assert_true(w.closed);
    assert_string_equal(r[0].id, "x");
    assert_string_equal(r[1].id, "x");
    assert_int_equal(r[2].err.code, ERROR_CANCELLED);
    assert_int_equal(r[3].err.code, ERROR_CANCELLED);
    assert_int_equal(w.n_fetches, 1);
}

/* After the timers, before the loop looks at what happened. */
static void on_prepare(uv_prepare_t *prepare)
{
    uv_close((uv_handle_t *)prepare, NULL);
    close_cache();
}

static void closing_while_a_secret_is_fetched(void **state)
{
    (void)state;
    struct result r;
    uv_prepare_t prepare;
    setenv("TEST_CREDENTIAL", "text", 1);
    ask(&r, "env:TEST_CREDENTIAL", NULL);
    uv_prepare_init(&w.loop, &prepare);
    uv_prepare_start(&prepare, on_prepare);
    while (!w.closed)
        uv_run(&w.loop, UV_RUN_ONCE);
    assert_int_equal(r.done, 1);
    assert_int_equal(r.err.code, ERROR_CANCELLED);
    assert_int_equal(w.n_fetches, 0);
    unsetenv("TEST_CREDENTIAL");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_question_is_fetched_once),
        TEST(a_reference_s_text_goes_to_the_kind),
        TEST(what_the_kind_refuses_at_once_is_an_answer),
        TEST(the_kind_says_when_one_is_due_and_too_old),
        TEST(nobody_asked_so_nothing_is_refreshed),
        TEST(a_failed_refresh_leaves_the_old_one),
        TEST(a_complaint_about_this_one_causes_one_fetch),
        TEST(closing_waits_for_what_was_cancelled),
        TEST(closing_inside_a_callback),
        TEST(closing_while_a_secret_is_fetched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
