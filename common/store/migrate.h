/*
 * Migrations of the schema: the files of sql/, embedded in the program, applied in order.
 *
 * Each step runs in a transaction of its own under an advisory lock and is recorded in schema_migrations with
 * the SHA-256 of its up file, so that any number of processes may migrate at once. Blocking libpq: for
 * command-line programs, never on a loop.
 *
 * All functions fail with
 *   ERROR_INPUT        no URL or one libpq can't parse (its text is not repeated: it may hold a password),
 *                      a version that doesn't exist or isn't applied, a step that can't be undone
 *   ERROR_UNREACHABLE  no connection, or lost in the middle (the step under way is rolled back); ERROR_DENIED
 *                      when the server refuses the login
 *   ERROR_CONFLICT     an applied step's file has changed since, or the database has a version this program
 *                      doesn't know, or a lock could not be had (only this one is retryable)
 *   ERROR_PROTOCOL     a statement failed; native holds the SQLSTATE; the step was rolled back
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define MIGRATE_ALL (-1)      /* migrate_up: everything there is */
#define MIGRATE_ONE_STEP (-1) /* migrate_down: the newest applied step */

enum migrate_direction { MIGRATE_UP, MIGRATE_DOWN };

/* Called after a step is committed. name is the file's, without suffix: "001_add_backup_destinations". */
typedef void (*migrate_progress_fn)(void *data, enum migrate_direction direction, int version,
                                    const char *name);

/* Applies what is missing up to and including version `to`, or MIGRATE_ALL. Nothing to do is success.
 * progress may be NULL. */
int migrate_up(const char *url, int to, migrate_progress_fn progress, void *data, struct error *err);

/* Undoes MIGRATE_ONE_STEP, or everything newer than version `to`, which stays applied. Version 0, the older
 * system's tables, can't be undone. */
int migrate_down(const char *url, int to, migrate_progress_fn progress, void *data, struct error *err);

enum migrate_state {
    MIGRATE_PENDING, /* not applied */
    MIGRATE_APPLIED,
    MIGRATE_CHANGED, /* applied, but the file is another one now */
    MIGRATE_UNKNOWN, /* applied by a newer program; this one doesn't have it */
};

struct migrate_row {
    int version;
    char name[64];
    enum migrate_state state;
    char applied_at[32]; /* "2025-11-02T08:00:00Z"; empty while pending */
    char checksum[65];   /* as recorded, or the file's while pending; hex SHA-256 */
    bool reversible;     /* has a down */
};

/* Every version, known or recorded, in order. Changes nothing, also on an empty database. *ret_rows is the
 * caller's: free(). Changed and unknown versions are rows here, not errors. */
int migrate_status(const char *url, struct migrate_row **ret_rows, size_t *ret_n, struct error *err);

/* "pending", "applied", "changed", "unknown" */
const char *migrate_state_name(enum migrate_state state);
