/*
 * What people do with backups that are there: retry, cancel. What they do is written to the audit log in the
 * same statement. The add functions put statements into a request of the caller's.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "base/error.h"
#include "loop/pg.h"

/* Whether it makes sense, from a row of backup_read_one: ERROR_INPUT (history of the older system) or
 * ERROR_CONFLICT (nothing to do) say why not. destination: name or id of one copy's destination, NULL = all
 * that failed. */
int backup_check_retry(const json_t *backup, const char *destination, struct error *err);
int backup_check_cancel(const json_t *backup, struct error *err);

/*
 * Two statements each, the parent is locked in the first; the second's result lists the copies that changed:
 * id, queue, storage_name. None: someone else was faster. A retried copy starts over with all its attempts;
 * relay it afterwards. A cancelled one is fenced off: its worker learns at its next renewal. An artifact that
 * is ready keeps its generation, so that a later retry needs no new dump.
 */
int backup_add_retry(struct pg_request *request, int64_t backup_id, const char *destination);
int backup_add_cancel(struct pg_request *request, int64_t backup_id);

/* Failed copies of these row ids (an array literal) whose job died: retried like backup_add_retry, over any
 * number of backups. Two statements; the second's result has the ids that changed. */
int backup_add_retry_rows(struct pg_request *request, const char *row_ids);
