/*
 * file_info: is the file of a completed copy on a disk really there? Asked of the storage driver, in the
 * thread pool, with a time limit: a dead network mount must not hold an answer, nor the threads that other
 * disks need.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <uv.h>

#include "base/error.h"

struct file_checks;
struct file_check_batch;

/* legacy_base: base of copies without a base_path; absolute; outlives the checks. timeout_ms: of a batch. */
int file_checks_new(uv_loop_t *loop, const char *legacy_base, int64_t timeout_ms,
                    struct file_checks **ret_checks, struct error *err);

/* Batches under way are finished at once (their `done` runs before this returns). The memory goes when the
 * last look at a file has come back: one that hangs keeps the loop alive. NULL does nothing. */
void file_checks_free(struct file_checks *checks);

/* NULL when memory is out; must be started. */
struct file_check_batch *file_check_batch_new(struct file_checks *checks);

/*
 * Sets "file_info" in copy (an object with storage_type, status, base_path, file_path): null where it does
 * not apply (object stores, copies that are not completed), otherwise, at the latest when `done` runs,
 * {exists, absolute_path, file_size_on_disk, is_accessible, error_message}. exists and is_accessible are true
 * only of a file that was opened; error_message says why it was not. copy stays with the caller until then.
 * disk_identity may be NULL.
 */
void file_check_add(struct file_check_batch *batch, json_t *copy, const char *disk_identity);

/* True: done will run once, from the loop or from file_checks_free. False: every answer is there already. The
 * batch is gone afterwards in both cases. */
bool file_check_batch_start(struct file_check_batch *batch, void (*done)(void *data), void *data);
