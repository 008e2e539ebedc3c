/*
 * One S3 request on the loop, with what every request needs: credentials, signature, the learned region and
 * clock of its server, errors by class (protocol: S3's error codes first, status second), and a few tries of
 * its own.
 *
 *   CREDENTIALS ──► SENT ──► judged ──┬─ success, or final error ──► done
 *        ▲                           ├─ transient: WAITING (backoff with jitter, or Retry-After) ──┐
 *        │                           ├─ skewed clock, expired token: repaired once each ─────────┤
 *        │                           └─ wrong region: repaired once, if need be by LOCATING ──────┤
 *        └──────────────────────────────────────────────────────────────────────┘
 *
 * The tries here (3 in all) bridge a hiccup in one part of a long upload; the row's own attempts come on top.
 * A Retry-After beyond S3_CALL_MAX_WAIT_MS is not waited for here: the error carries it (retry_after_ms).
 */
#pragma once

#include "auth/access.h"
#include "auth/sigv4.h"
#include "storage/s3/config.h"
#include "storage/s3/errors.h"

#define S3_CALL_MAX_WAIT_MS 20000
#define S3_EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define S3_UNSIGNED "UNSIGNED-PAYLOAD"

struct s3_call;

/* What all calls of one operation share; lives in the operation, as long as its calls. */
struct s3_session {
    uv_loop_t *loop;
    struct access *access;
    struct s3_config config;
    struct http_group *group;
    const char *credentials_ref; /* the location's, else the config's; NULL = the chain */
    char *sse_customer_key;      /* base64, fetched by s3_session_open where the config asks for it */
    char *sse_customer_key_md5;
    struct s3_opening *opening; /* private */
};

/* Loads and checks the location, joins its group. 0 or a negative code; no callback. */
int s3_session_init(struct s3_session *session, uv_loop_t *loop, const struct storage_location *location,
                    struct error *err);
/* Fetches what must be there before the first call (SSE-C key). on_open runs once from the loop, never before
 * return; after s3_session_deinit: never. */
int s3_session_open(struct s3_session *session, void (*on_open)(void *data, const struct error *err),
                    void *data, struct error *err);
void s3_session_deinit(struct s3_session *session); /* overwrites the key */

struct s3_answer {
    int status;
    const char *code; /* S3's error code, "" when there is none */
    const char *message;
    const char *request_id; /* "" when there is none */
    const struct http_response *response;
};

/* Everything is copied but body, body_fd, atomics. Headers given here are all signed; host, x-amz-date,
 * x-amz-content-sha256, x-amz-security-token, x-amz-expected-bucket-owner are added; SSE-C's three when
 * sse_customer is set. Header names as S3 spells them. */
struct s3_ask {
    const char *operation; /* "UploadPart": for messages */
    const char *method;
    const char *key; /* NULL = the bucket */
    const struct sigv4_query *query;
    int n_query;
    const struct sigv4_header *headers;
    int n_headers;
    const char
        *payload_hash; /* hex SHA-256, S3_UNSIGNED (https only: asserted), NULL = computed of a memory body */
    const void *body;
    int body_fd; /* -1 = memory */
    uint64_t body_offset, body_size;
    bool sse_customer;
    /* A 200 must hold a document with this root, else it counts as a 500 and is tried again; an <Error> in it
     * is judged as an error answer. NULL: the body is not looked at. */
    const char *expect_root;
    /* A 2xx must hold an ETag, as it does when it tells of an object, else it counts as a 500 and is tried
     * again: something else answered in the store's place, such as a proxy with its own page. */
    bool expect_etag;
    size_t response_max; /* 0 = 1 MiB */
    int (*on_body)(void *data, const void *bytes, size_t size, struct error *err);
    bool once;             /* no tries of its own. Also without it: none once on_body was given anything */
    bool fresh_connection; /* http.h: for what must not be carried out twice */
    _Atomic uint64_t *bytes_sent;
    /* answer: NULL when no answer came. err: NULL for 2xx; else classed, message with status, code, request
     * id and bucket, e.g. "PutObject in bucket 'b': 403 AccessDenied: Access Denied.; <way out> (request
     * 17A...)". */
    void (*done)(void *data, const struct s3_answer *answer, const struct error *err);
    void *data;
};

int s3_call_start(struct s3_session *session, const struct s3_ask *ask, struct s3_call **ret_call,
                  struct error *err);
/* done runs from the loop: with ERROR_CANCELLED, or with success when the answer was there already. */
void s3_call_cancel(struct s3_call *call);

/* For tests: backoff between tries; default 500 and 8000. */
void s3_call_set_backoff(int64_t base_ms, int64_t cap_ms);
