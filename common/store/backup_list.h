/*
 * Backups as people and programs see them: JSON objects, column names as keys, each with its copies in order
 * of priority under "destinations". The add functions put one statement into a request of the caller's.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "base/error.h"
#include "loop/pg.h"

/* By id, or by name when no backup has this id. */
int backup_add_select(struct pg_request *request, const char *reference);
/* By id alone. */
int backup_add_select_id(struct pg_request *request, int64_t id);
/* The one that backup_create_add made, or found, earlier in the same request; no row: none. */
int backup_add_select_made(struct pg_request *request);

/* Which ones: 0 and NULL say nothing. What is said of copies is true of one and the same copy. */
struct backup_filter {
    int64_t database_id, schedule_id;
    const char *status;
    const char *origin;              /* "native", "migrated" */
    const char *text;                /* part of the name, whatever the case */
    const int64_t *created_from_ms;  /* at or after, ms since 1970 */
    const int64_t *created_until_ms; /* before */
    int64_t destination_id;          /* of a copy */
    const char *storage_type;        /* of a copy */
    const char *copy_status;         /* of a copy */
    int64_t before;                  /* only ids below this one */
    int64_t limit;                   /* >= 1 */
};

/* Newest first, that is by id. */
int backup_add_list(struct pg_request *request, const struct backup_filter *filter);

/* New array; secrets in an older row's storage_config are shown as "***". NULL when memory is out. */
json_t *backup_read_rows(const PGresult *result);
/* ERROR_NOT_FOUND, or ERROR_INPUT when older backups share the name. New reference. */
int backup_read_one(const PGresult *result, const char *reference, json_t **ret_backup, struct error *err);

/* storage_type, file_path, file_size and checksum of the backup itself are the older system's; where it has
 * none, its first copy's are filled in. */
void backup_fill_legacy_fields(json_t *backup);
