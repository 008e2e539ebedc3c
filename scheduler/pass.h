/*
 * One look at all schedules: what is due is made into backups, what is not gets its next_run_at.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/error.h"
#include "loop/pg.h"

struct pass;

struct pass_options {
    struct pg_client *pg; /* not owned */
    int64_t misfire_grace_seconds;
    int64_t misfire_cap;
};

struct pass_report {
    int64_t created;    /* backups made, those recorded as failed included */
    int64_t failed;     /* schedules that could not be fired now: looked at again by the next pass */
    int64_t wake_at_ms; /* uv_now at which the next schedule is due; -1 = none is known */
};

/* err is NULL, or why the schedules could not be read or the database was lost on the way. A schedule that is
 * wrong in itself is logged once and is no error here. */
typedef void (*pass_done_fn)(void *data, const struct pass_report *report, const struct error *err);

int pass_new(uv_loop_t *loop, const struct pass_options *options, struct pass **ret_pass, struct error *err);

/* One at a time. When it returns 0, cb runs exactly once, from the loop (never before return); closing the
 * PostgreSQL client ends it with ERROR_CANCELLED. */
int pass_run(struct pass *pass, pass_done_fn cb, void *data, struct error *err);

void pass_free(struct pass *pass); /* while none is under way; NULL is fine */
