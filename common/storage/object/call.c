#include "storage/object/call.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/random.h"
#include "storage/object/errors.h"
#include "storage/object/learned.h"
#include "storage/object/protocol.h"

#define TRIES 3
#define REPAIRS_MAX 16
#define REPAIR_CLOCK (1U << 31)
#define RESPONSE_MAX ((size_t)1 << 20)
#define EXPECT_ABOVE ((uint64_t)1 << 20)
#define SKEW_MS (INT64_C(5) * 60 * 1000) /* servers allow 15 minutes */

enum call_state {
    CALL_BEGINNING, /* the protocol gets what it needs */
    CALL_SENT,      /* the request, or an aside, is under way */
    CALL_WAITING,   /* before the next try */
    CALL_CANCELLED, /* done is due */
    CALL_DONE,
};

struct object_call {
    struct object_session *session;
    const struct object_protocol *protocol;
    struct object_ask ask; /* its strings and arrays are copies */
    void *memory;
    size_t memory_size;
    enum call_state state;
    int tries, repairs;
    unsigned repaired; /* what object_call_once was asked for */
    bool aside;        /* what is under way is a question of the protocol's own */
    bool given;        /* on_body was called */
    bool cancelled;
    struct http_request *request;
    uv_timer_t timer;
    struct error err;  /* the one that was repaired last */
    max_align_t own[]; /* the protocol's state */
};

static int64_t backoff_base_ms = 500, backoff_cap_ms = 8000;

void object_call_set_backoff(int64_t base_ms, int64_t cap_ms)
{
    backoff_base_ms = base_ms;
    backoff_cap_ms = cap_ms;
}

int64_t object_call_backoff_ms(int n)
{
    return backoff_ms(n, backoff_base_ms, backoff_cap_ms, random_u64());
}

struct object_session *object_call_session(const struct object_call *call)
{
    return call->session;
}

const struct object_ask *object_call_ask(const struct object_call *call)
{
    return &call->ask;
}

void *object_call_state(const struct object_call *call)
{
    return (void *)(uintptr_t)call->own;
}

/* Ending */

static void on_timer_closed(uv_handle_t *handle)
{
    struct object_call *call = handle->data;
    if (call->protocol->call_deinit)
        call->protocol->call_deinit(call);
    if (call->memory)
        explicit_bzero(call->memory, call->memory_size);
    free(call->memory);
    free(call);
}

static void finish(struct object_call *call, const struct object_answer *answer, const struct error *err)
{
    assert(call->state != CALL_DONE && call->request == NULL);
    call->state = CALL_DONE;
    /* done may end all that we point to; our memory stays until the timer is closed */
    uv_close((uv_handle_t *)&call->timer, on_timer_closed);
    call->ask.done(call->ask.data, answer, err);
}

static void add_context(const struct object_call *call, struct error *err)
{
    error_context(err, "%s in %s '%s'", call->ask.operation, call->protocol->container_word,
                  call->session->container);
}

void object_call_fail(struct object_call *call, const struct error *err)
{
    struct error own = *err;
    add_context(call, &own);
    finish(call, NULL, &own);
}

void object_call_give_up(struct object_call *call)
{
    finish(call, NULL, &call->err);
}

static void end_cancelled(struct object_call *call)
{
    struct error err;
    error_set(&err, ERROR_CANCELLED, true, "cancelled");
    object_call_fail(call, &err);
}

/* Sending */

static void on_response(void *data, const struct http_response *response, const struct error *err);

static int on_body(void *data, const void *bytes, size_t size, struct error *err)
{
    struct object_call *call = data;
    call->given = true;
    return call->ask.on_body(call->ask.data, bytes, size, err);
}

static void add_ask(const struct object_ask *ask, struct http_ask *http)
{
    http->body = ask->body;
    http->body_fd = ask->body_size > 0 ? ask->body_fd : -1;
    http->body_offset = ask->body_offset;
    http->body_size = ask->body_size;
    http->body_head = ask->body_head;
    http->body_head_size = ask->body_head_size;
    http->body_tail = ask->body_tail;
    http->body_tail_size = ask->body_tail_size;
    http->expect_continue = ask->body_size > EXPECT_ABOVE;
    http->fresh_connection = ask->fresh_connection;
    http->on_body = ask->on_body ? on_body : NULL;
    http->bytes_sent = ask->bytes_sent;
    if (ask->response_max)
        http->response_max = ask->response_max;
}

int object_call_send(struct object_call *call, struct object_request *request, struct error *err)
{
    struct object_session *session = call->session;
    assert(call->state == CALL_BEGINNING);
    int rc = object_request_finish(request, err);
    if (rc == 0) {
        struct http_ask http = {
            .method = request->method,
            .url = strbuf_cstr(&request->url),
            .headers = request->lines,
            .n_headers = request->n_lines,
            .group = session->group,
            .body_fd = -1,
            .response_max = RESPONSE_MAX,
            .ca_file = session->ca_file,
            .done = on_response,
            .data = call,
        };
        call->aside = request->aside;
        if (!call->aside)
            add_ask(&call->ask, &http);
        call->state = CALL_SENT;
        rc = http_start(session->access->http, &http, &call->request, err);
    }
    object_request_deinit(request);
    return rc;
}

static int begin(struct object_call *call, struct error *err)
{
    call->state = CALL_BEGINNING;
    return call->protocol->begin(call, err);
}

static void begin_again(struct object_call *call)
{
    struct error err = {0};
    if (begin(call, &err) < 0)
        object_call_fail(call, &err);
}

static void on_timer(uv_timer_t *timer)
{
    struct object_call *call = timer->data;
    if (call->state == CALL_CANCELLED) {
        end_cancelled(call);
        return;
    }
    assert(call->state == CALL_WAITING);
    begin_again(call);
}

/* Judging. An answer that isn't success ends the call, or one of these takes it up again and says true. */

static bool try_again(struct object_call *call, const struct error *err)
{
    if (call->ask.once || call->given || call->tries >= TRIES ||
        err->retry_after_ms > OBJECT_CALL_MAX_WAIT_MS)
        return false;
    int64_t wait_ms = object_call_backoff_ms(call->tries++);
    if (wait_ms < err->retry_after_ms)
        wait_ms = err->retry_after_ms;
    call->state = CALL_WAITING;
    uv_timer_start(&call->timer, on_timer, (uint64_t)wait_ms, 0);
    return true;
}

static bool repair(struct object_call *call, const struct error *err)
{
    if (call->given || call->repairs++ >= REPAIRS_MAX)
        return false;
    call->err = *err;
    begin_again(call);
    return true;
}

bool object_call_once(struct object_call *call, unsigned what)
{
    bool first = !(call->repaired & what);
    call->repaired |= what;
    return first;
}

static int64_t date_of(const struct http_response *response)
{
    const char *date = response->header(response, "date");
    return date ? object_http_date_ms(date) : -1;
}

bool object_call_repair_clock(struct object_call *call, const struct http_response *response)
{
    int64_t server_ms = date_of(response);
    if (server_ms < 0 || !object_call_once(call, REPAIR_CLOCK))
        return false;
    object_learn_clock_ms(call->session->endpoint, server_ms - clock_wall_ms());
    return true;
}

bool object_call_is_skewed(const struct object_call *call, const struct http_response *response)
{
    int64_t server_ms = date_of(response);
    if (server_ms < 0)
        return false;
    int64_t off_ms = server_ms - object_session_now_ms(call->session);
    return off_ms > SKEW_MS || off_ms < -SKEW_MS;
}

/* What people are told besides the protocol's own words. */
static void explain(const struct object_call *call, const struct object_answer *answer, struct error *err)
{
    const struct http_response *response = answer->response;
    add_context(call, err);
    if (*answer->request_id) {
        size_t n = strlen(err->message);
        snprintf(err->message + n, sizeof err->message - n, " (request %.64s)", answer->request_id);
    }
    if (err->retry_after_ms == 0)
        err->retry_after_ms =
            object_retry_after_ms(response->header(response, "retry-after"), clock_wall_ms());
}

static bool take_up_again(struct object_call *call, enum object_verdict verdict, const struct error *err)
{
    return (verdict == OBJECT_TRANSIENT && try_again(call, err)) ||
           (verdict == OBJECT_AGAIN && repair(call, err));
}

static void judge(struct object_call *call, const struct http_response *response)
{
    struct object_answer answer = {
        .status = response->status, .code = "", .message = "", .request_id = "", .response = response};
    struct error err = {0};
    enum object_verdict verdict = call->protocol->judge(call, &answer, &err);
    if (verdict == OBJECT_SUCCESS) {
        finish(call, &answer, NULL);
        return;
    }
    if (call->cancelled) {
        end_cancelled(call);
        return;
    }
    explain(call, &answer, &err);
    if (!take_up_again(call, verdict, &err))
        finish(call, &answer, &err);
}

static void judge_aside(struct object_call *call, const struct http_response *response)
{
    if (call->protocol->judge_aside(call, response))
        begin_again(call);
    else
        finish(call, NULL, &call->err);
}

static bool worth_another_try(const struct error *err)
{
    return err->retryable &&
           (err->code == ERROR_UNREACHABLE || err->code == ERROR_TIMEOUT || err->code == ERROR_PROTOCOL);
}

static void on_response(void *data, const struct http_response *response, const struct error *err)
{
    struct object_call *call = data;
    call->request = NULL;
    if (response && !call->aside)
        judge(call, response);
    else if (call->cancelled)
        end_cancelled(call);
    else if (call->aside)
        judge_aside(call, response);
    else if (!worth_another_try(err) || !try_again(call, err))
        object_call_fail(call, err);
}

int object_call_start(struct object_session *session, const struct object_ask *ask,
                      struct object_call **ret_call, struct error *err)
{
    struct object_call *call = calloc(1, sizeof *call + session->protocol->call_size);
    if (call == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    call->session = session;
    call->protocol = session->protocol;
    call->tries = 1;
    uv_timer_init(session->loop, &call->timer);
    call->timer.data = call;
    int rc = object_ask_copy(ask, &call->ask, &call->memory, &call->memory_size, err);
    if (rc == 0)
        rc = begin(call, err);
    if (rc < 0) {
        uv_close((uv_handle_t *)&call->timer, on_timer_closed);
        return rc;
    }
    *ret_call = call;
    return 0;
}

void object_call_cancel(struct object_call *call)
{
    call->cancelled = true;
    switch (call->state) {
    case CALL_SENT:
        http_cancel(call->request);
        break;
    case CALL_BEGINNING:
        call->protocol->forget(call);
        call->state = CALL_CANCELLED;
        uv_timer_start(&call->timer, on_timer, 0, 0);
        break;
    case CALL_WAITING:
        call->state = CALL_CANCELLED;
        uv_timer_start(&call->timer, on_timer, 0, 0);
        break;
    case CALL_CANCELLED:
    case CALL_DONE:
        break;
    }
}
