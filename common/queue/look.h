/*
 * What stands in Redis, as people and programs ask for it: how many jobs stand where, who works on what, the
 * jobs of a state. One script per queue (and state), all under way at once; each answers from one moment and
 * costs the same however long the lists are.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "base/error.h"
#include "loop/redis.h"

#define QUEUE_LOOK_QUEUES 128      /* at most, in one look */
#define QUEUE_LOOK_WORKERS_MAX 500 /* of one queue; further ones are not told */
#define QUEUE_LOOK_JOBS_MAX 100    /* of one worker; `n_jobs` counts all */

enum queue_look_kind {
    /* {queue, ready, ready_by_priority [10], active, retry, parked, parked_by_reason {why: n}, dead, workers,
     * paused_at} for each queue */
    QUEUE_LOOK_STATS,
    /* {queue, worker, seen_at, n_jobs, jobs [lines], and what else its heartbeat says: host, pid} for each
     * worker heard of within within_ms; one that serves two queues comes twice */
    QUEUE_LOOK_WORKERS,
    /* A job's own members, queue and state; and active: worker, lease_until; retry: due_at; parked: why;
     * dead: error, dead_at. What is no JSON object: {malformed: its text, queue, state, ...} */
    QUEUE_LOOK_JOBS,
};

struct queue_look {
    enum queue_look_kind kind;
    int64_t within_ms; /* STATS, WORKERS */
    const char *state; /* JOBS: one of queue_states, a literal; NULL = all of them */
    int64_t limit;     /* JOBS: of each queue and state */
};

/* ready, active, retry, parked, dead, NULL. */
extern const char *const queue_states[];

/* found: a new array, the callback's own; NULL on an error, else err is NULL. Errors as in loop/redis.h. */
typedef void (*queue_look_fn)(void *data, json_t *found, const struct error *err);

/* queues: objects {queue, paused_at} (store/queues.h), copied. ERROR_LIMIT, ERROR_INPUT (none at all),
 * ERROR_SYSTEM: then cb does not run. It runs from the loop otherwise, or from redis_client_close, once. */
int queue_look(struct redis_client *redis, const json_t *queues, const struct queue_look *look,
               queue_look_fn cb, void *data, struct error *err);
