/* One question to Vault's HTTP API, asked up to three times. */
#pragma once

#include <jansson.h>
#include <uv.h>

#include "auth/vault_settings.h"
#include "base/error.h"
#include "loop/http.h"

struct vault_call;

struct vault_ask {
    uv_loop_t *loop;
    struct http_client *http;
    const struct vault_settings *settings; /* outlives the call; so does http */
    const char *method;                    /* "GET", "POST" */
    const char *path;                      /* "/v1/..." */
    const char *token;                     /* NULL: none, a login */
    json_t *body;                          /* POST: taken over, overwritten; NULL = {} */
    /*
     * Once, from the loop, never before vault_call_start returns; the call is gone. answer: valid during the
     * callback, overwritten afterwards; NULL with err on an error, all of them but ERROR_CANCELLED and an
     * untrusted certificate retryable (people repair secrets): ERROR_DENIED (native "403"), ERROR_NOT_FOUND
     * (native "404"), ERROR_INPUT (another 4xx) ERROR_UNREACHABLE   no answer, 412 429 472 473 5xx (503:
     * sealed), three times ERROR_PROTOCOL      an answer that isn't Vault's Messages hold what Vault says,
     * never a token.
     */
    void (*done)(void *data, const json_t *answer, const struct error *err);
    void *data;
};

/* The strings of ask are copied. ERROR_SYSTEM only; body is gone then too. */
int vault_call_start(const struct vault_ask *ask, struct vault_call **ret, struct error *err);
/* done runs from the loop with ERROR_CANCELLED. */
void vault_call_cancel(struct vault_call *call);
