#include "store/backup_ops.h"

#include <stdlib.h>
#include <string.h>

#include "store/audit.h"

static int add(struct pg_request *request, const char *sql, int n_params, const char *const *values)
{
    struct pg_statement statement = {.sql = sql, .n_params = n_params};
    return pg_request_add(request, &statement, values);
}

static const char *text_of(const json_t *row, const char *column)
{
    const char *text = json_string_value(json_object_get(row, column));
    return text ? text : "";
}

static bool is_copy_of(const json_t *copy, const char *destination)
{
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)json_integer_value(json_object_get(copy, "destination_id")));
    return strcmp(id, destination) == 0 || strcmp(text_of(copy, "storage_name"), destination) == 0;
}

int backup_check_retry(const json_t *backup, const char *destination, struct error *err)
{
    const json_t *copies = json_object_get(backup, "destinations");
    const char *name = text_of(backup, "name");
    if (strcmp(text_of(backup, "origin"), "migrated") == 0)
        return error_set(
            err, ERROR_INPUT, false,
            "backup '%s' is history of the older system and can't be retried; make a new one of %s", name,
            text_of(backup, "database"));
    if (json_array_size(copies) == 0)
        return error_set(
            err, ERROR_CONFLICT, false,
            "backup '%s' has no copies to retry; assign a destination to %s, then make a new one", name,
            text_of(backup, "database"));
    size_t i;
    const json_t *copy;
    const char *status = NULL;
    json_array_foreach(copies, i, copy)
    {
        if (destination && !is_copy_of(copy, destination))
            continue;
        status = text_of(copy, "status");
        if (strcmp(status, "failed") == 0 && strcmp(text_of(copy, "origin"), "native") == 0)
            return 0;
    }
    if (status == NULL)
        return error_set(
            err, ERROR_NOT_FOUND, false,
            "backup '%s' has no copy at a destination called '%s'; its destinations are shown with it", name,
            destination);
    if (destination)
        return error_set(err, ERROR_CONFLICT, false,
                         "the copy of backup '%s' at '%s' has not failed (it is %s): nothing to retry", name,
                         destination, status);
    return error_set(err, ERROR_CONFLICT, false,
                     "backup '%s' has no failed copy (it is %s): nothing to retry", name,
                     text_of(backup, "status"));
}

int backup_check_cancel(const json_t *backup, struct error *err)
{
    const char *status = text_of(backup, "status");
    if (strcmp(text_of(backup, "origin"), "migrated") == 0)
        return error_set(err, ERROR_INPUT, false,
                         "backup '%s' is history of the older system: nothing of it is running",
                         text_of(backup, "name"));
    if (strcmp(status, "pending") == 0 || strcmp(status, "in_progress") == 0)
        return 0;
    size_t i;
    const json_t *copy;
    json_array_foreach(json_object_get(backup, "destinations"), i, copy)
    {
        const char *of_copy = text_of(copy, "status");
        if (strcmp(of_copy, "pending") == 0 || strcmp(of_copy, "uploading") == 0)
            return 0;
    }
    return error_set(err, ERROR_CONFLICT, false,
                     "backup '%s' has ended already (it is %s): nothing to cancel", text_of(backup, "name"),
                     status);
}

#define COPY_STARTS_OVER                                                                                      \
    "status = 'pending', attempts = 0, takes = 0, next_attempt_at = NULL, enqueued_at = NULL,"                \
    " lease_owner = NULL, lease_until = NULL, error_code = NULL, error_message = NULL, waiting_since = NULL," \
    " in_order = false"

#define BACKUP_STARTS_OVER                                                                                   \
    "artifact_attempts = CASE WHEN artifact_state = 'failed' THEN 0 ELSE artifact_attempts END,"             \
    " artifact_takes = CASE WHEN artifact_state = 'failed' THEN 0 ELSE artifact_takes END,"                  \
    " artifact_next_attempt_at = CASE WHEN artifact_state = 'failed' THEN NULL"                              \
    " ELSE artifact_next_attempt_at END,"                                                                    \
    " artifact_state = CASE WHEN artifact_state = 'failed' THEN 'none' ELSE artifact_state END,"             \
    " status = 'in_progress', completed_at = NULL, duration_seconds = NULL, error_message = NULL"

static int add_lock(struct pg_request *request, const char *id)
{
    return add(request, "SELECT id FROM backups WHERE id = $1::bigint FOR UPDATE", 1, &id);
}

int backup_add_retry(struct pg_request *request, int64_t backup_id, const char *destination)
{
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)backup_id);
    if (add_lock(request, id))
        return -1;
    return add(request,
               "WITH chosen AS (SELECT d.id FROM backup_destinations d JOIN backups b ON b.id = d.backup_id"
               " WHERE d.backup_id = $1::bigint AND d.status = 'failed' AND d.origin = 'native'"
               " AND b.origin = 'native' AND ($2::text IS NULL OR d.storage_name = $2"
               " OR d.destination_id::text = $2) ORDER BY d.id FOR UPDATE OF d),"
               " changed AS (UPDATE backup_destinations SET " COPY_STARTS_OVER
               " WHERE id IN (SELECT id FROM chosen) RETURNING id, queue, storage_name),"
               " parent AS (UPDATE backups SET " BACKUP_STARTS_OVER
               " WHERE id = $1::bigint AND EXISTS (SELECT FROM changed)),"
               " logged AS (" AUDIT_INSERT "'backup_retry', 'backup', b.id, b.name,"
               " jsonb_build_object('copies', (SELECT jsonb_agg(id ORDER BY id) FROM changed))" AUDIT_FROM
               ", backups b WHERE b.id = $1::bigint AND EXISTS (SELECT FROM changed))"
               " SELECT id, queue, storage_name FROM changed ORDER BY id",
               2, (const char *const[]){id, destination});
}

int backup_add_retry_rows(struct pg_request *request, const char *row_ids)
{
    if (add(request,
            "SELECT id FROM backups WHERE id IN (SELECT backup_id FROM backup_destinations"
            " WHERE id = ANY ($1::bigint[])) ORDER BY id FOR UPDATE",
            1, &row_ids))
        return -1;
    return add(request,
               "WITH chosen AS (SELECT d.id FROM backup_destinations d JOIN backups b ON b.id = d.backup_id"
               " WHERE d.id = ANY ($1::bigint[]) AND d.status = 'failed' AND d.origin = 'native'"
               " AND b.origin = 'native' ORDER BY d.id FOR UPDATE OF d),"
               " changed AS (UPDATE backup_destinations SET " COPY_STARTS_OVER
               " WHERE id IN (SELECT id FROM chosen) RETURNING id, backup_id),"
               " parents AS (UPDATE backups SET " BACKUP_STARTS_OVER
               " WHERE id IN (SELECT backup_id FROM changed))"
               " SELECT id FROM changed ORDER BY id",
               1, &row_ids);
}

int backup_add_cancel(struct pg_request *request, int64_t backup_id)
{
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)backup_id);
    if (add_lock(request, id))
        return -1;
    return add(
        request,
        "WITH chosen AS (SELECT id FROM backup_destinations WHERE backup_id = $1::bigint"
        " AND status IN ('pending', 'uploading') AND origin = 'native' ORDER BY id FOR UPDATE),"
        " changed AS (UPDATE backup_destinations SET fence = fence + 1, status = 'failed',"
        " error_code = 'cancelled', error_message = 'cancelled by an operator', lease_owner = NULL,"
        " lease_until = NULL, next_attempt_at = NULL, waiting_since = NULL"
        " WHERE id IN (SELECT id FROM chosen) RETURNING id, queue, storage_name),"
        " counts AS (SELECT count(*) AS total, count(*) FILTER (WHERE status = 'completed') AS completed"
        " FROM backup_destinations WHERE backup_id = $1::bigint),"
        " parent AS (UPDATE backups b SET"
        " artifact_fence = artifact_fence + (artifact_state IN ('none', 'producing', 'failed'))::int,"
        " artifact_owner = NULL, artifact_lease_until = NULL, artifact_next_attempt_at = NULL,"
        " artifact_state = CASE WHEN artifact_state IN ('none', 'producing') THEN 'failed'"
        " ELSE artifact_state END,"
        " status = CASE WHEN c.completed = 0 THEN 'failed' WHEN c.completed = c.total THEN 'completed'"
        " ELSE 'partial' END,"
        " error_message = 'cancelled by an operator', completed_at = clock_timestamp(),"
        " duration_seconds = greatest(0, round(extract(epoch FROM clock_timestamp() - started_at)))::int"
        " FROM counts c WHERE b.id = $1::bigint AND b.origin = 'native'"
        " AND (b.status IN ('pending', 'in_progress') OR EXISTS (SELECT FROM changed))"
        " RETURNING b.id, b.name),"
        " logged AS (" AUDIT_INSERT "'backup_cancel', 'backup', p.id, p.name,"
        " jsonb_build_object('copies', (SELECT jsonb_agg(id ORDER BY id) FROM changed))" AUDIT_FROM
        ", parent p)"
        " SELECT id, queue, storage_name FROM changed UNION ALL"
        " SELECT NULL, NULL, NULL FROM parent WHERE NOT EXISTS (SELECT FROM changed)",
        1, (const char *const[]){id});
}
