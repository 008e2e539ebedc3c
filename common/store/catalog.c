#include "store/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "storage/config.h"
#include "store/catalog_internal.h"
#include "store/json_rows.h"

/* Whoever the transaction says is acting (audit.h), else the built-in user. */
#define CREATOR                                                                                              \
    "coalesce((SELECT u.id FROM users u WHERE u.id = (nullif(current_setting('bm.actor', true), '')::jsonb"  \
    " ->> 'user_id')::int), (SELECT u.id FROM users u WHERE u.username = 'system'))"

enum { MAX_SQL = 8192, MAX_ROW = 256 * 1024 };

const char *catalog_kind_name(enum catalog_kind kind)
{
    return catalog_kinds[kind].name;
}

static int add(struct pg_request *request, const char *sql, int n_params, const char *const *values)
{
    struct pg_statement statement = {.sql = sql, .n_params = n_params};
    return pg_request_add(request, &statement, values);
}

static void number_text(int64_t number, char text[24])
{
    snprintf(text, 24, "%lld", (long long)number);
}

int catalog_add_select(struct pg_request *request, enum catalog_kind kind, const char *reference,
                       int64_t database_id)
{
    const struct catalog_kind_facts *k = &catalog_kinds[kind];
    char sql[MAX_SQL];
    snprintf(sql, sizeof sql,
             "%s WHERE ($1::text IS NULL OR t.id::text = $1 OR (t.name = $1 AND NOT EXISTS"
             " (SELECT FROM %s i WHERE i.id::text = $1))) AND (%s) ORDER BY t.name, t.id",
             k->select, k->table,
             kind == CATALOG_SCHEDULE ? "$2::bigint = 0 OR t.database_id = $2::bigint"
                                      : "$2::bigint IS NOT NULL");
    char id[24];
    number_text(database_id, id);
    return add(request, sql, 2, (const char *const[]){reference, id});
}

int catalog_add_page(struct pg_request *request, enum catalog_kind kind, int64_t after, int64_t limit,
                     const struct catalog_filter *filter)
{
    static const struct catalog_filter all;
    const struct catalog_filter *f = filter ? filter : &all;
    char sql[MAX_SQL], numbers[2][24];
    number_text(after, numbers[0]);
    number_text(limit, numbers[1]);
    snprintf(sql, sizeof sql, "%s WHERE t.id > $1::bigint%s ORDER BY t.id LIMIT $2::bigint",
             catalog_kinds[kind].select, catalog_kinds[kind].filter);
    return add(request, sql, 8,
               (const char *const[]){numbers[0], numbers[1], f->text, f->active, f->database_id,
                                     f->destination_id, f->schedule_id, f->storage_type});
}

int catalog_add_one(struct pg_request *request, enum catalog_kind kind, int64_t id)
{
    char sql[MAX_SQL], number[24];
    number_text(id, number);
    snprintf(sql, sizeof sql,
             "%s WHERE t.id = CASE $1::int WHEN 0 THEN nullif(current_setting('bm.inserted', true), '')::int"
             " ELSE $1::int END",
             catalog_kinds[kind].select);
    return add(request, sql, 1, (const char *const[]){number});
}

int catalog_add_version(struct pg_request *request, enum catalog_kind kind, int64_t id)
{
    char sql[160], number[24];
    number_text(id, number);
    snprintf(sql, sizeof sql, "SELECT xmin::text FROM %s WHERE id = $1::bigint", catalog_kinds[kind].table);
    return add(request, sql, 1, (const char *const[]){number});
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
    const char *name = catalog_kinds[kind].name;
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
static void put_columns(struct strbuf *sql, const struct catalog_kind_facts *k, const json_t *row,
                        const char *prefix)
{
    bool first = true;
    for (int i = 0; k->columns[i]; i++) {
        if (json_object_get(row, k->columns[i]) == NULL)
            continue;
        strbuf_printf(sql, "%s%s%s", first ? "" : ", ", prefix, k->columns[i]);
        first = false;
    }
}

static int send_row(struct pg_request *request, struct strbuf *sql, const json_t *row, const char *version)
{
    char *dump = json_dumps(row, JSON_COMPACT);
    int rc = -1;
    if (dump && !sql->failed && strlen(dump) <= MAX_ROW)
        rc = add(request, strbuf_cstr(sql), version ? 2 : 1, (const char *const[]){dump, version});
    free(dump);
    strbuf_deinit(sql);
    return rc;
}

/* The id goes into the transaction too, for catalog_add_one. */
int catalog_add_insert(struct pg_request *request, enum catalog_kind kind, const json_t *row)
{
    const struct catalog_kind_facts *k = &catalog_kinds[kind];
    struct strbuf sql;
    strbuf_init(&sql, MAX_SQL);
    strbuf_printf(&sql, "WITH made AS (INSERT INTO %s (", k->table);
    put_columns(&sql, k, row, "");
    strbuf_printf(&sql, ", created_at%s) SELECT ", k->has_creator ? ", created_by" : "");
    put_columns(&sql, k, row, "r.");
    strbuf_printf(&sql,
                  ", now()%s FROM json_populate_record(NULL::%s, $1::json) r WHERE NOT EXISTS (%s)"
                  " RETURNING id) SELECT id, set_config('bm.inserted', id::text, true) FROM made",
                  k->has_creator ? ", " CREATOR : "", k->table, k->obstacles);
    if (add_lock(request) == 0)
        return send_row(request, &sql, row, NULL);
    strbuf_deinit(&sql);
    return -1;
}

int catalog_read_inserted(const PGresult *result, enum catalog_kind kind, const json_t *row, int64_t *ret_id,
                          struct error *err)
{
    if (PQntuples(result) == 0)
        return error_set(err, ERROR_EXISTS, false, "a %s called '%s' exists already",
                         catalog_kinds[kind].name, json_string_value(json_object_get(row, "name")));
    *ret_id = pg_int(result, 0, 0, 0);
    return 0;
}

int catalog_add_update(struct pg_request *request, enum catalog_kind kind, const json_t *row,
                       const char *version)
{
    const struct catalog_kind_facts *k = &catalog_kinds[kind];
    struct strbuf sql;
    strbuf_init(&sql, MAX_SQL);
    strbuf_printf(&sql, "UPDATE %s t SET (%s", k->table, k->has_change_time ? "updated_at, " : "");
    put_columns(&sql, k, row, "");
    strbuf_printf(&sql, ") = ROW(%s", k->has_change_time ? "now(), " : "");
    put_columns(&sql, k, row, "r.");
    strbuf_printf(&sql,
                  ") FROM json_populate_record(NULL::%s, $1::json) r WHERE t.id = r.id%s AND NOT EXISTS (%s)"
                  " RETURNING t.id",
                  k->table, version ? " AND t.xmin::text = $2::text" : "", k->obstacles);
    if (add_lock(request) == 0)
        return send_row(request, &sql, row, version);
    strbuf_deinit(&sql);
    return -1;
}

int catalog_add_obstacles(struct pg_request *request, enum catalog_kind kind, const json_t *row)
{
    struct strbuf sql;
    strbuf_init(&sql, MAX_SQL);
    strbuf_printf(&sql,
                  "SELECT o.field, o.message, o.taken FROM json_populate_record(NULL::%s, $1::json) r"
                  " CROSS JOIN LATERAL (%s) o LIMIT 20",
                  catalog_kinds[kind].table, catalog_kinds[kind].obstacles);
    return send_row(request, &sql, row, NULL);
}

int catalog_add_remove(struct pg_request *request, enum catalog_kind kind, int64_t id, const char *version)
{
    const struct catalog_kind_facts *k = &catalog_kinds[kind];
    char number[24], first[MAX_SQL], sql[MAX_SQL];
    number_text(id, number);
    const char *const values[] = {number, version};
    int n = version ? 2 : 1;
    snprintf(first, sizeof first,
             version ? "%s AND EXISTS (SELECT FROM %s WHERE id = $1::bigint AND xmin::text = $2::text)"
                     : "%s",
             k->remove_first, k->table);
    snprintf(sql, sizeof sql, "%s%s RETURNING id", k->remove, version ? " AND xmin::text = $2::text" : "");
    return add_lock(request) || add(request, first, n, values) || add(request, sql, n, values) ? -1 : 0;
}

int catalog_add_needed(struct pg_request *request, enum catalog_kind kind, int64_t id)
{
    const char *needed = catalog_kinds[kind].needed;
    char number[24];
    number_text(id, number);
    return add(request, needed ? needed : "SELECT NULL::text WHERE $1::bigint IS NOT NULL", 1,
               (const char *const[]){number});
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
    case CATALOG_ASSIGNMENT:
        break;
    }
    return error_set(err, ERROR_NOT_FOUND, false, "%s '%s' is gone already", catalog_kinds[kind].name, name);
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
