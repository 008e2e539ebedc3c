/* How long the audit log is kept: BM_AUDIT_RETENTION_DAYS. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "loop/pg.h"

/* ok: what is too old is gone, or so much of it as one run removes. */
typedef void (*retention_done_fn)(void *data, bool ok);

struct retention {
    struct pg_client *pg; /* not owned */
    int64_t days;         /* 0: everything is kept */
    /* private */
    bool running;
    int64_t removed;
    int batches;
    struct error trouble; /* what was logged last; code 0 while all is well */
    retention_done_fn cb;
    void *data;
};

/*
 * Removes what is too old, in batches, and logs what came of it. False: there is nothing to do, a run is
 * under way or memory is out, and cb won't run. Otherwise cb runs exactly once, from the loop (never before
 * return); closing the PostgreSQL client ends the run. cb may be NULL.
 */
bool retention_run(struct retention *r, retention_done_fn cb, void *data);
