/* object/call.c with a protocol of the test's own: what the engine promises to any. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../loop/http_peer.h"
#include "base/clock.h"
#include "storage/object/call.h"
#include "storage/object/errors.h"
#include "storage/object/learned.h"
#include "storage/object/protocol.h"

/* The store: answers one after the other, as they stand here. */

#define ANSWERS_MAX 24
static const char cut[] = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";

static struct {
    const char *answers[ANSWERS_MAX]; /* NULL = no word, and the end */
    int n, asked;
    char targets[ANSWERS_MAX][256], methods[ANSWERS_MAX][16], bodies[ANSWERS_MAX][64],
        heads[ANSWERS_MAX][2048];
} script;

static void serve(struct peer_conn *c)
{
    while (peer_read(c)) {
        pthread_mutex_lock(&c->peer->mutex);
        int i = script.asked++;
        const char *answer = i < script.n ? script.answers[i] : NULL;
        if (i < ANSWERS_MAX) {
            snprintf(script.targets[i], sizeof script.targets[i], "%.255s", c->target);
            snprintf(script.methods[i], sizeof script.methods[i], "%s", c->method);
            snprintf(script.bodies[i], sizeof script.bodies[i], "%.63s", c->body);
            snprintf(script.heads[i], sizeof script.heads[i], "%.2047s", c->head);
        }
        pthread_mutex_unlock(&c->peer->mutex);
        if (answer == NULL || !peer_send(c, answer, strlen(answer)) || answer == cut)
            return;
    }
}

/* The protocol: what it does is set by each test. */

struct toy_session {
    struct object_session base;
    char endpoint[64];
};

struct toy_state {
    int begun;
    char code[32];
};

enum begin_how { AT_ONCE, LATER, LATER_ERROR, LATER_GIVE_UP, NEVER, AT_ONCE_ERROR };

static struct {
    enum begin_how begins[8]; /* by the number of begin; the last one stands for all later ones */
    int n_begins;
    bool as_aside[8];
    enum object_verdict verdicts[600]; /* by status; OBJECT_SUCCESS for those that aren't set */
    int64_t retry_after_ms;
    bool aside_verdict, clock;
    int begun, judged, skewed, forgotten, asides, silent_asides, ended;
    uv_timer_t timer;
    struct object_call *call;
} toy;

static struct peer peer;
static uv_loop_t loop;
static struct access reach;

static int session_init(struct object_session *session, const struct storage_location *location,
                        struct error *err)
{
    struct toy_session *self = (struct toy_session *)session;
    (void)location, (void)err;
    snprintf(self->endpoint, sizeof self->endpoint, "%s", peer.url);
    session->container = "attic";
    session->endpoint = self->endpoint;
    session->max_requests = 4;
    return 0;
}

static int send_it(struct object_call *call, bool aside, struct error *err)
{
    const struct object_ask *ask = object_call_ask(call);
    struct object_request request;
    object_request_init(&request, aside ? "HEAD" : ask->method);
    request.aside = aside;
    if (ask->url) {
        strbuf_puts(&request.url, ask->url);
    } else {
        strbuf_printf(&request.url, "%s/%s", object_call_session(call)->endpoint, aside ? "where" : ask->key);
        object_request_add_query(&request, ask->query, ask->n_query);
    }
    for (int i = 0; i < ask->n_headers; i++)
        object_request_add_line(&request, ask->headers[i].name, ask->headers[i].value);
    object_request_omit_line(&request, "Content-Type");
    return object_call_send(call, &request, err);
}

static void on_later(uv_timer_t *timer)
{
    struct object_call *call = toy.call;
    struct toy_state *state = object_call_state(call);
    enum begin_how how = toy.begins[state->begun - 1];
    struct error err = {0};
    (void)timer;
    if (how == LATER_GIVE_UP)
        object_call_give_up(call);
    else if (how == LATER_ERROR)
        error_set(&err, ERROR_DENIED, false, "no key to this attic");
    else
        send_it(call, false, &err);
    if (err.code)
        object_call_fail(call, &err);
}

static int begin(struct object_call *call, struct error *err)
{
    struct toy_state *state = object_call_state(call);
    int i = state->begun < toy.n_begins ? state->begun : toy.n_begins - 1;
    state->begun++;
    toy.begun++;
    toy.call = call;
    switch (toy.begins[i]) {
    case AT_ONCE:
        return send_it(call, toy.as_aside[i], err);
    case AT_ONCE_ERROR:
        return error_set(err, ERROR_LIMIT, true, "too many keys");
    case LATER:
    case LATER_ERROR:
    case LATER_GIVE_UP:
        uv_timer_start(&toy.timer, on_later, 0, 0);
        return 0;
    case NEVER:
        return 0;
    }
    return 0;
}

static void forget(struct object_call *call)
{
    (void)call;
    toy.forgotten++;
    uv_timer_stop(&toy.timer);
}

static enum object_verdict judge(struct object_call *call, struct object_answer *answer, struct error *err)
{
    struct toy_state *state = object_call_state(call);
    enum object_verdict verdict = toy.verdicts[answer->status];
    const char *id = answer->response->header(answer->response, "x-id");
    toy.judged++;
    if (id)
        answer->request_id = id;
    snprintf(state->code, sizeof state->code, "C%d", answer->status);
    answer->code = state->code;
    if (verdict == OBJECT_SUCCESS)
        return verdict;
    const struct object_error_table none = {0};
    struct object_error_row row = object_error_find(&none, answer->status, "");
    object_error_fill(&row, answer->status, "", "", err);
    err->retry_after_ms = toy.retry_after_ms;
    toy.skewed += object_call_is_skewed(call, answer->response);
    if (toy.clock)
        return object_call_repair_clock(call, answer->response) ? OBJECT_AGAIN : OBJECT_FINAL;
    return verdict;
}

static bool judge_aside(struct object_call *call, const struct http_response *response)
{
    (void)call;
    toy.asides++;
    toy.silent_asides += response == NULL;
    return response && toy.aside_verdict;
}

static void call_deinit(struct object_call *call)
{
    (void)call;
    toy.ended++;
}

static const struct object_protocol protocol = {
    .container_word = "attic",
    .session_size = sizeof(struct toy_session),
    .session_init = session_init,
    .call_size = sizeof(struct toy_state),
    .begin = begin,
    .forget = forget,
    .judge = judge,
    .judge_aside = judge_aside,
    .call_deinit = call_deinit,
};

/* One call run to its end. */

struct outcome {
    int done, start_rc;
    bool running;
    int status;
    char code[32], location[64];
    struct error err;
    size_t given;
};

static void on_done(void *data, const struct object_answer *answer, const struct error *err)
{
    struct outcome *o = data;
    assert_false(o->running);
    o->done++;
    if (err)
        o->err = *err;
    if (answer) {
        const char *location = answer->response->header(answer->response, "location");
        o->status = answer->status;
        snprintf(o->code, sizeof o->code, "%s", answer->code);
        snprintf(o->location, sizeof o->location, "%s", location ? location : "");
    }
}

static int on_body(void *data, const void *bytes, size_t size, struct error *err)
{
    struct outcome *o = data;
    (void)bytes, (void)err;
    o->given += size;
    return 0;
}

static const struct object_ask plain = {.operation = "GetThing", .method = "GET", .key = "k", .body_fd = -1};

static struct outcome run(const struct object_ask *ask, void (*meanwhile)(struct object_call *call))
{
    struct outcome o = {.running = true};
    struct toy_session session;
    struct object_call *call;
    struct storage_location location = {.storage_type = "toy", .access = &reach};
    struct object_ask own = *ask;
    own.done = on_done;
    own.data = &o;
    assert_int_equal(object_session_init(&session.base, &protocol, &loop, &location, &o.err), 0);
    o.start_rc = object_call_start(&session.base, &own, &call, &o.err);
    o.running = false;
    if (o.start_rc == 0 && meanwhile)
        meanwhile(call);
    while (o.start_rc == 0 && o.done == 0)
        uv_run(&loop, UV_RUN_ONCE);
    object_session_deinit(&session.base);
    while (toy.ended == 0) /* closing the call's timer takes another turn */
        uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(o.done, o.start_rc == 0 ? 1 : 0);
    assert_int_equal(toy.ended, 1);
    return o;
}

static void answer(const char *text)
{
    assert_true(script.n < ANSWERS_MAX);
    script.answers[script.n++] = text;
}

static void set(int status, enum object_verdict verdict)
{
    toy.verdicts[status] = verdict;
}

static void expect(const struct outcome *o, int code, const char *message, int asked)
{
    if (o->err.code != code || (message && strcmp(o->err.message, message) != 0))
        fail_msg("%d: %s", o->err.code, o->err.message);
    pthread_mutex_lock(&peer.mutex);
    int n = script.asked;
    pthread_mutex_unlock(&peer.mutex);
    assert_int_equal(n, asked);
}

static int reset(void **state)
{
    (void)state;
    uv_timer_t timer = toy.timer;
    memset(&toy, 0, sizeof toy);
    toy.timer = timer;
    toy.n_begins = 1;
    pthread_mutex_lock(&peer.mutex);
    memset(&script, 0, sizeof script);
    pthread_mutex_unlock(&peer.mutex);
    object_learned_forget();
    object_call_set_backoff(1, 4);
    return 0;
}

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
#define BUSY "HTTP/1.1 503 Busy\r\nX-Id: 4711\r\nContent-Length: 0\r\n\r\n"
#define NO "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"

static char key[] = "k", name[] = "X-Note", value[] = "a&b c";

static void overwrite_strings(struct object_call *call)
{
    (void)call;
    memset(key, '!', strlen(key));
    memset(name, '!', strlen(name));
    memset(value, '!', strlen(value));
}

static void what_was_asked_is_sent(void **state)
{
    (void)state;
    const struct object_query query[] = {{"one", value}, {"two", NULL}};
    const struct object_header header = {name, "red"};
    const struct object_ask ask = {.operation = "PutThing",
                                   .method = "POST",
                                   .key = key,
                                   .query = query,
                                   .n_query = 2,
                                   .headers = &header,
                                   .n_headers = 1,
                                   .body = "middle",
                                   .body_fd = -1,
                                   .body_size = 6,
                                   .body_head = "<",
                                   .body_head_size = 1,
                                   .body_tail = ">",
                                   .body_tail_size = 1};
    toy.begins[0] = LATER; /* by then the caller's strings are gone */
    answer("HTTP/1.1 308 More\r\nLocation: there\r\nContent-Length: 0\r\n\r\n");
    struct outcome o = run(&ask, overwrite_strings);
    expect(&o, 0, NULL, 1);
    assert_int_equal(o.status, 308); /* an answer, as the protocol takes it for one */
    assert_string_equal(o.code, "C308");
    assert_string_equal(o.location, "there");
    assert_string_equal(script.methods[0], "POST");
    assert_string_equal(script.targets[0], "/k?one=a%26b%20c&two=");
    assert_string_equal(script.bodies[0], "<middle>");
    assert_non_null(strstr(script.heads[0], "\r\nX-Note: red\r\n"));
    assert_null(strstr(script.heads[0], "Content-Type"));
}

static void a_hiccup_is_bridged_three_times(void **state)
{
    (void)state;
    set(503, OBJECT_TRANSIENT);
    answer(BUSY);
    answer(NULL); /* nothing is said on this connection, nor on the next */
    answer(NULL);
    answer(OK);
    struct outcome o = run(&plain, NULL);
    assert_int_equal(o.err.code, 0);
    assert_int_equal(o.status, 200);

    reset(NULL);
    set(503, OBJECT_TRANSIENT);
    for (int i = 0; i < 4; i++)
        answer(BUSY);
    o = run(&plain, NULL);
    expect(&o, ERROR_UNREACHABLE, "GetThing in attic 'attic': 503 (request 4711)", 3);
    assert_true(o.err.retryable);
    assert_int_equal(o.status, 503);
    assert_int_equal(toy.begun, 3);
}

static void what_may_not_be_tried_again(void **state)
{
    (void)state;
    struct object_ask ask = plain;
    ask.once = true;
    set(503, OBJECT_TRANSIENT);
    answer(BUSY);
    struct outcome o = run(&ask, NULL);
    expect(&o, ERROR_UNREACHABLE, NULL, 1);

    reset(NULL);
    ask = plain;
    ask.on_body = on_body;
    answer(cut); /* some of it was given */
    o = run(&ask, NULL);
    expect(&o, ERROR_UNREACHABLE, NULL, 1);
    assert_int_equal(o.given, 5);

    static const enum object_verdict verdicts[] = {OBJECT_TRANSIENT, OBJECT_AGAIN};
    for (size_t i = 0; i < 2; i++) { /* nor when the answer as a whole is found wanting afterwards */
        reset(NULL);
        set(200, verdicts[i]);
        answer(OK);
        o = run(&ask, NULL);
        assert_true(o.err.code < 0);
        expect(&o, o.err.code, NULL, 1);
    }
}

static void a_wait_that_the_server_asks_for(void **state)
{
    (void)state;
    set(503, OBJECT_TRANSIENT);
    answer("HTTP/1.1 503 Busy\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n");
    struct outcome o = run(&plain, NULL);
    expect(&o, ERROR_UNREACHABLE, NULL, 1);
    assert_int_equal(o.err.retry_after_ms, 3600000);

    reset(NULL); /* the protocol's own way of saying it comes first */
    set(503, OBJECT_TRANSIENT);
    toy.retry_after_ms = 1;
    answer("HTTP/1.1 503 Busy\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n");
    answer(OK);
    o = run(&plain, NULL);
    expect(&o, 0, NULL, 2);
}

static void repairs_go_again_at_once(void **state)
{
    (void)state;
    set(403, OBJECT_AGAIN);
    answer(NO);
    answer(OK);
    struct object_ask ask = plain;
    ask.once = true; /* a repair is no try */
    struct outcome o = run(&ask, NULL);
    expect(&o, 0, NULL, 2);

    reset(NULL); /* and come to nothing: the refused keys are the only ones */
    set(403, OBJECT_AGAIN);
    toy.begins[1] = LATER_GIVE_UP;
    toy.n_begins = 2;
    answer(NO);
    o = run(&plain, NULL);
    expect(&o, ERROR_DENIED, "GetThing in attic 'attic': 403", 1);

    reset(NULL); /* a protocol that never has enough of it */
    set(403, OBJECT_AGAIN);
    for (int i = 0; i < ANSWERS_MAX; i++)
        answer(NO);
    o = run(&plain, NULL);
    expect(&o, ERROR_DENIED, "GetThing in attic 'attic': 403", 17);
}

static void each_repair_is_made_once(void **state)
{
    (void)state;
    /* the server is an hour ahead, and is not content when that is taken into account */
    char early[200];
    time_t then = (time_t)(clock_wall_ms() / 1000 + 3600);
    struct tm tm;
    char date[64];
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&then, &tm));
    snprintf(early, sizeof early, "HTTP/1.1 403 No\r\nDate: %s\r\nContent-Length: 0\r\n\r\n", date);
    set(403, OBJECT_FINAL);
    toy.clock = true;
    answer(early);
    answer(early);
    struct outcome o = run(&plain, NULL);
    expect(&o, ERROR_DENIED, NULL, 2);
    assert_int_equal(toy.skewed, 1); /* the second time it is known */
    int64_t offset_ms = object_learned_clock_ms(peer.url);
    assert_true(offset_ms > 3500000 && offset_ms < 3700000);

    reset(NULL);
    set(403, OBJECT_FINAL);
    toy.clock = true;
    answer(NO); /* without a Date nothing is known */
    o = run(&plain, NULL);
    expect(&o, ERROR_DENIED, NULL, 1);
    assert_int_equal(toy.skewed, 0);
}

static void asides_are_the_protocols_own(void **state)
{
    (void)state;
    struct object_ask ask = plain;
    ask.body = "hello";
    ask.body_size = 5;
    ask.method = "PUT";
    set(403, OBJECT_AGAIN);
    toy.n_begins = 3;
    toy.as_aside[1] = true;
    toy.aside_verdict = true;
    answer(NO);
    answer(NO);
    answer(OK);
    struct outcome o = run(&ask, NULL);
    expect(&o, 0, NULL, 3);
    assert_string_equal(script.methods[1], "HEAD");
    assert_string_equal(script.targets[1], "/where");
    assert_string_equal(script.bodies[1], "");
    assert_string_equal(script.bodies[2], "hello");

    for (int silent = 0; silent < 2; silent++) {
        reset(NULL);
        set(403, OBJECT_AGAIN);
        toy.n_begins = 2;
        toy.as_aside[1] = true;
        answer(NO);
        answer(silent ? NULL : NO);
        o = run(&ask, NULL);
        assert_int_equal(o.status, 0);
        assert_int_equal(o.err.code, ERROR_DENIED);
        assert_string_equal(o.err.message, "GetThing in attic 'attic': 403");
        assert_int_equal(toy.asides, 1);
        assert_int_equal(toy.silent_asides, silent);
    }
}

static void a_beginning_that_fails(void **state)
{
    (void)state;
    toy.begins[0] = AT_ONCE_ERROR;
    struct outcome o = run(&plain, NULL);
    assert_int_equal(o.start_rc, ERROR_LIMIT);
    expect(&o, ERROR_LIMIT, "too many keys", 0);

    reset(NULL);
    toy.begins[0] = LATER_ERROR;
    o = run(&plain, NULL);
    expect(&o, ERROR_DENIED, "GetThing in attic 'attic': no key to this attic", 0);

    reset(NULL);
    set(503, OBJECT_TRANSIENT);
    toy.begins[1] = AT_ONCE_ERROR;
    toy.n_begins = 2;
    answer(BUSY);
    o = run(&plain, NULL);
    expect(&o, ERROR_LIMIT, "GetThing in attic 'attic': too many keys", 1);
}

static void cancel_now(struct object_call *call)
{
    object_call_cancel(call);
    object_call_cancel(call);
}

static void cancel_when_waiting(struct object_call *call)
{
    while (toy.judged == 0)
        uv_run(&loop, UV_RUN_ONCE);
    object_call_cancel(call);
}

static void cancelled_wherever_it_is(void **state)
{
    (void)state;
    static const enum begin_how hows[] = {AT_ONCE, LATER, NEVER};
    for (size_t i = 0; i < sizeof hows / sizeof *hows; i++) {
        reset(NULL);
        toy.begins[0] = hows[i];
        answer(OK);
        struct outcome o = run(&plain, cancel_now);
        assert_int_equal(o.err.code, ERROR_CANCELLED);
        assert_string_equal(o.err.message + strlen(o.err.message) - 9, "cancelled");
        assert_int_equal(toy.forgotten, hows[i] != AT_ONCE);
    }
    reset(NULL);
    object_call_set_backoff(1000000, 1000000);
    set(503, OBJECT_TRANSIENT);
    answer(BUSY);
    struct outcome o = run(&plain, cancel_when_waiting);
    expect(&o, ERROR_CANCELLED, "GetThing in attic 'attic': cancelled", 1);
}

static void a_url_that_is_a_secret(void **state)
{
    (void)state;
    char url[128];
    snprintf(url, sizeof url, "%s/upload?session=hunter2", peer.url);
    struct object_ask ask = plain;
    ask.key = NULL;
    ask.url = url;
    answer(NO);
    set(403, OBJECT_FINAL);
    struct outcome o = run(&ask, NULL);
    expect(&o, ERROR_DENIED, "GetThing in attic 'attic': 403", 1);
    assert_string_equal(script.targets[0], "/upload?session=hunter2");

    reset(NULL); /* no answer at all */
    ask.once = true;
    o = run(&ask, NULL);
    assert_int_equal(o.err.code, ERROR_UNREACHABLE);
    assert_null(strstr(o.err.message, "hunter2"));
    assert_null(strstr(o.err.message, "upload"));
}

static int group_setup(void **state)
{
    (void)state;
    peer_start(&peer, serve, NULL);
    uv_loop_init(&loop);
    reach.loop = &loop;
    uv_timer_init(&loop, &toy.timer);
    return http_client_new(&loop, NULL, &reach.http, NULL);
}

static int group_teardown(void **state)
{
    (void)state;
    http_client_close(reach.http, NULL, NULL);
    uv_close((uv_handle_t *)&toy.timer, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    peer_stop(&peer);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_was_asked_is_sent, reset),
        cmocka_unit_test_setup(a_hiccup_is_bridged_three_times, reset),
        cmocka_unit_test_setup(what_may_not_be_tried_again, reset),
        cmocka_unit_test_setup(a_wait_that_the_server_asks_for, reset),
        cmocka_unit_test_setup(repairs_go_again_at_once, reset),
        cmocka_unit_test_setup(each_repair_is_made_once, reset),
        cmocka_unit_test_setup(asides_are_the_protocols_own, reset),
        cmocka_unit_test_setup(a_beginning_that_fails, reset),
        cmocka_unit_test_setup(cancelled_wherever_it_is, reset),
        cmocka_unit_test_setup(a_url_that_is_a_secret, reset),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
