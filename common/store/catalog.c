#include "store/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "storage/config.h"
#include "store/json_rows.h"

extern const char bm_sql_catalog_database[], bm_sql_catalog_destination[], bm_sql_catalog_schedule[],
    bm_sql_catalog_group[];

/* Whoever the transaction says is acting (audit.h), else the built-in user. */
#define CREATOR                                                                                              \
    "coalesce((SELECT u.id FROM users u WHERE u.id = (nullif(current_setting('bm.actor', true), '')::jsonb"  \
    " ->> 'user_id')::int), (SELECT u.id FROM users u WHERE u.username = 'system'))"

enum { MAX_SQL = 8192, MAX_ROW = 256 * 1024 };

struct kind {
    const char *name;
    const char *table;
    const char *const *columns; /* those that can be edited */
    bool has_creator;
    const char *name_scope; /* names are unique among new rows with the same value here; NULL = all */
    const char *select;     /* up to WHERE; the table is t */
    const char *remove_first;
    const char *remove;
};

static const char *const database_columns[] = {
    "name",         "description", "db_type",     "host",      "port",     "username", "database_name",
    "password_ref", "source_path", "source_argv", "is_active", "group_id", NULL};
static const char *const destination_columns[] = {
    "name",  "storage_type",   "base_path",       "storage_config", "credentials_ref", "priority",
    "queue", "max_concurrent", "bandwidth_limit", "path_template",  "disk_identity",   "enabled",
    NULL};
static const char *const schedule_columns[] = {
    "name",     "description",    "schedule_type", "cron_expression", "interval_value", "database_id",
    "timezone", "misfire_policy", "ordering",      "is_active",       "next_run_at",    NULL};

static const char *const group_columns[] = {"name", "description", NULL};

static const struct kind kinds[] = {
    [CATALOG_DATABASE] =
        {"database", "databases", database_columns, true, NULL, bm_sql_catalog_database,
         "DELETE FROM schedules WHERE database_id = $1::bigint"
         " AND NOT EXISTS (SELECT FROM backups WHERE database_id = $1::bigint)",
         "DELETE FROM databases WHERE id = $1::bigint"
         " AND NOT EXISTS (SELECT FROM backups WHERE database_id = $1::bigint) RETURNING id"},
    [CATALOG_DESTINATION] = {"destination", "destinations", destination_columns, false, NULL,
                             bm_sql_catalog_destination, "SELECT 1 WHERE $1::bigint IS NOT NULL",
                             "DELETE FROM destinations WHERE id = $1::bigint AND NOT EXISTS"
                             " (SELECT FROM backup_destinations WHERE destination_id = $1::bigint"
                             " AND status IN ('pending', 'uploading')) RETURNING id"},
    [CATALOG_SCHEDULE] = {"schedule", "schedules", schedule_columns, true, "database_id",
                          bm_sql_catalog_schedule,
                          "UPDATE backups SET schedule_id = NULL WHERE schedule_id = $1::bigint",
                          "DELETE FROM schedules WHERE id = $1::bigint RETURNING id"},
    [CATALOG_GROUP] = {"group", "groups", group_columns, true, NULL, bm_sql_catalog_group,
                       "SELECT 1 WHERE $1::bigint IS NOT NULL",
                       "DELETE FROM groups WHERE id = $1::bigint AND NOT EXISTS"
                       " (SELECT FROM databases WHERE group_id = $1::bigint) RETURNING id"},
};

const char *catalog_kind_name(enum catalog_kind kind)
{
    return kinds[kind].name;
}

static int add(struct pg_request *request, const char *sql, int n_params, const char *const *values)
{
    struct pg_statement statement = {.sql = sql, .n_params = n_params};
    return pg_request_add(request, &statement, values);
}

int catalog_add_select(struct pg_request *request, enum catalog_kind kind, const char *reference,
                       int64_t database_id)
{
    const struct kind *k = &kinds[kind];
    char sql[MAX_SQL];
    snprintf(sql, sizeof sql,
             "%s WHERE ($1::text IS NULL OR t.id::text = $1 OR (t.name = $1 AND NOT EXISTS"
             " (SELECT FROM %s i WHERE i.id::text = $1))) AND (%s) ORDER BY t.name, t.id",
             k->select, k->table,
             kind == CATALOG_SCHEDULE ? "$2::bigint = 0 OR t.database_id = $2::bigint"
                                      : "$2::bigint IS NOT NULL");
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)database_id);
    return add(request, sql, 2, (const char *const[]){reference, id});
}

int catalog_add_page(struct pg_request *request, enum catalog_kind kind, int64_t after, int64_t limit)
{
    char sql[MAX_SQL], numbers[2][24];
    snprintf(numbers[0], sizeof numbers[0], "%lld", (long long)after);
    snprintf(numbers[1], sizeof numbers[1], "%lld", (long long)limit);
    snprintf(sql, sizeof sql, "%s WHERE t.id > $1::bigint ORDER BY t.id LIMIT $2::bigint",
             kinds[kind].select);
    return add(request, sql, 2, (const char *const[]){numbers[0], numbers[1]});
}

/* Sealed secrets, and those that a row of the specification's application may hold in clear. */
void catalog_redact(json_t *row)
{
    const char *text = json_string_value(json_object_get(row, "storage_config"));
    char *shown = text ? storage_config_redact(text) : NULL;
    if (text)
        json_object_set_new(row, "storage_config", json_string(shown ? shown : "***"));
    free(shown);
}

json_t *catalog_read_rows(const PGresult *result, enum catalog_kind kind)
{
    json_t *rows = json_rows(result);
    size_t i;
    json_t *row;
    if (kind == CATALOG_DESTINATION)
        json_array_foreach(rows, i, row) catalog_redact(row);
    return rows;
}

int catalog_read_one(const PGresult *result, enum catalog_kind kind, const char *reference, json_t **ret_row,
                     struct error *err)
{
    const char *name = kinds[kind].name;
    int n = PQntuples(result);
    if (n == 0)
        return error_set(err, ERROR_NOT_FOUND, false, "no %s is called '%s'; see backupctl %s list", name,
                         reference, name);
    if (n > 1) {
        char ids[200] = "";
        size_t used = 0;
        for (int i = 0; i < n && used < sizeof ids - 32; i++)
            used += (size_t)snprintf(ids + used, sizeof ids - used, "%s%s", i ? ", " : "",
                                     PQgetvalue(result, i, 0));
        return error_set(err, ERROR_INPUT, false, "'%s' names %d %ss; give the id instead: %s", reference, n,
                         name, ids);
    }
    json_t *row = json_row(result, 0);
    if (row == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    if (kind == CATALOG_DESTINATION)
        catalog_redact(row);
    *ret_row = row;
    return 0;
}

/* Changes of names wait for each other: older tables have no unique index on them. */
static int add_lock(struct pg_request *request)
{
    return add(request, "SELECT pg_advisory_xact_lock(hashtextextended('backupmanager.catalog', 0))", 0,
               NULL);
}

/* "name, port, ..." of the columns that row has, each behind prefix. */
static void put_columns(struct strbuf *sql, const struct kind *k, const json_t *row, const char *prefix)
{
    bool first = true;
    for (int i = 0; k->columns[i]; i++) {
        if (json_object_get(row, k->columns[i]) == NULL)
            continue;
        strbuf_printf(sql, "%s%s%s", first ? "" : ", ", prefix, k->columns[i]);
        first = false;
    }
}

static void put_name_is_free(struct strbuf *sql, const struct kind *k)
{
    strbuf_printf(sql, " NOT EXISTS (SELECT FROM %s x WHERE x.name = r.name AND x.id IS DISTINCT FROM r.id",
                  k->table);
    if (k->name_scope)
        strbuf_printf(sql, " AND x.%s = r.%s", k->name_scope, k->name_scope);
    strbuf_puts(sql, ")");
}

static int send_row(struct pg_request *request, struct strbuf *sql, const json_t *row)
{
    char *dump = json_dumps(row, JSON_COMPACT);
    int rc = -1;
    if (dump && !sql->failed && strlen(dump) <= MAX_ROW && add_lock(request) == 0)
        rc = add(request, strbuf_cstr(sql), 1, (const char *const[]){dump});
    free(dump);
    strbuf_deinit(sql);
    return rc;
}

int catalog_add_insert(struct pg_request *request, enum catalog_kind kind, const json_t *row)
{
    const struct kind *k = &kinds[kind];
    struct strbuf sql;
    strbuf_init(&sql, MAX_SQL);
    strbuf_printf(&sql, "INSERT INTO %s (", k->table);
    put_columns(&sql, k, row, "");
    strbuf_printf(&sql, ", created_at%s) SELECT ", k->has_creator ? ", created_by" : "");
    put_columns(&sql, k, row, "r.");
    strbuf_printf(&sql, ", now()%s FROM json_populate_record(NULL::%s, $1::json) r WHERE",
                  k->has_creator ? ", " CREATOR : "", k->table);
    put_name_is_free(&sql, k);
    strbuf_puts(&sql, " RETURNING id");
    return send_row(request, &sql, row);
}

int catalog_read_inserted(const PGresult *result, enum catalog_kind kind, const json_t *row, int64_t *ret_id,
                          struct error *err)
{
    if (PQntuples(result) == 0)
        return error_set(err, ERROR_EXISTS, false, "a %s called '%s' exists already", kinds[kind].name,
                         json_string_value(json_object_get(row, "name")));
    *ret_id = pg_int(result, 0, 0, 0);
    return 0;
}

int catalog_add_update(struct pg_request *request, enum catalog_kind kind, const json_t *row)
{
    const struct kind *k = &kinds[kind];
    struct strbuf sql;
    strbuf_init(&sql, MAX_SQL);
    strbuf_printf(&sql, "UPDATE %s t SET (updated_at, ", k->table);
    put_columns(&sql, k, row, "");
    strbuf_puts(&sql, ") = ROW(now(), ");
    put_columns(&sql, k, row, "r.");
    strbuf_printf(&sql, ") FROM json_populate_record(NULL::%s, $1::json) r WHERE t.id = r.id AND", k->table);
    put_name_is_free(&sql, k);
    strbuf_puts(&sql, " RETURNING t.id");
    return send_row(request, &sql, row);
}

int catalog_add_remove(struct pg_request *request, enum catalog_kind kind, int64_t id)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)id);
    const char *const values[] = {text};
    if (add_lock(request) || add(request, kinds[kind].remove_first, 1, values))
        return -1;
    return add(request, kinds[kind].remove, 1, values);
}

int catalog_read_removed(const PGresult *result, enum catalog_kind kind, const json_t *row, struct error *err)
{
    if (PQntuples(result) > 0)
        return 0;
    const char *name = json_string_value(json_object_get(row, "name"));
    switch (kind) {
    case CATALOG_DATABASE:
        return error_set(err, ERROR_CONFLICT, false,
                         "database '%s' has backups on record; remove those first, or keep it and run "
                         "backupctl database disable",
                         name);
    case CATALOG_DESTINATION:
        return error_set(err, ERROR_CONFLICT, false,
                         "destination '%s' has copies that are not finished; wait for them, cancel their "
                         "backups, or run backupctl destination disable",
                         name);
    case CATALOG_GROUP:
        return error_set(err, ERROR_CONFLICT, false,
                         "group '%s' has databases in it, or is gone already; give those another group first",
                         name);
    case CATALOG_SCHEDULE:
        break;
    }
    return error_set(err, ERROR_NOT_FOUND, false, "%s '%s' is gone already", kinds[kind].name, name);
}

int catalog_add_assign(struct pg_request *request, int64_t destination_id, int64_t database_id,
                       int64_t schedule_id, int64_t priority)
{
    char ids[4][24];
    int64_t numbers[4] = {destination_id, database_id, schedule_id, priority};
    const char *values[4];
    for (int i = 0; i < 4; i++) {
        snprintf(ids[i], sizeof ids[i], "%lld", (long long)numbers[i]);
        values[i] = ids[i];
    }
    values[2] = schedule_id ? values[2] : NULL;
    values[3] = priority >= 0 ? values[3] : NULL;
    return add(request,
               "INSERT INTO destination_assignments (destination_id, database_id, schedule_id, priority)"
               " VALUES ($1::int, $2::int, $3::int, $4::int)"
               " ON CONFLICT (destination_id, database_id, coalesce(schedule_id, 0))"
               " DO UPDATE SET priority = excluded.priority, enabled = true RETURNING id",
               4, values);
}

int catalog_add_unassign(struct pg_request *request, int64_t destination_id, int64_t database_id,
                         int64_t schedule_id)
{
    char ids[3][24];
    int64_t numbers[3] = {destination_id, database_id, schedule_id};
    const char *values[3];
    for (int i = 0; i < 3; i++) {
        snprintf(ids[i], sizeof ids[i], "%lld", (long long)numbers[i]);
        values[i] = ids[i];
    }
    return add(request,
               "DELETE FROM destination_assignments WHERE destination_id = $1::bigint"
               " AND database_id = $2::bigint AND coalesce(schedule_id, 0) = $3::bigint RETURNING id",
               3, values);
}
