#include "store/copies.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char select_copies[] =
    "SELECT d.id, d.fence, coalesce(d.storage_name, d.storage_type), d.status, d.storage_type, d.file_path,"
    " d.base_path, coalesce(c.storage_config, d.storage_config),"
    " CASE WHEN c.base_path = d.base_path THEN c.disk_identity END, d.checksum, coalesce(d.file_size, -1),"
    " c.credentials_ref, c.name, c.bandwidth_limit, d.resume_state,"
    " coalesce(d.verification_result LIKE 'corrupt: %', false)"
    " FROM backup_destinations d LEFT JOIN destinations c ON c.id = d.destination_id"
    " WHERE d.backup_id = $1::bigint AND ($2::text IS NULL OR d.storage_name = $2 OR c.name = $2"
    " OR d.destination_id::text = $2) AND ($3::bigint = 0 OR d.id = $3::bigint) ORDER BY coalesce(d.priority, 0), d.id";

static int add(struct pg_request *request, const char *sql, int n_params, const char *const *values)
{
    struct pg_statement statement = {.sql = sql, .n_params = n_params};
    return pg_request_add(request, &statement, values);
}

static const char *digits(int64_t value, char text[24])
{
    snprintf(text, 24, "%lld", (long long)value);
    return text;
}

int copies_add_select(struct pg_request *request, int64_t backup_id, const char *destination, int64_t copy_id)
{
    char backup[24], copy[24];
    return add(request, select_copies, 3,
               (const char *const[]){digits(backup_id, backup), destination, digits(copy_id, copy)});
}

static bool is_sha256(const char *text)
{
    return text && strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

static void read_copy(const PGresult *r, int row, const char *legacy_base, struct access *access,
                      struct copy *c)
{
    const struct storage_columns columns = {.storage_type = pg_text(r, row, 4),
                                            .base_path = pg_text(r, row, 6),
                                            .storage_config = pg_text(r, row, 7),
                                            .disk_identity = pg_text(r, row, 8),
                                            .credentials_ref = pg_text(r, row, 11),
                                            .destination = pg_text(r, row, 12),
                                            .bandwidth_limit = pg_int(r, row, 13, 0)};
    *c = (struct copy){.id = pg_int(r, row, 0, 0),
                       .fence = pg_int(r, row, 1, 0),
                       .name = pg_text(r, row, 2),
                       .status = pg_text(r, row, 3),
                       .key = pg_text(r, row, 5),
                       .checksum = is_sha256(pg_text(r, row, 9)) ? pg_text(r, row, 9) : NULL,
                       .size = pg_int(r, row, 10, -1),
                       .resume_state = pg_text(r, row, 14),
                       .found_damaged = pg_bool(r, row, 15, 0)};
    storage_place_open(&c->place, &columns, legacy_base, access, c->key, &c->err);
}

int copies_read(PGresult *result, const char *legacy_base, struct access *access, struct copies *ret,
                struct error *err)
{
    struct copies copies = {.result = result, .n = result ? PQntuples(result) : 0};
    copies.all = calloc((size_t)copies.n + 1, sizeof *copies.all);
    if (result == NULL || copies.all == NULL) {
        copies_free(&copies);
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    for (int i = 0; i < copies.n; i++)
        read_copy(result, i, legacy_base, access, &copies.all[i]);
    *ret = copies;
    return 0;
}

void copies_free(struct copies *copies)
{
    for (int i = 0; copies->all && i < copies->n; i++)
        storage_place_close(&copies->all[i].place);
    free(copies->all);
    PQclear(copies->result);
    *copies = (struct copies){0};
}

bool copy_is_completed(const struct copy *copy)
{
    return copy->status && strcmp(copy->status, "completed") == 0;
}

void copy_verdict(const struct copy *copy, bool deep, const struct error *found,
                  char ret_verdict[COPY_VERDICT_SIZE])
{
    if (found->code)
        snprintf(ret_verdict, COPY_VERDICT_SIZE, "%s: %s", error_code_name(found->code), found->message);
    else
        snprintf(ret_verdict, COPY_VERDICT_SIZE, deep && copy->checksum ? "ok: sha256" : "ok: size");
}

int copies_add_verified(struct pg_request *request, int64_t copy_id, const char *verdict)
{
    char id[24];
    return add(request,
               "UPDATE backup_destinations SET verified_at = clock_timestamp(), verification_result = $2"
               " WHERE id = $1::bigint AND status = 'completed'",
               2, (const char *const[]){digits(copy_id, id), verdict});
}

static const char *text_of(const json_t *row, const char *column)
{
    const char *text = json_string_value(json_object_get(row, column));
    return text ? text : "";
}

int copies_check_delete(const json_t *backup, struct error *err)
{
    const char *status = text_of(backup, "status");
    bool unfinished = strcmp(status, "pending") == 0 || strcmp(status, "in_progress") == 0;
    size_t i;
    const json_t *copy;
    json_array_foreach(json_object_get(backup, "destinations"), i, copy)
    {
        const char *of_copy = text_of(copy, "status");
        bool history = strcmp(text_of(copy, "origin"), "migrated") == 0;
        unfinished |= strcmp(of_copy, "uploading") == 0 || (strcmp(of_copy, "pending") == 0 && !history);
    }
    if (!unfinished)
        return 0;
    long long id = (long long)json_integer_value(json_object_get(backup, "id"));
    return error_set(err, ERROR_CONFLICT, false,
                     "backup '%s' is not finished: cancel it first (backupctl backup cancel %lld)",
                     text_of(backup, "name"), id);
}

int copies_add_forget(struct pg_request *request, int64_t copy_id, int64_t fence)
{
    char id[24], fence_text[24];
    return add(request,
               "DELETE FROM backup_destinations WHERE id = $1::bigint AND fence = $2::bigint"
               " AND (status IN ('completed', 'failed') OR origin = 'migrated')",
               2, (const char *const[]){digits(copy_id, id), digits(fence, fence_text)});
}

int copies_add_forget_backup(struct pg_request *request, int64_t backup_id)
{
    char id[24];
    return add(request,
               "DELETE FROM backups b WHERE id = $1::bigint AND status NOT IN ('pending', 'in_progress')"
               " AND NOT EXISTS (SELECT FROM backup_destinations WHERE backup_id = b.id) RETURNING id",
               1, (const char *const[]){digits(backup_id, id)});
}

int destination_add_columns(struct pg_request *request, int64_t destination_id)
{
    char id[24];
    return add(request,
               "SELECT storage_type, base_path, storage_config, disk_identity, credentials_ref, name,"
               " bandwidth_limit FROM destinations WHERE id = $1::int",
               1, (const char *const[]){digits(destination_id, id)});
}

bool destination_read_columns(const PGresult *result, struct storage_columns *ret_columns)
{
    if (PQntuples(result) == 0)
        return false;
    *ret_columns = (struct storage_columns){.storage_type = pg_text(result, 0, 0),
                                            .base_path = pg_text(result, 0, 1),
                                            .storage_config = pg_text(result, 0, 2),
                                            .disk_identity = pg_text(result, 0, 3),
                                            .credentials_ref = pg_text(result, 0, 4),
                                            .destination = pg_text(result, 0, 5),
                                            .bandwidth_limit = pg_int(result, 0, 6, 0)};
    return true;
}
