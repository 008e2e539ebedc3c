/*
 * The queue's own invariants (design.md, 2 and 3): each job in exactly one of ready, active, retry, parked,
 * registered there in `jobs`, and in `lease` exactly while it is active.
 *
 * First everything is read page by page, beside the running system, which makes suspects of jobs that moved
 * meanwhile. Each suspect is then judged again by a script, at one instant, in several rounds; only what was
 * wrong in all of them counts. What a reaper or a heartbeat repairs gets a lease and a reconciler's period to
 * be repaired.
 */
#pragma once

#include <jansson.h>

#include "cli.h"

struct fsck {
    struct cli *cli;
    json_t *breaches; /* objects of queue, key, invariant, message */
    json_t *stale;
    int64_t n_jobs;
};

/* *ret_keys: sorted, unique keys of all live jobs, for comparing with PostgreSQL; free it with
 * fsck_keys_free. */
struct fsck_keys {
    char (*keys)[48];
    size_t n;
};
void fsck_keys_free(struct fsck_keys *keys);

int fsck_redis(struct fsck *f, const char *queue, struct fsck_keys *ret_keys, struct error *err);

void fsck_report(json_t *list, const char *queue, const char *key, int invariant, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
