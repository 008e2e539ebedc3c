/*
 * One request on the loop, with what every request to an object store needs: credentials, what its protocol
 * writes, errors by class, and a few tries of its own.
 *
 *   BEGINNING ──► SENT ──► judged ──┬─ success, or final error ──► done
 *        ▲                          ├─ transient: WAITING (backoff with jitter, or Retry-After) ──┐
 *        │                          ├─ repaired (clock, expired token, ...), once each ───────────┤
 *        │                          └─ an aside (a question of the protocol's own) ───────────────┤
 *        └────────────────────────────────────────────────────────────────────────────────────────┘
 *
 * The tries here (3 in all) bridge a hiccup in one part of a long upload; the row's own attempts come on top.
 * A Retry-After beyond OBJECT_CALL_MAX_WAIT_MS is not waited for here: the error carries it (retry_after_ms).
 *
 * What differs from store to store is the session's protocol (protocol.h).
 */
#pragma once

#include "loop/http.h"
#include "storage/object/ask.h"
#include "storage/object/session.h"

#define OBJECT_CALL_MAX_WAIT_MS 20000

struct object_call;

struct object_answer {
    int status;
    const char *code;       /* the store's error code, "" when there is none */
    const char *message;    /* "" when there is none */
    const char *request_id; /* "" when there is none */
    const struct http_response *response;
};

/* ask->done runs exactly once from the loop, never before return; or a negative code is returned and done
 * never runs. *ret_call is valid until done. */
int object_call_start(struct object_session *session, const struct object_ask *ask,
                      struct object_call **ret_call, struct error *err);
/* done runs from the loop: with ERROR_CANCELLED, or with success when the answer was there already. */
void object_call_cancel(struct object_call *call);

/* How long a call waits before try n (from 1) is repeated, with jitter: for who makes tries of its own. */
int64_t object_call_backoff_ms(int n);
/* For tests: backoff between tries; default 500 and 8000. */
void object_call_set_backoff(int64_t base_ms, int64_t cap_ms);
