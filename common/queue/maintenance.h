/*
 * What keeps Redis true to PostgreSQL, whichever program runs it (queue-protocol.md, "Rows and jobs"):
 *
 *   relay      rows without enqueued_at get a job
 *   reap       jobs of silent workers become ready again
 *   unpark     every parked job is judged again from PostgreSQL
 *   reconcile  unfinished rows whose job Redis has lost are relayed again; backups end whose rows have ended
 *
 * Passes are idempotent. One runs at a time over all programs, by an advisory lock; the last three at most
 * once per reconcile period over all programs, the time is kept in the table `maintenance`.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/error.h"
#include "loop/pg.h"
#include "loop/redis.h"

struct maintenance;

struct maintenance_options {
    const char *database_url;   /* for the connection that holds the lock; copied */
    struct pg_client *pg;       /* for writes; not owned */
    struct redis_client *redis; /* not owned */
    int64_t lease_seconds;
    int64_t reconcile_seconds; /* everything is looked at at least this often while some program runs passes
                                  this often */
    int64_t handover_seconds;
};

enum {
    MAINTENANCE_RELAY = 0,          /* always done */
    MAINTENANCE_RECONCILE = 1 << 0, /* when it is due */
    MAINTENANCE_NOW = 1 << 1,       /* ... or not */
    MAINTENANCE_NO_LOCK =
        1 << 2, /* relay only, beside whoever holds the lock: for rows just made by this program */
};

struct maintenance_report {
    bool busy; /* someone else holds the lock: nothing was done, and nothing needs to be */
    int64_t relayed, reaped, unparked, restored;
};

int maintenance_new(uv_loop_t *loop, const struct maintenance_options *options, struct maintenance **ret,
                    struct error *err);

/* One pass. cb runs from the loop, exactly once; err NULL on success. A pass already under way: cb gets
 * ERROR_CONFLICT. */
typedef void (*maintenance_done_fn)(void *data, const struct maintenance_report *report,
                                    const struct error *err);
void maintenance_run(struct maintenance *m, unsigned flags, maintenance_done_fn cb, void *data);

/* For command-line programs: one pass, running the loop until it ends. */
int maintenance_run_wait(struct maintenance *m, unsigned flags, struct maintenance_report *ret,
                         struct error *err);

/* A pass under way ends with ERROR_CANCELLED before this returns; on_closed (may be NULL) runs from the loop
 * when the memory is gone. Call before closing pg and redis. */
void maintenance_close(struct maintenance *m, void (*on_closed)(void *data), void *data);
