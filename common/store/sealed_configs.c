#include "store/sealed_configs.h"

#include <stdio.h>

static const char *const tables[] = {
    [SEALED_DESTINATIONS] = "destinations", [SEALED_COPIES] = "backup_destinations"};

/* Told from the text, which may be anything in rows of other programs: what isn't JSON would end the
 * statement. */
#define HAS_SEALED "storage_config LIKE '%\"sealed\"%'"

enum { MAX_SQL = 512 };

static int add(struct pg_request *request, const char *sql, int n_params, const char *const *values)
{
    struct pg_statement statement = {.sql = sql, .n_params = n_params};
    return pg_request_add(request, &statement, values);
}

const char *sealed_table_name(enum sealed_table table)
{
    return tables[table];
}

int sealed_add_select(struct pg_request *request, enum sealed_table table, int64_t after, int limit)
{
    char sql[MAX_SQL], id[24], most[24];
    snprintf(sql, sizeof sql,
             "SELECT id, storage_config FROM %s WHERE id > $1::bigint AND %s ORDER BY id LIMIT $2::int",
             tables[table], HAS_SEALED);
    snprintf(id, sizeof id, "%lld", (long long)after);
    snprintf(most, sizeof most, "%d", limit);
    return add(request, sql, 2, (const char *const[]){id, most});
}

int sealed_add_replace(struct pg_request *request, enum sealed_table table, const char *ids,
                       const char *before, const char *after)
{
    char sql[MAX_SQL];
    snprintf(
        sql, sizeof sql,
        "WITH mine AS MATERIALIZED (SELECT t.id, w.after"
        " FROM unnest($1::int[], $2::text[], $3::text[]) AS w (id, before, after) JOIN %s t ON t.id = w.id"
        " WHERE t.storage_config = w.before ORDER BY t.id FOR UPDATE OF t)"
        " UPDATE %s t SET storage_config = m.after FROM mine m WHERE t.id = m.id RETURNING t.id",
        tables[table], tables[table]);
    return add(request, sql, 3, (const char *const[]){ids, before, after});
}

int sealed_add_count(struct pg_request *request, enum sealed_table table)
{
    char sql[MAX_SQL];
    snprintf(sql, sizeof sql,
             "SELECT storage_config, count(*) FROM %s WHERE %s GROUP BY storage_config ORDER BY 1",
             tables[table], HAS_SEALED);
    return add(request, sql, 0, NULL);
}
