/*
 *   WAITING --timer--> ASKING --done--> ENDING --closed--> (done, freed)
 *      ^                  |
 *      +---- retryable ---+
 */
#include "auth/service_call.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

enum { URL_MAX = 4096, BODY_MAX = 128 * 1024, HEADER_MAX = 40 * 1024, ANSWER_MAX = 256 * 1024 };
enum { PATIENCE_MS = 30 * 1000 }; /* for what a service wishes to be left alone */

enum call_state { CALL_WAITING, CALL_ASKING, CALL_ENDING };

struct service_call {
    struct service_call_ask ask;
    char *what, *ca_file;
    uv_timer_t timer;
    enum call_state state;
    struct http_request *http;
    struct service_request request;
    int tried, silent;
    bool cancelled;
    int rc;
    struct error err;
};

struct strbuf *service_request_add_header(struct service_request *request, const char *name)
{
    assert(request->n_headers < SERVICE_CALL_MAX_HEADERS);
    request->headers[request->n_headers].name = name;
    struct strbuf *value = &request->headers[request->n_headers++].value;
    strbuf_init(value, HEADER_MAX);
    return value;
}

static void buffer_deinit(struct strbuf *b)
{
    if (b->data)
        explicit_bzero(b->data, b->capacity);
    strbuf_deinit(b);
}

static void request_init(struct service_request *request)
{
    request->n_headers = 0;
    strbuf_init(&request->url, URL_MAX);
    strbuf_init(&request->body, BODY_MAX);
}

static void request_deinit(struct service_request *request)
{
    buffer_deinit(&request->url);
    buffer_deinit(&request->body);
    for (int i = 0; i < request->n_headers; i++)
        buffer_deinit(&request->headers[i].value);
    request->n_headers = 0;
}

static void call_free(struct service_call *call)
{
    request_deinit(&call->request);
    free(call->what);
    free(call->ca_file);
    free(call);
}

static void on_closed(uv_handle_t *handle)
{
    struct service_call *call = handle->data;
    void (*done)(void *, const struct error *) = call->ask.done;
    void *data = call->ask.data;
    struct error err = call->err;
    int rc = call->rc;
    call_free(call);
    done(data, rc ? &err : NULL);
}

static void end(struct service_call *call, int rc)
{
    assert(call->state != CALL_ENDING);
    call->state = CALL_ENDING;
    call->rc = rc;
    uv_close((uv_handle_t *)&call->timer, on_closed);
}

/* ---- one try ---- */

static void on_response(void *data, const struct http_response *response, const struct error *err);

static int send_request(struct service_call *call, struct error *err)
{
    struct service_request *request = &call->request;
    struct strbuf lines[SERVICE_CALL_MAX_HEADERS];
    const char *headers[SERVICE_CALL_MAX_HEADERS];
    bool failed = request->url.failed || request->body.failed;
    for (int i = 0; i < request->n_headers; i++) {
        strbuf_init(&lines[i], HEADER_MAX + 64);
        strbuf_printf(&lines[i], "%s: %s", request->headers[i].name, strbuf_cstr(&request->headers[i].value));
        failed = failed || lines[i].failed || request->headers[i].value.failed;
        headers[i] = strbuf_cstr(&lines[i]);
    }
    struct http_ask ask = {.method = request->method,
                           .url = strbuf_cstr(&request->url),
                           .headers = headers,
                           .n_headers = request->n_headers,
                           .body = strbuf_cstr(&request->body),
                           .body_fd = -1,
                           .body_size = request->body.size,
                           .response_max = ANSWER_MAX,
                           .ca_file = call->ca_file,
                           .proxy = call->ask.proxy,
                           .connect_timeout_ms = call->ask.connect_timeout_ms,
                           .total_timeout_ms = call->ask.total_timeout_ms,
                           .done = on_response,
                           .data = call};
    int rc = failed ? error_set(err, ERROR_LIMIT, false, "the question is too long, or memory is out")
                    : http_start(call->ask.http, &ask, &call->http, err);
    if (rc)
        error_context(err, "%s", call->what);
    for (int i = 0; i < request->n_headers; i++)
        buffer_deinit(&lines[i]);
    return rc;
}

/* From the timer: the first try, and each later one; or the end of a cancelled call. */
static void on_timer(uv_timer_t *timer)
{
    struct service_call *call = timer->data;
    if (call->cancelled) {
        end(call, error_set(&call->err, ERROR_CANCELLED, true, "%s: cancelled", call->what));
        return;
    }
    call->tried++;
    request_deinit(&call->request);
    request_init(&call->request);
    call->state = CALL_ASKING;
    int rc = call->ask.prepare(call->ask.data, &call->request, &call->err);
    if (rc == 0 && call->ask.sign)
        rc = call->ask.sign(call->ask.data, &call->request, &call->err);
    if (rc == 0)
        rc = send_request(call, &call->err);
    if (rc)
        end(call, rc);
}

static bool may_try_again(const struct service_call *call)
{
    return call->err.retryable && call->err.retry_after_ms <= PATIENCE_MS && call->tried < call->ask.tries &&
           (call->ask.silent_tries == 0 || call->silent < call->ask.silent_tries);
}

static uint64_t delay_ms(const struct service_call *call)
{
    int64_t delay = call->ask.delay_ms;
    for (int i = 1; i < call->tried && delay < call->ask.delay_max_ms; i++)
        delay = 2 * delay < call->ask.delay_max_ms ? 2 * delay : call->ask.delay_max_ms;
    uint64_t jittered = (uint64_t)delay / 2 + random_u64() % ((uint64_t)delay + 1);
    return jittered + (uint64_t)call->err.retry_after_ms;
}

static void on_response(void *data, const struct http_response *response, const struct error *err)
{
    struct service_call *call = data;
    call->http = NULL;
    int rc;
    if (response)
        rc = call->ask.answer(call->ask.data, response, &call->err);
    else {
        call->err = *err;
        call->silent++;
        rc = err->code;
        error_context(&call->err, "%s", call->what);
    }
    if (call->cancelled)
        rc = error_set(&call->err, ERROR_CANCELLED, true, "%s: cancelled", call->what);
    if (rc == 0 || call->cancelled || !may_try_again(call)) {
        end(call, rc);
        return;
    }
    call->state = CALL_WAITING;
    uv_timer_start(&call->timer, on_timer, delay_ms(call), 0);
}

/* ---- from outside ---- */

static int copy_text(char **ret, const char *text)
{
    if (text)
        *ret = strdup(text);
    return text == NULL || *ret ? 0 : -1;
}

static int copy_ask(struct service_call *call, const struct service_call_ask *ask, struct error *err)
{
    call->ask = *ask;
    if (copy_text(&call->what, ask->what) || copy_text(&call->ca_file, ask->ca_file))
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    return 0;
}

int service_call_start(uv_loop_t *loop, const struct service_call_ask *ask, struct service_call **ret,
                       struct error *err)
{
    struct service_call *call = calloc(1, sizeof *call);
    if (call == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    request_init(&call->request);
    int rc = copy_ask(call, ask, err);
    if (rc) {
        call_free(call);
        return rc;
    }
    uv_timer_init(loop, &call->timer);
    call->timer.data = call;
    uv_timer_start(&call->timer, on_timer, 0, 0);
    *ret = call;
    return 0;
}

void service_call_cancel(struct service_call *call)
{
    if (call->state == CALL_ENDING || call->cancelled)
        return;
    call->cancelled = true;
    if (call->state == CALL_WAITING)
        uv_timer_start(&call->timer, on_timer, 0, 0);
    else if (call->http)
        http_cancel(call->http);
}
