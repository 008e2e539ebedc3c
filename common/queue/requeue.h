/*
 * Jobs that died: their copies are retried, and those whose copy is not `failed` any more leave the dead
 * list. A relay afterwards queues what was retried (maintenance.h).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "loop/pg.h"
#include "loop/redis.h"

struct requeue_options {
    struct pg_client *pg;       /* not owned */
    struct redis_client *redis; /* not owned */
    const char *queue;          /* copied */
    bool drop_malformed;        /* entries that are no jobs go, too */
    int64_t most;               /* entries looked at */
    /* Statements before those of each transaction, such as who acts: how many were added, or -1. May be NULL.
     */
    int (*add_before)(void *data, struct pg_request *request);
    void *data; /* add_before's */
};

struct requeue_report {
    int64_t requeued;  /* copies that will be tried again */
    int64_t forgotten; /* entries taken off the list */
    int64_t malformed; /* entries that are no jobs */
    bool more;         /* the list was not looked through */
};

/* err NULL on success. What was done before an error stays done; report tells it. */
typedef void (*requeue_done_fn)(void *data, const struct requeue_report *report, const struct error *err);

/* cb runs from the loop, or when the clients are closed, once; not when memory is out (-1). */
int requeue_dead(const struct requeue_options *options, requeue_done_fn cb, void *data);
