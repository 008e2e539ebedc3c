#include "store/backup_list.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "store/catalog.h"
#include "store/json_rows.h"

extern const char bm_sql_backup_select[];

enum { MAX_SQL = 16384, MAX_CONDITIONS = 16 };

/* which: a SELECT of whole rows of backups; only those few get their copies. */
static int add_backups(struct pg_request *request, const char *which, const char *order, int n_params,
                       const char *const *values)
{
    char sql[MAX_SQL];
    int n = snprintf(sql, sizeof sql,
                     "%s FROM (%s) AS b JOIN databases db ON db.id = b.database_id"
                     " LEFT JOIN schedules s ON s.id = b.schedule_id ORDER BY b.id %s",
                     bm_sql_backup_select, which, order);
    struct pg_statement statement = {.sql = sql, .n_params = n_params};
    return n < MAX_SQL ? pg_request_add(request, &statement, values) : -1;
}

/* --- one --- */

int backup_add_select(struct pg_request *request, const char *reference)
{
    char *end;
    long id = strtol(reference, &end, 10);
    bool is_id = *end == '\0' && reference[0] >= '1' && reference[0] <= '9' && id <= INT32_MAX;
    /* The second part is not even begun when the first has found it. */
    return add_backups(request,
                       "SELECT * FROM backups WHERE id = $2::int UNION ALL SELECT * FROM backups"
                       " WHERE name = $1::text AND NOT EXISTS (SELECT FROM backups WHERE id = $2::int)",
                       "ASC", 2, (const char *const[]){reference, is_id ? reference : NULL});
}

int backup_add_select_id(struct pg_request *request, int64_t id)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, id);
    return add_backups(request, "SELECT * FROM backups WHERE id = $1::bigint", "ASC", 1,
                       (const char *const[]){text});
}

int backup_add_select_made(struct pg_request *request)
{
    return add_backups(request,
                       "SELECT * FROM backups WHERE id = nullif(current_setting('bm.backup', true), '')::int",
                       "ASC", 0, NULL);
}

/* --- many --- */

struct conditions {
    struct strbuf sql;
    const char *values[MAX_CONDITIONS];
    char texts[MAX_CONDITIONS][24];
    int n;
};

/* What stands before and behind the parameter. value NULL: nothing is asked for. */
static void ask_text(struct conditions *c, const char *before, const char *value, const char *behind)
{
    if (value == NULL)
        return;
    c->values[c->n++] = value;
    strbuf_printf(&c->sql, " AND %s$%d%s", before, c->n, behind);
}

static void ask_id(struct conditions *c, const char *before, int64_t id, const char *behind)
{
    char *text = c->texts[c->n];
    snprintf(text, sizeof c->texts[0], "%" PRId64, id);
    ask_text(c, before, id ? text : NULL, behind);
}

static void ask_time(struct conditions *c, const char *before, const int64_t *ms)
{
    char *text = c->texts[c->n];
    if (ms)
        snprintf(text, sizeof c->texts[0], "%" PRId64, *ms);
    ask_text(c, before, ms ? text : NULL, "::bigint / 1000.0)");
}

/* (database_id, id) < ... instead of database_id = ...: the order by database_id would mean nothing then, and
 * the planner would rather read all backups from the newest on than the index of this database's. The same
 * for a schedule's. */
static void ask_pages_of(struct conditions *c, const char *column, int64_t id, int64_t before)
{
    int at = c->n;
    snprintf(c->texts[at], sizeof c->texts[0], "%" PRId64, id);
    c->values[c->n++] = c->texts[at];
    strbuf_printf(&c->sql, " AND %s >= $%d::int AND (%s, id) < ($%d::int, %" PRId64 ")", column, c->n, column,
                  c->n, before ? before : INT64_C(1) << 31);
}

static void ask_copies(struct conditions *c, const struct backup_filter *filter)
{
    if (filter->destination_id == 0 && filter->storage_type == NULL && filter->copy_status == NULL)
        return;
    strbuf_puts(&c->sql, " AND EXISTS (SELECT FROM backup_destinations d WHERE d.backup_id = backups.id");
    /* No index but that of native copies has the destinations; the older system's copies had none. */
    ask_id(c, "d.destination_id = ", filter->destination_id, "::int AND d.origin = 'native'");
    ask_text(c, "d.storage_type = ", filter->storage_type, "::text");
    ask_text(c, "d.status = ", filter->copy_status, "::text");
    strbuf_puts(&c->sql, ")");
}

int backup_add_list(struct pg_request *request, const struct backup_filter *filter)
{
    struct conditions c = {.n = 0};
    const char *order = "id DESC";
    strbuf_init(&c.sql, MAX_SQL / 4);
    strbuf_puts(&c.sql, "SELECT * FROM backups WHERE true");
    if (filter->schedule_id) {
        ask_pages_of(&c, "schedule_id", filter->schedule_id, filter->before);
        order = "schedule_id DESC, id DESC";
        ask_id(&c, "database_id = ", filter->database_id, "::int");
    } else if (filter->database_id) {
        ask_pages_of(&c, "database_id", filter->database_id, filter->before);
        order = "database_id DESC, id DESC";
    } else
        ask_id(&c, "id < ", filter->before, "::bigint");
    ask_text(&c, "status = ", filter->status, "::text");
    ask_text(&c, "origin = ", filter->origin, "::text");
    ask_text(&c, "strpos(lower(name), lower(", filter->text, "::text)) > 0");
    ask_time(&c, "created_at >= to_timestamp(", filter->created_from_ms);
    ask_time(&c, "created_at < to_timestamp(", filter->created_until_ms);
    ask_copies(&c, filter);
    char limit[24];
    snprintf(limit, sizeof limit, "%" PRId64, filter->limit);
    c.values[c.n++] = limit;
    strbuf_printf(&c.sql, " ORDER BY %s LIMIT $%d::bigint", order, c.n);
    int rc = c.sql.failed ? -1 : add_backups(request, strbuf_cstr(&c.sql), "DESC", c.n, c.values);
    strbuf_deinit(&c.sql);
    return rc;
}

/* --- rows --- */

static void redact_copies(json_t *backup)
{
    size_t i;
    json_t *copy;
    json_array_foreach(json_object_get(backup, "destinations"), i, copy) catalog_redact(copy);
}

json_t *backup_read_rows(const PGresult *result)
{
    json_t *rows = json_rows(result);
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row) redact_copies(row);
    return rows;
}

int backup_read_one(const PGresult *result, const char *reference, json_t **ret_backup, struct error *err)
{
    int n = PQntuples(result);
    if (n == 0)
        return error_set(err, ERROR_NOT_FOUND, false, "there is no backup '%s'; see backupctl backup list",
                         reference);
    if (n > 1)
        return error_set(err, ERROR_INPUT, false,
                         "%d backups of the older system are called '%s'; give the id instead: %s, %s%s", n,
                         reference, PQgetvalue(result, 0, 0), PQgetvalue(result, 1, 0), n > 2 ? ", ..." : "");
    json_t *row = json_row(result, 0);
    if (row == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    redact_copies(row);
    *ret_backup = row;
    return 0;
}

/* Copies that only the older system's destination_results knew are named by their place, and keep the
 * absolute path that they had there; all others have theirs as the copy has it. */
static json_t *legacy_path(const json_t *copy)
{
    static const char migrated[] = " (migrated)";
    const char *path = json_string_value(json_object_get(copy, "file_path"));
    const char *base = json_string_value(json_object_get(copy, "base_path"));
    const char *name = json_string_value(json_object_get(copy, "storage_name"));
    size_t n = base ? strlen(base) : 0, name_size = name ? strlen(name) : 0, end_size = sizeof migrated - 1;
    bool names_place =
        name_size > end_size && *name == '/' && strcmp(name + name_size - end_size, migrated) == 0;
    if (path == NULL || n == 0 || (!names_place && strcmp(base, "/") != 0))
        return json_incref(json_object_get(copy, "file_path"));
    while (n > 0 && base[n - 1] == '/')
        n--;
    return json_sprintf("%.*s/%s", (int)n, base, path);
}

void backup_fill_legacy_fields(json_t *backup)
{
    static const char *const fields[] = {"storage_type", "file_size", "checksum"};
    const json_t *first = json_array_get(json_object_get(backup, "destinations"), 0);
    for (size_t i = 0; first && i < sizeof fields / sizeof *fields; i++)
        if (json_is_null(json_object_get(backup, fields[i])))
            json_object_set(backup, fields[i], json_object_get(first, fields[i]));
    if (first && json_is_null(json_object_get(backup, "file_path")))
        json_object_set_new(backup, "file_path", legacy_path(first));
}
