#include "store/queues.h"

#include "store/json_rows.h"

int queues_add_select(struct pg_request *request, const char *name)
{
    static const struct pg_statement statement = {
        "queues_select",
        "SELECT n.queue, " SQL_ISO(
            "q.paused_at") " AS paused_at"
                           " FROM (SELECT queue FROM destinations UNION SELECT 'default' UNION SELECT name FROM queues"
                           "  UNION SELECT queue FROM backup_destinations WHERE status IN ('pending', 'uploading')"
                           "  AND origin = 'native') AS n"
                           " LEFT JOIN queues q ON q.name = n.queue"
                           " WHERE coalesce(n.queue = $1::text, true) ORDER BY n.queue",
        1};
    return pg_request_add(request, &statement, &name);
}

int queues_add_pause(struct pg_request *request, const char *name)
{
    static const struct pg_statement statement = {
        NULL,
        "INSERT INTO queues (name, paused_at) VALUES ($1, clock_timestamp()) ON CONFLICT (name)"
        " DO UPDATE SET paused_at = excluded.paused_at WHERE queues.paused_at IS NULL"
        " RETURNING name AS queue, " SQL_ISO("paused_at") " AS paused_at",
        1};
    return pg_request_add(request, &statement, &name);
}

int queues_add_resume(struct pg_request *request, const char *name)
{
    static const struct pg_statement statement = {
        NULL,
        "UPDATE queues SET paused_at = NULL WHERE name = $1 AND paused_at IS NOT NULL"
        " RETURNING name AS queue, " SQL_ISO("paused_at") " AS paused_at",
        1};
    return pg_request_add(request, &statement, &name);
}
