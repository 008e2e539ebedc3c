/*
 * Private to the AWS clients: one question to an AWS service, asked a bounded number of times. Each try is
 * prepared, and signed, anew: tokens in files are renewed, signatures have a time.
 */
#pragma once

#include <uv.h>

#include "auth/aws_credentials.h"
#include "base/strbuf.h"
#include "loop/http.h"

enum { AWS_CALL_MAX_HEADERS = 6 };

/* Filled by `prepare`; the buffers belong to the call, which overwrites them. */
struct aws_call_request {
    const char *method; /* a literal */
    struct strbuf url, body;
    struct {
        const char *name; /* a literal */
        struct strbuf value;
    } headers[AWS_CALL_MAX_HEADERS];
    int n_headers;
};

/* The value, to be written by the caller. */
struct strbuf *aws_call_add_header(struct aws_call_request *request, const char *name);

struct aws_call;

struct aws_call_ask {
    struct http_client *http;
    const char *what; /* for messages, copied: "STS" */
    int tries;        /* in all; more than one only for what may be asked again */
    int64_t delay_ms; /* between them, about */
    int64_t connect_timeout_ms, total_timeout_ms;
    enum http_proxy proxy;
    const char *ca_file; /* PEM, copied; NULL = the system's */

    /* NULL: unsigned. Copied; the path of the URL must be "/" or written as in the request line, without a
     * query. */
    const struct aws_credentials *sign_with;
    const char *region, *service; /* copied */

    int (*prepare)(void *data, struct aws_call_request *request, struct error *err);
    /* Takes an answer of any HTTP status: 0, or an error; a retryable one is asked again while there are
     * tries. */
    int (*answer)(void *data, const struct http_response *response, struct error *err);
    /* Exactly once, from the loop, never before return of aws_call_start; err NULL: an answer was taken.
     * Nothing of the call is left then. */
    void (*done)(void *data, const struct error *err);
    void *data;
};

/* ERROR_SYSTEM only is returned directly, done never runs then. *ret is valid until done. */
int aws_call_start(uv_loop_t *loop, const struct aws_call_ask *ask, struct aws_call **ret, struct error *err);
/* done runs from the loop with ERROR_CANCELLED. */
void aws_call_cancel(struct aws_call *call);
