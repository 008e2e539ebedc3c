/*
 * Private to the clients of clouds' own services (tokens, metadata, secrets): one question to a service,
 * asked a bounded number of times. Each try is prepared, and signed, anew: tokens in files are renewed,
 * signatures have a time.
 */
#pragma once

#include <uv.h>

#include "base/error.h"
#include "base/strbuf.h"
#include "loop/http.h"

enum { SERVICE_CALL_MAX_HEADERS = 6 };

/* Filled by `prepare`; the buffers belong to the call, which overwrites them. */
struct service_request {
    const char *method; /* a literal */
    struct strbuf url, body;
    struct {
        const char *name; /* a literal */
        struct strbuf value;
    } headers[SERVICE_CALL_MAX_HEADERS];
    int n_headers;
};

/* The value, to be written by the caller. */
struct strbuf *service_request_add_header(struct service_request *request, const char *name);

struct service_call;

struct service_call_ask {
    struct http_client *http;
    const char *what; /* for messages, copied: "STS" */
    int tries;        /* in all; more than one only for what may be asked again */
    int silent_tries; /* of those, may end without an answer (nobody there, time-out); 0 = all */
    int64_t delay_ms; /* between them, about; doubled for each up to delay_max_ms (0: not doubled) */
    int64_t delay_max_ms;
    int64_t connect_timeout_ms, total_timeout_ms; /* of one try */
    enum http_proxy proxy;
    const char *ca_file; /* PEM, copied; NULL = the system's */

    int (*prepare)(void *data, struct service_request *request, struct error *err);
    /* Adds headers to what was prepared; NULL: the question isn't signed. */
    int (*sign)(void *data, struct service_request *request, struct error *err);
    /* Takes an answer of any HTTP status: 0, or an error; a retryable one is asked again while there are
     * tries: not before its retry_after_ms, and not at all when that is over 30 s. */
    int (*answer)(void *data, const struct http_response *response, struct error *err);
    /* Exactly once, from the loop, never before return of service_call_start; err NULL: an answer was taken.
     * Nothing of the call is left then. */
    void (*done)(void *data, const struct error *err);
    void *data; /* of all four */
};

/* ERROR_SYSTEM only is returned directly, done never runs then. *ret is valid until done. */
int service_call_start(uv_loop_t *loop, const struct service_call_ask *ask, struct service_call **ret,
                       struct error *err);
/* done runs from the loop with ERROR_CANCELLED. */
void service_call_cancel(struct service_call *call);
