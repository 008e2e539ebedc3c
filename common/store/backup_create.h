/*
 * Makes a backup: its row and one row per destination that serves the database, in one transaction. Used by
 * the scheduler and for runs on demand (which are written to the audit log); jobs are the relay's business.
 *
 * The backup is recorded as failed, with the reason and the way out, when no enabled destination serves the
 * database, or when its type can't be dumped here. Names and paths are made from the creation time in UTC.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "loop/pg.h"

struct backup_create {
    int64_t database_id;
    int64_t schedule_id;  /* 0 = on demand: destinations of single schedules don't take part */
    int64_t fire_time;    /* Unix seconds, 0 = none; a schedule has at most one backup per fire time */
    int64_t while_next;   /* Unix seconds, 0 = in any case: only while the schedule is active and this is its
                             next_run_at */
    const char *ordering; /* "parallel" or "sequential" */
    /* A client's key for this request, in whose scope, and the request in words; key NULL = none. The key
     * must be free: else nothing is made and the request fails with ERROR_EXISTS (see idempotency.h). */
    const char *key, *key_scope, *key_request;
};

struct backup_created {
    int64_t id;
    char name[256];
    int64_t n_destinations;  /* rows of backup_destinations */
    bool existed;            /* that fire time had its backup already; nothing was changed */
    bool failed;             /* recorded as failed at once */
    char error_message[512]; /* of a failed one */
};

/* Adds this many statements; the last one's result is for backup_create_read. Returns 0 or -1 (memory, or the
 * request is full). */
enum { BACKUP_CREATE_STATEMENTS = 2 };
int backup_create_add(struct pg_request *request, const struct backup_create *wanted);

/* ERROR_NOT_FOUND when there is no such database, or while_next did not hold. */
int backup_create_read(const PGresult *result, struct backup_created *ret_created, struct error *err);
