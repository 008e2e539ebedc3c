/*
 * The statements by which workers take, renew and end rows of backup_destinations and the production of
 * artifacts (queue-protocol.md: "Taking a row", "Writing the end", "The artifact"). Each function fills one
 * pg_request, that is one transaction, for many rows at once; parents are locked first, in a statement of
 * their own, in id order.
 *
 * The functions only add statements; the caller sends the request. The *_read functions read the result with
 * the number that the add function gave in *ret_index.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "artifact/source.h"
#include "base/error.h"
#include "loop/pg.h"

/* Takes without any answer after which a row or an artifact is poison. */
#define ROWS_POISON_TAKES 10

enum row_verdict {
    ROW_TAKEN,    /* yours: status uploading, fence and lease set */
    ROW_PRODUCE,  /* yours: the production of its backup's artifact */
    ROW_ENDED,    /* completed, failed, or history of the older system: nothing to do */
    ROW_GONE,     /* no such row */
    ROW_WAIT,     /* leased, or not due: again in wait_ms */
    ROW_ARTIFACT, /* its artifact is being produced: park */
    ROW_ORDER,    /* sequential, and a lower priority has not ended: park */
    ROW_FULL,     /* its destination has max_concurrent uploads running: park */
    ROW_PAUSED,   /* its queue is paused: park */
};

/* One judged row. Strings point into the PGresult that it was read from. */
struct row_judged {
    int64_t id;
    enum row_verdict verdict;
    int64_t wait_ms;
    /* ROW_TAKEN, ROW_ENDED */
    int64_t fence;
    const char *status;
    const char *error_code, *error_message;
    /* ROW_TAKEN and ROW_PRODUCE */
    int64_t backup_id;
    const char *backup_name;
    int64_t attempts;
    int64_t takes;
    bool sequential;
    int64_t artifact_fence;
    /* ROW_TAKEN (location also with ROW_ENDED) */
    const char *queue;
    const char *storage_type, *storage_name, *file_path, *base_path, *storage_config, *disk_identity;
    int64_t destination_id;                    /* 0 = none */
    bool limited;                              /* the destination has max_concurrent */
    const char *credentials_ref, *destination; /* of the configured destination; NULL without one */
    int64_t bandwidth_limit;                   /* bytes per second; 0 = none */
    const char *resume_state;                  /* what an earlier attempt left for the driver */
    const char *artifact_host, *artifact_sha256;
    int64_t artifact_size;
    bool artifact_gone;
    int64_t waited_ms; /* for the host that has the artifact; -1 = never */
    /* ROW_PRODUCE */
    struct source source;
    int64_t artifact_attempts, artifact_takes;
    const char *storage_types; /* of all the backup's copies, separated by ',' */
};

/* ids: an array literal of row ids, sorted; producing: one of the backups that this worker is producing. The
 * result has one row per id, in id order. Rows that this worker is working on must not be asked for. */
int rows_add_take(struct pg_request *request, const char *ids, const char *worker, const char *host,
                  int64_t lease_ms, const char *producing, int *ret_index);
int rows_read_judged(const PGresult *result, int row, struct row_judged *ret, struct error *err);

enum row_outcome {
    ROW_COMPLETED,
    ROW_RETRY,          /* pending again, due in delay_ms, error recorded */
    ROW_FAILED,         /* for good */
    ROW_GIVEN_BACK,     /* pending again at once (or in delay_ms), the attempt not spent */
    ROW_WAITS_FOR_HOST, /* the same, and waiting_since is set */
};

struct row_end {
    int64_t id, fence, backup_id;
    enum row_outcome outcome;
    int64_t size;
    const char *checksum;
    const char *error_code, *error_message;
    int64_t delay_ms;
    bool leaves_upload; /* failed: its open upload could not be aborted, so the resume state stays */
};

enum row_written {
    ROW_WRITTEN,
    ROW_WRITTEN_BEFORE, /* my fence and the state I meant: an earlier answer was lost */
    ROW_STALE,          /* someone else's by now: change nothing, touch nothing */
};

struct row_end_read {
    int64_t id;
    enum row_written written;
};

/* ends sorted by id. Adds three statements; with sequential a fourth, whose result lists (id, queue) of rows
 * that may go now, at *ret_index + 2. Result *ret_index: one row per end; *ret_index + 1: (backup_id, status,
 * artifact_fence, artifact_host) of each backup that ended. */
int rows_add_end(struct pg_request *request, const struct row_end *ends, int n, bool sequential,
                 int *ret_index);
int rows_read_end(const PGresult *result, int row, const struct row_end *ends, int n,
                  struct row_end_read *ret);

/* Backups (an array literal of ids) of which no row is unfinished end as their rows did. */
int rows_add_roll_up(struct pg_request *request, const char *backup_ids);

/* Renews leases and records progress. ids, fences, bytes: array literals. Result: the ids still ours. */
int rows_add_renew(struct pg_request *request, const char *ids, const char *fences, const char *bytes,
                   int64_t lease_ms, int *ret_index);
int rows_add_renew_artifacts(struct pg_request *request, const char *backup_ids, const char *fences,
                             const char *bytes, int64_t lease_ms, int *ret_index);

/* Records where uploads can be taken up again (storage/driver.h, save); ids, fences, states: array literals,
 * NULL = no more. Result: the ids still ours. */
int rows_add_save_resume(struct pg_request *request, const char *ids, const char *fences, const char *states,
                         int *ret_index);

/* Ends a production; each is fenced. Result *ret_index: one row when it was ours, none when not. Result
 * *ret_index + 1: (id, queue) of the backup's pending rows, whose jobs may leave parked:artifact. */
struct artifact_end {
    int64_t backup_id, fence;
    const char *sha256; /* ready */
    int64_t size, source_bytes;
    double seconds;
    const char *error_code, *error_message; /* otherwise */
    int64_t delay_ms;
};
int rows_add_artifact_ready(struct pg_request *request, const struct artifact_end *end, int *ret_index);
int rows_add_artifact_failed(struct pg_request *request, const struct artifact_end *end, int *ret_index);
/* retry: spends an attempt and waits delay_ms, or gives it back (spent false) */
int rows_add_artifact_retry(struct pg_request *request, const struct artifact_end *end, bool spent,
                            int *ret_index);

/* The staged file of this generation is not where it should be: state ready -> gone. */
int rows_add_artifact_gone(struct pg_request *request, int64_t backup_id, int64_t fence);

/* state ready|gone -> none, so that the next take produces anew; only when no copy is completed and no other
 * row is being uploaded. Result *ret_index: one row when done. */
int rows_add_artifact_renew(struct pg_request *request, int64_t backup_id, int64_t fence, int64_t row_id,
                            int *ret_index);

/* Completed copies of a backup: storage_type, file_path, base_path, storage_config, disk_identity,
 * storage_name, checksum, credentials_ref, destination, bandwidth_limit; then (next index) the distinct
 * queues of its rows. */
int rows_add_siblings(struct pg_request *request, int64_t backup_id, int *ret_index);

/*
 * Of these job keys ("upload:301"), which have no reason to stand in parked:<why> any longer: (key). why is
 * artifact, order, paused, full:<destination>, host:<host>; anything else has no reason to wait.
 * patience_seconds: how long a row may wait for the host that has its artifact; 0 = that host has no live
 * worker.
 */
int rows_add_judge_parked(struct pg_request *request, const char *why, char *const *keys, int n,
                          int64_t patience_seconds, int *ret_index);
