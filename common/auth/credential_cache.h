/*
 * Credentials of one kind (AWS, Azure, Google) on the loop: kept per question, refreshed ahead of expiry, one
 * fetch for all who ask. The kind says what is kept and how it is fetched, in a const table; this machine
 * says when.
 *
 *   fetched ......... due ................ too old ........ expires
 *            served         served, fetched      fetched first
 *                           in the background
 *
 * Ones without an expiry are read again after 5 s: a rotated file or secret is seen by the next attempt. When
 * a fetch fails, those at hand are given out until they expire.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/error.h"

struct secrets;
struct credential_cache;
struct credential_fetch;
struct credential_wait;

enum {
    CREDENTIAL_MAX_KEPT = 64,    /* questions: kept, or being fetched */
    CREDENTIAL_MAX_WAITS = 4096, /* callbacks */
    CREDENTIAL_MAX_TEXTS = 6,
};

/* What tells one question from another. NULL and "" are the same, and arrive as "" in `start`. */
struct credential_question {
    const char *reference; /* a secret's, see secrets.h; none: the kind's own chain */
    const char
        *texts[CREDENTIAL_MAX_TEXTS]; /* the rest, in an order of the kind's own; overwritten at the end */
};

struct credential {
    void *value;           /* the kind's, on the heap */
    int64_t expires_at_ms; /* Unix time; 0 = never */
    const char *source;    /* for people, lives as long as value: "env:X", "instance metadata", ... */
    /* Given by the machine's own metadata service: should they be expired already, they are used on for 5 to
     * 10 minutes at a time, for there is nothing better. */
    bool outlives_expiry;
};

/* Before expiry, but at most that part of the lifetime: {15 min, 4} = 15 minutes, at most a quarter. */
struct credential_margin {
    int64_t ms;
    int part;
};

struct credential_kind {
    const char *name;                      /* for messages: "AWS credentials" */
    struct credential_margin due, too_old; /* too_old is the later one */

    /*
     * Begins to fetch; runs from the loop, never inside credential_cache_get. secret: the referenced one's
     * text, valid during the call; NULL when the question has no reference. Either ends, now or later from
     * the loop, exactly once by credential_fetch_end; or returns a negative code, which counts as the end.
     * *ret_running: for cancel; may stay NULL when it has ended already.
     */
    int (*start)(void *owner, const struct credential_question *question, const char *secret,
                 struct credential_fetch *fetch, void **ret_running, struct error *err);
    /* Makes a fetch end soon, from the loop. */
    void (*cancel)(void *running);
    void (*free)(void *value);
    /* What a complaint names (credential_cache_expired): an access key id, a token. */
    const char *(*id)(const void *value);
    /* Calls done, of whose true type the kind alone knows; one of value and err is NULL. */
    void (*serve)(void (*done)(void), void *data, const void *value, const struct error *err);
};

/* The end of what `start` began: got (its value now belongs to the cache, whatever happens) or err; both may
 * die after the call. */
void credential_fetch_end(struct credential_fetch *fetch, const struct credential *got,
                          const struct error *err);

/* kind, owner and secrets outlive the cache. */
int credential_cache_new(uv_loop_t *loop, const struct credential_kind *kind, void *owner,
                         struct secrets *secrets, struct credential_cache **ret, struct error *err);
/* Waiting callbacks get ERROR_CANCELLED from the loop, fetches are cancelled; on_closed (may be NULL) runs
 * from the loop once all is closed and the memory is gone; never inside this call. */
void credential_cache_close(struct credential_cache *cache, void (*on_closed)(void *data), void *data);

/* The clock that expiry is compared with, for tests; default clock_wall_ms. */
void credential_cache_use_clock(struct credential_cache *cache, int64_t (*wall_ms)(void));

/* done runs exactly once (by kind->serve) from the loop, never before return; its value is valid during the
 * callback. question is copied. Directly returned are only ERROR_SYSTEM, ERROR_CANCELLED (the cache is being
 * closed) and ERROR_LIMIT (CREDENTIAL_MAX_WAITS, or CREDENTIAL_MAX_KEPT different ones are being fetched;
 * retryable). ret_wait is valid until done. */
int credential_cache_get(struct credential_cache *cache, const struct credential_question *question,
                         void (*done)(void), void *data, struct credential_wait **ret_wait,
                         struct error *err);
/* done never runs. */
void credential_forget(struct credential_wait *wait);

/* The service refused them: the next get of this question fetches anew (the referenced secret too). id: of
 * those that were used, so that many complaints about one set cause one refresh. */
void credential_cache_expired(struct credential_cache *cache, const struct credential_question *question,
                              const char *id);
