#include "store/backup_create.h"

#include <inttypes.h>
#include <stdio.h>

extern const unsigned char bm_sql_backup_create[];

/* Names and paths are chosen by looking at those that exist: one at a time. A statement of its own, so that
 * the next one sees what the last holder committed. */
static const struct pg_statement lock = {
    "backup_create_lock", "SELECT pg_advisory_xact_lock(hashtextextended('backupmanager.backup_create', 0))",
    0};

/* NULL for 0 */
static const char *number(char *out, size_t size, int64_t value)
{
    snprintf(out, size, "%" PRId64, value);
    return value ? out : NULL;
}

int backup_create_add(struct pg_request *request, const struct backup_create *wanted)
{
    const struct pg_statement create = {"backup_create", (const char *)bm_sql_backup_create, 8};
    char database[24], schedule[24], fire_time[24], next[24];
    const char *const values[] = {
        number(database, sizeof database, wanted->database_id),
        number(schedule, sizeof schedule, wanted->schedule_id),
        number(fire_time, sizeof fire_time, wanted->fire_time),
        wanted->ordering,
        number(next, sizeof next, wanted->while_next),
        wanted->key ? wanted->key_scope : NULL,
        wanted->key,
        wanted->key ? wanted->key_request : NULL,
    };
    return pg_request_add(request, &lock, NULL) || pg_request_add(request, &create, values) ? -1 : 0;
}

int backup_create_read(const PGresult *result, struct backup_created *ret_created, struct error *err)
{
    if (PQntuples(result) != 1 || PQnfields(result) != 6)
        return error_set(err, ERROR_NOT_FOUND, false,
                         "the database does not exist, or its schedule has changed meanwhile");
    struct backup_created created = {
        .id = pg_int(result, 0, 0, 0),
        .n_destinations = pg_int(result, 0, 2, 0),
        .existed = pg_bool(result, 0, 3, 0),
        .failed = pg_text(result, 0, 4) != NULL,
    };
    snprintf(created.name, sizeof created.name, "%s", pg_text(result, 0, 1));
    snprintf(created.error_message, sizeof created.error_message, "%s",
             created.failed ? pg_text(result, 0, 4) : "");
    *ret_created = created;
    return 0;
}
