/* What is asked of a store in one request, before it is anyone's wire format. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct object_answer;

struct object_header {
    const char *name; /* as the store spells it */
    const char *value;
};

struct object_query {
    const char *name;  /* decoded */
    const char *value; /* decoded; NULL = "" */
};

/* object_call_start copies everything but the body (memory, descriptor) and atomics, which stay unchanged
 * until done. */
struct object_ask {
    const char *operation; /* "UploadPart": for messages */
    const char *method;
    const char *key; /* NULL = the container */
    /* The whole URL, in place of one made of key and query: such as that of an upload's session. It may be
     * a secret: it reaches no message, and the copy is overwritten at the end. */
    const char *url;
    const struct object_query *query;
    int n_query;
    const struct object_header *headers; /* what the protocol adds itself (authorization, dates, customer's
                                            key) is not among them */
    int n_headers;
    const void *body;
    int body_fd; /* -1 = memory */
    uint64_t body_offset, body_size;
    const void *body_head, *body_tail; /* memory around it (http.h): not of body_size, nor of bytes_sent */
    size_t body_head_size, body_tail_size;

    /* Addressed to the protocol; what it makes of these stands in its own header. */
    const char *payload_hash; /* of the body, where the caller knows it */
    const char *expect_root;  /* a success must hold a document with this root */
    bool customer_key;        /* the session's customer key goes with it */
    unsigned flags;

    size_t response_max;                                                           /* 0 = 1 MiB */
    int (*on_body)(void *data, const void *bytes, size_t size, struct error *err); /* as http.h; 2xx only */
    bool once;             /* no tries of its own. Also without it: none once on_body was given anything */
    bool fresh_connection; /* http.h: for what must not be carried out twice */
    _Atomic uint64_t *bytes_sent;
    /* answer: NULL when no answer came. err: NULL for what the protocol calls a success (2xx that hold what
     * they must; whatever else it was asked to take for an answer); otherwise classed, message with status,
     * code, container and request id, e.g. "PutObject in bucket 'b': 403 AccessDenied: Access Denied.; <way
     * out> (request 17A...)". */
    void (*done)(void *data, const struct object_answer *answer, const struct error *err);
    void *data;
};

/* *ret's strings and arrays live in *ret_memory of *ret_size bytes, which free() frees. ERROR_SYSTEM. */
int object_ask_copy(const struct object_ask *ask, struct object_ask *ret, void **ret_memory, size_t *ret_size,
                    struct error *err);

/*
 * An ask while it is put together, on the stack of who starts the call. Names and values point to what
 * outlives the draft, or into `text`, which is whoever's fills the draft.
 */
struct object_draft {
    struct object_ask ask;
    struct object_header headers[16];
    struct object_query query[12];
    char text[512];
};

/* Zeroed, without a body. */
void object_draft_init(struct object_draft *draft, const char *operation, const char *method,
                       const char *key);
/* value NULL: nothing is added. More than fit are a bug. */
void object_draft_header(struct object_draft *draft, const char *name, const char *value);
void object_draft_query(struct object_draft *draft, const char *name, const char *value); /* NULL = "" */
