/*
 * The copies of one backup, ready for a storage driver: what downloads, checks and removals begin with. A
 * copy is where it was written (base_path, file_path); how to get there is its destination's present
 * business. The add functions put one statement into a request of the caller's and return 0 or -1 (memory).
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "base/error.h"
#include "loop/pg.h"
#include "storage/place.h"

struct access;

struct copy {
    int64_t id;
    int64_t fence;
    const char *name; /* of its destination, or the storage type; strings point into the result */
    const char *status;
    const char *key;
    const char *checksum; /* NULL: none, or not a SHA-256 (older rows) */
    const char *resume_state;
    int64_t size;               /* -1 = unknown */
    bool found_damaged;         /* by the last check of it */
    struct storage_place place; /* closed: err says why this copy can't be reached */
    struct error err;
};

struct copies {
    PGresult *result;
    struct copy *all;
    int n;
};

/* Of a backup by id, by priority. destination (name or id) and copy_id (0 = any) narrow the choice. */
int copies_add_select(struct pg_request *request, int64_t backup_id, const char *destination,
                      int64_t copy_id);
/* Takes over result, in case of failure too. legacy_base: base of paths without one, NULL = such copies can't
 * be reached; access as storage_place_open has it. No copy is no error. */
int copies_read(PGresult *result, const char *legacy_base, struct access *access, struct copies *ret,
                struct error *err);
void copies_free(struct copies *copies); /* zeroed is fine */

bool copy_is_completed(const struct copy *copy);

/* What became of a check, as verification_result has it: "ok: sha256", "ok: size", "corrupt: ...". */
#define COPY_VERDICT_SIZE 1100
void copy_verdict(const struct copy *copy, bool deep, const struct error *found,
                  char ret_verdict[COPY_VERDICT_SIZE]);
/* Records it with the time, if the copy is still completed. */
int copies_add_verified(struct pg_request *request, int64_t copy_id, const char *verdict);

/* Whether a backup (a row of backup_read_one) may be deleted: ERROR_CONFLICT while it is not finished. */
int copies_check_delete(const json_t *backup, struct error *err);
/* The copy is gone from its place: so is its row, if it has ended and is still of this fence. */
int copies_add_forget(struct pg_request *request, int64_t copy_id, int64_t fence);
/* A backup that has ended and has no copies any more; the result has its id, or no row: it has changed. */
int copies_add_forget_backup(struct pg_request *request, int64_t backup_id);

/* A configured destination's stored settings, not what catalog rows show of them; and its one row read.
 * Strings point into result. False: there is no such destination. */
int destination_add_columns(struct pg_request *request, int64_t destination_id);
bool destination_read_columns(const PGresult *result, struct storage_columns *ret_columns);
