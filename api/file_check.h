/*
 * file_info: is the file of a completed copy on a disk really there? Asked of the storage driver, in the
 * thread pool, with a time limit: a dead network mount must hold neither an answer nor the threads that other
 * disks need. What was found is remembered for a short time and refreshed behind the answers that it gave.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <uv.h>

#include "base/error.h"
#include "mounts.h"

struct file_checks;
struct file_check_batch;

struct file_check_options {
    const char *legacy_base; /* of copies without a base_path; absolute; outlives the checks */
    int64_t timeout_ms;      /* of a batch */
    int64_t fresh_ms;        /* an answer that old is given as it is */
    int64_t stale_ms;        /* one that old is given too, and refreshed behind it */
    int most_files;          /* to remember */
    int most_looks;          /* at once, over all disks: fewer than the pool has threads */
    int64_t (*now_ms)(void); /* monotonic; NULL: clock_monotonic_ms */
    void (*load_mounts)(struct mounts *mounts); /* NULL: mounts_load */
};

/* options are copied. */
int file_checks_new(uv_loop_t *loop, const struct file_check_options *options,
                    struct file_checks **ret_checks, struct error *err);

/* Batches under way are finished at once (their `done` runs before this returns). The memory goes when the
 * last look at a file has come back: one that hangs keeps the loop alive. NULL does nothing. */
void file_checks_free(struct file_checks *checks);

/* anew: nothing that was found before this batch will do. NULL when memory is out; must be started. */
struct file_check_batch *file_check_batch_new(struct file_checks *checks, bool anew);

/*
 * Sets "file_info" in copy (an object with storage_type, status, base_path, file_path): null where it does
 * not apply (object stores, copies that are not completed), otherwise, at the latest when `done` runs,
 * {exists, absolute_path, file_size_on_disk, is_accessible, error_message}. is_accessible is true only of a
 * file that was opened, exists also of one that is there but may not be read; error_message says why. copy
 * stays with the caller until then. disk_identity may be NULL.
 */
void file_check_add(struct file_check_batch *batch, json_t *copy, const char *disk_identity);

/* True: done will run once, from the loop or from file_checks_free. False: every answer is there already. The
 * batch is gone afterwards in both cases. */
bool file_check_batch_start(struct file_check_batch *batch, void (*done)(void *data), void *data);
