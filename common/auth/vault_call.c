/*
 *   SENDING --> ENDING --> (done)
 *    ^   |
 *    |   v   no answer, or one that says: later
 *   PAUSING
 *
 * The end is the close callback of the timer, so that it never comes before vault_call_start returns.
 */
#include "auth/vault_call.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/secret.h"
#include "base/backoff.h"
#include "base/random.h"
#include "base/utf8.h"

enum {
    TRIES = 3,
    RETRY_CAP_MS = 5000,
    RETRY_AFTER_CAP_MS = 10000,
    CONNECT_TIMEOUT_MS = 5000,
    TOTAL_TIMEOUT_MS = 30000,
    MAX_HEADERS = 5,
};

enum state { SENDING, PAUSING, ENDING };

struct vault_call {
    struct vault_ask ask; /* its strings are ours */
    enum state state;
    int tries;
    char *method, *url, *body;
    char *headers[MAX_HEADERS];
    int n_headers;
    uv_timer_t timer;
    struct http_request *request;
    json_t *answer;
    struct error err;
};

static void send_it(struct vault_call *call);

static void call_free(struct vault_call *call)
{
    secret_json_free(call->answer);
    for (int i = 0; i < call->n_headers; i++)
        secret_free(call->headers[i]);
    secret_free(call->body);
    free(call->method);
    free(call->url);
    free(call);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct vault_call *call = handle->data;
    struct error err = call->err;
    json_t *answer = err.code ? NULL : json_incref(call->answer);
    struct vault_ask ask = call->ask;
    call_free(call);
    ask.done(ask.data, answer, err.code ? &err : NULL);
    secret_json_free(answer);
}

static void end(struct vault_call *call)
{
    call->state = ENDING;
    uv_close((uv_handle_t *)&call->timer, on_timer_closed);
}

/* --- the answer --- */

static bool is_transient(int status)
{
    return status == 412 || status == 429 || status == 472 || status == 473 || status >= 500;
}

/* What Vault says of it: {"errors": ["..."]}. */
static void reason_of(const struct http_response *response, char *out, size_t size)
{
    json_t *body = json_loadb(response->body, response->body_size, 0, NULL);
    const char *text = json_string_value(json_array_get(json_object_get(body, "errors"), 0));
    snprintf(out, size, "%s%.300s", text ? ": " : "", text ? text : "");
    utf8_clean(out);
    json_decref(body);
}

static void refuse(struct vault_call *call, const struct http_response *response)
{
    char reason[320];
    int status = response->status;
    const char *hint = "";
    int code = ERROR_INPUT;
    reason_of(response, reason, sizeof reason);
    if (status == 401 || status == 403)
        code = ERROR_DENIED;
    else if (status == 404)
        code = ERROR_NOT_FOUND;
    else if (is_transient(status))
        code = ERROR_UNREACHABLE;
    else if (status < 400)
        code = ERROR_PROTOCOL;
    if (status == 503)
        hint = "; unseal it (vault status says how it stands)";
    if (status >= 300 && status < 400)
        hint = "; it points elsewhere: set VAULT_ADDR to the address of the active node or the load balancer";
    error_set(&call->err, code, true, "Vault at %.200s answers %d%s%s", call->ask.settings->address, status,
              reason, hint);
    snprintf(call->err.native, sizeof call->err.native, "%d", status);
}

static void take_answer(struct vault_call *call, const struct http_response *response)
{
    call->answer = json_loadb(response->body, response->body_size, 0, NULL);
    if (response->status == 204)
        call->answer = json_object();
    if (!json_is_object(call->answer))
        error_set(&call->err, ERROR_PROTOCOL, true, "%.200s doesn't answer as Vault does; check VAULT_ADDR",
                  call->ask.settings->address);
}

static bool may_come_later(const struct error *err)
{
    return err->code == ERROR_UNREACHABLE || err->code == ERROR_TIMEOUT || err->code == ERROR_PROTOCOL;
}

static void on_pause_over(uv_timer_t *timer)
{
    send_it(timer->data);
}

static void pause_or_end(struct vault_call *call, int64_t wanted_ms)
{
    if (call->tries >= TRIES) {
        end(call);
        return;
    }
    int64_t pause_ms = backoff_ms(call->tries, call->ask.settings->retry_base_ms, RETRY_CAP_MS, random_u64());
    if (wanted_ms > pause_ms)
        pause_ms = wanted_ms < RETRY_AFTER_CAP_MS ? wanted_ms : RETRY_AFTER_CAP_MS;
    call->state = PAUSING;
    uv_timer_start(&call->timer, on_pause_over, (uint64_t)pause_ms, 0);
}

static int64_t retry_after_ms(const struct http_response *response)
{
    const char *text = response->header(response, "Retry-After");
    long seconds = text && strlen(text) < 6 ? strtol(text, NULL, 10) : 0;
    return seconds > 0 ? seconds * 1000 : 0;
}

static void on_response(void *data, const struct http_response *response, const struct error *err)
{
    struct vault_call *call = data;
    call->request = NULL;
    call->err = (struct error){0};
    if (err) {
        call->err = *err;
        error_context(&call->err,
                      err->code == ERROR_DENIED ? "Vault (VAULT_CACERT names its certificate)" : "Vault");
        if (may_come_later(err))
            pause_or_end(call, 0);
        else
            end(call);
        return;
    }
    if (response->status >= 200 && response->status < 300) {
        take_answer(call, response);
        end(call);
        return;
    }
    refuse(call, response);
    if (is_transient(response->status))
        pause_or_end(call, retry_after_ms(response));
    else
        end(call);
}

/* --- the question --- */

static void send_it(struct vault_call *call)
{
    bool post = strcmp(call->method, "POST") == 0;
    struct http_ask ask = {
        .method = call->method,
        .url = call->url,
        .headers = (const char *const *)call->headers,
        .n_headers = call->n_headers,
        .body = post ? call->body : NULL,
        .body_fd = -1,
        .body_size = post ? strlen(call->body) : 0,
        .ca_file = call->ask.settings->ca_file,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .total_timeout_ms = TOTAL_TIMEOUT_MS,
        .done = on_response,
        .data = call,
    };
    call->state = SENDING;
    call->tries++;
    if (http_start(call->ask.http, &ask, &call->request, &call->err)) {
        error_context(&call->err, "Vault");
        end(call);
    }
}

static bool add_header(struct vault_call *call, const char *name, const char *value)
{
    if (value == NULL)
        return true;
    char *line = malloc(strlen(name) + strlen(value) + 3);
    if (line == NULL)
        return false;
    stpcpy(stpcpy(stpcpy(line, name), ": "), value);
    call->headers[call->n_headers++] = line;
    return true;
}

static bool fill(struct vault_call *call, const struct vault_ask *ask)
{
    const struct vault_settings *s = ask->settings;
    call->method = strdup(ask->method);
    call->body = ask->body ? json_dumps(ask->body, JSON_COMPACT) : strdup("{}");
    call->url = malloc(strlen(s->address) + strlen(ask->path) + 1);
    if (call->method == NULL || call->body == NULL || call->url == NULL)
        return false;
    stpcpy(stpcpy(call->url, s->address), ask->path);
    return add_header(call, "X-Vault-Token", ask->token) &&
           add_header(call, "X-Vault-Namespace", s->namespace) &&
           add_header(call, "X-Vault-Request", "true") &&
           add_header(call, "Content-Type", "application/json") &&
           add_header(call, "Accept", "application/json");
}

int vault_call_start(const struct vault_ask *ask, struct vault_call **ret, struct error *err)
{
    struct vault_call *call = calloc(1, sizeof *call);
    bool ok = call && fill(call, ask);
    secret_json_free(ask->body);
    if (!ok) {
        if (call)
            call_free(call);
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    call->ask = *ask;
    call->ask.body = NULL;
    uv_timer_init(ask->loop, &call->timer);
    call->timer.data = call;
    *ret = call;
    send_it(call);
    return 0;
}

void vault_call_cancel(struct vault_call *call)
{
    if (call->state == SENDING) {
        http_cancel(call->request);
    } else if (call->state == PAUSING) {
        error_set(&call->err, ERROR_CANCELLED, true, "Vault: cancelled");
        end(call);
    } else {
        secret_json_free(call->answer);
        call->answer = NULL;
        error_set(&call->err, ERROR_CANCELLED, true, "Vault: cancelled");
    }
}
