/* The kinds of the catalog: their tables, and in SQL what is particular to each. */
#include "store/catalog_internal.h"

extern const char bm_sql_catalog_database[], bm_sql_catalog_destination[], bm_sql_catalog_schedule[],
    bm_sql_catalog_group[], bm_sql_catalog_assignment[];

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
static const char *const assignment_columns[] = {"destination_id", "database_id", "schedule_id",
                                                 "priority",       "enabled",     NULL};

/* Conditions of pages. A filter that makes no sense for a kind lets nothing through. */
#define ANY_Q(columns)                                                                                       \
    " AND ($3::text IS NULL OR strpos(lower(concat_ws(E'\\n', " columns ")), lower($3)) > 0)"
#define ANY_ACTIVE(column) " AND ($4::boolean IS NULL OR coalesce(" column ", true) = $4::boolean)"
#define ANY_DATABASE " AND ($5::int IS NULL OR t.database_id = $5::int)"
#define NO_ACTIVE " AND $4::boolean IS NULL"
#define NO_DATABASE " AND $5::int IS NULL"
#define NO_DESTINATION " AND $6::int IS NULL"
#define NO_SCHEDULE " AND $7::int IS NULL"
#define NO_TYPE " AND $8::text IS NULL"

/* Obstacles. In an update r holds what changes and the row's id, name and database_id, and NULL besides. */
#define NAME_TAKEN(kind, table, more)                                                                        \
    "SELECT 'name' AS field, format('a " kind " called ''%s'' exists already', r.name) AS message,"          \
    " true AS taken WHERE EXISTS (SELECT FROM " table " x WHERE x.name = r.name" more                        \
    " AND x.id IS DISTINCT FROM r.id)"
#define NOT_THERE(column, kind, table)                                                                       \
    "SELECT '" column "' AS field, format('there is no " kind " %s; write the id of one', r." column         \
    ") AS message, false AS taken WHERE r." column " IS NOT NULL"                                            \
    " AND NOT EXISTS (SELECT FROM " table " x WHERE x.id = r." column ")"

const struct catalog_kind_facts catalog_kinds[] = {
    [CATALOG_DATABASE] =
        {
            .name = "database",
            .table = "databases",
            .columns = database_columns,
            .has_creator = true,
            .has_change_time = true,
            .select = bm_sql_catalog_database,
            .filter = ANY_Q("t.name, t.description, t.host, t.database_name") ANY_ACTIVE("t.is_active")
                NO_DATABASE NO_DESTINATION NO_SCHEDULE NO_TYPE,
            .obstacles = NAME_TAKEN("database", "databases", "") " UNION ALL " NOT_THERE("group_id", "group",
                                                                                         "groups"),
            .needed =
                "SELECT CASE WHEN count(*) > 0 THEN format('%s%s of its backups are on record; remove those"
                " first, or keep it and switch it off (is_active)', least(count(*), 1000),"
                " CASE WHEN count(*) > 1000 THEN ' or more' END) END"
                " FROM (SELECT FROM backups WHERE database_id = $1::bigint LIMIT 1001) AS b",
            .remove_first = "DELETE FROM schedules WHERE database_id = $1::bigint"
                            " AND NOT EXISTS (SELECT FROM backups WHERE database_id = $1::bigint)",
            .remove = "DELETE FROM databases WHERE id = $1::bigint"
                      " AND NOT EXISTS (SELECT FROM backups WHERE database_id = $1::bigint)",
        },
    [CATALOG_DESTINATION] =
        {
            .name = "destination",
            .table = "destinations",
            .columns = destination_columns,
            .has_change_time = true,
            .select = bm_sql_catalog_destination,
            .filter = ANY_Q("t.name, t.base_path, t.queue") ANY_ACTIVE(
                "t.enabled") " AND ($5::int IS NULL OR EXISTS (SELECT FROM destination_assignments a"
                             " WHERE a.destination_id = t.id AND a.database_id = $5::int))" NO_DESTINATION
                                 NO_SCHEDULE " AND ($8::text IS NULL OR t.storage_type = $8)",
            .obstacles = NAME_TAKEN("destination", "destinations", ""),
            .needed =
                "SELECT CASE WHEN count(*) > 0 THEN format('its copies of the backups %s%s are not finished;"
                " wait for them, cancel those backups, or keep it and switch it off (enabled)',"
                " string_agg(b.backup_id::text, ', ' ORDER BY b.backup_id) FILTER (WHERE b.n <= 5),"
                " CASE WHEN count(*) > 5 THEN ' and others' END) END"
                " FROM (SELECT backup_id, row_number() OVER (ORDER BY backup_id) AS n FROM backup_destinations"
                " WHERE destination_id = $1::bigint AND status IN ('pending', 'uploading')"
                " ORDER BY backup_id LIMIT 6) AS b",
            .remove_first = "SELECT 1 WHERE $1::bigint IS NOT NULL",
            .remove = "DELETE FROM destinations WHERE id = $1::bigint AND NOT EXISTS"
                      " (SELECT FROM backup_destinations WHERE destination_id = $1::bigint"
                      " AND status IN ('pending', 'uploading'))",
        },
    [CATALOG_SCHEDULE] =
        {
            .name = "schedule",
            .table = "schedules",
            .columns = schedule_columns,
            .has_creator = true,
            .has_change_time = true,
            .select = bm_sql_catalog_schedule,
            .filter = ANY_Q("t.name, t.description, d.name") ANY_ACTIVE("t.is_active")
                ANY_DATABASE NO_DESTINATION NO_SCHEDULE NO_TYPE,
            .obstacles = NAME_TAKEN(
                "schedule", "schedules",
                " AND x.database_id = r.database_id") " UNION ALL " NOT_THERE("database_id", "database",
                                                                              "databases"),
            .remove_first = "UPDATE backups SET schedule_id = NULL WHERE schedule_id = $1::bigint",
            .remove = "DELETE FROM schedules WHERE id = $1::bigint",
        },
    [CATALOG_GROUP] =
        {
            .name = "group",
            .table = "groups",
            .columns = group_columns,
            .has_creator = true,
            .has_change_time = true,
            .select = bm_sql_catalog_group,
            .filter = ANY_Q("t.name, t.description") NO_ACTIVE NO_DATABASE NO_DESTINATION NO_SCHEDULE NO_TYPE,
            .obstacles = NAME_TAKEN("group", "groups", ""),
            .needed =
                "SELECT CASE WHEN count(*) > 0 THEN format('there are databases in it (%s%s); give those"
                " another group first', string_agg(d.name, ', ' ORDER BY d.n) FILTER (WHERE d.n <= 5),"
                " CASE WHEN count(*) > 5 THEN ' and others' END) END"
                " FROM (SELECT name, row_number() OVER (ORDER BY id) AS n FROM databases"
                " WHERE group_id = $1::bigint ORDER BY id LIMIT 6) AS d",
            .remove_first = "SELECT 1 WHERE $1::bigint IS NOT NULL",
            .remove = "DELETE FROM groups WHERE id = $1::bigint AND NOT EXISTS"
                      " (SELECT FROM databases WHERE group_id = $1::bigint)",
        },
    [CATALOG_ASSIGNMENT] =
        {
            .name = "assignment",
            .table = "destination_assignments",
            .columns = assignment_columns,
            .select = bm_sql_catalog_assignment,
            .filter = ANY_Q("p.name, d.name, s.name") ANY_ACTIVE("t.enabled") ANY_DATABASE
            " AND ($6::int IS NULL OR t.destination_id = $6::int)"
            " AND ($7::int IS NULL OR t.schedule_id = $7::int)"
            " AND ($8::text IS NULL OR p.storage_type = $8)",
            .obstacles = NOT_THERE("destination_id", "destination", "destinations") " UNION ALL " NOT_THERE(
                "database_id", "database",
                "databases") " UNION ALL SELECT 'schedule_id', format('database %s has no schedule %s; write the id of"
                             " one of its schedules, or null for all its backups', r.database_id, r.schedule_id), false"
                             " WHERE r.schedule_id IS NOT NULL AND NOT EXISTS (SELECT FROM schedules x"
                             " WHERE x.id = r.schedule_id AND x.database_id = r.database_id)"
                             " UNION ALL SELECT 'destination_id', format('it serves that already: assignment %s',"
                             " x.id), true FROM destination_assignments x WHERE x.destination_id = r.destination_id"
                             " AND x.database_id = r.database_id"
                             " AND coalesce(x.schedule_id, 0) = coalesce(r.schedule_id, 0)"
                             " AND x.id IS DISTINCT FROM r.id",
            .remove_first = "SELECT 1 WHERE $1::bigint IS NOT NULL",
            .remove = "DELETE FROM destination_assignments WHERE id = $1::bigint",
        },
};
