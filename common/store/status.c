#include "store/status.h"

#include <inttypes.h>
#include <stdio.h>

#include "store/json_rows.h"

extern const char bm_sql_status_backups[], bm_sql_status_databases[], bm_sql_status_running[];

enum { BACKUPS, DATABASES, RUNNING };

int status_add(struct pg_request *request, int64_t most_databases)
{
    static const struct pg_statement backups = {"status_backups", bm_sql_status_backups, 0};
    static const struct pg_statement databases = {"status_databases", bm_sql_status_databases, 1};
    static const struct pg_statement running = {"status_running", bm_sql_status_running, 0};
    char most[24];
    snprintf(most, sizeof most, "%" PRId64, most_databases);
    int rc = pg_request_add(request, &backups, NULL);
    rc |= pg_request_add(request, &databases, (const char *const[]){most_databases ? most : NULL});
    rc |= pg_request_add(request, &running, NULL);
    return rc ? -1 : 0;
}

json_t *status_read(PGresult *const *results)
{
    return json_pack("{s:o, s:o, s:o}", "backups", json_row(results[BACKUPS], 0), "databases",
                     json_rows(results[DATABASES]), "running", json_rows(results[RUNNING]));
}
