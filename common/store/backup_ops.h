/*
 * Backups as people ask for them: list, show, retry, cancel (queue-protocol.md, "Order, cancel, delete").
 * The add functions put statements into a request of the caller's; rows come back as JSON objects, column
 * names as keys, each with its copies under "destinations".
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "base/error.h"
#include "loop/pg.h"

/* By id, or by name when no backup has this id. One statement. */
int backup_add_select(struct pg_request *request, const char *reference);

/* Newest first; database_id 0 = all, status NULL = any. One statement. */
int backup_add_list(struct pg_request *request, int64_t database_id, const char *status, int64_t limit);

/* New array; secrets in an older row's storage_config are shown as "***". */
json_t *backup_read_rows(const PGresult *result);
/* ERROR_NOT_FOUND, or ERROR_INPUT when older backups share the name. New reference. */
int backup_read_one(const PGresult *result, const char *reference, json_t **ret_backup, struct error *err);

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
