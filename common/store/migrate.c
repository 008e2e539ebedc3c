/*
 * One transaction per step: take the lock, read what is applied, check it against the files, apply or undo
 * the next step, record it, commit. Nothing read in one transaction is believed in the next, so a process
 * that had to wait for another one finds the other's steps done and goes on from there.
 */
#include "store/migrate.h"

#include <libpq-fe.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define CONNECT_TIMEOUT_SECONDS "10"
#define LOCK_TIMEOUT_MS "60000"
#define LOCK_KEY "4772369318570853" /* any constant of ours */

extern const unsigned char sql_000_legacy_schema_up[];
extern const unsigned char sql_001_add_backup_destinations_up[];
extern const unsigned char sql_001_add_backup_destinations_down[];
extern const unsigned char sql_002_destinations_and_queue_up[];
extern const unsigned char sql_002_destinations_and_queue_down[];
extern const unsigned char sql_003_api_up[];
extern const unsigned char sql_003_api_down[];
extern const unsigned char sql_004_statistics_up[];
extern const unsigned char sql_004_statistics_down[];
extern const unsigned char sql_005_operations_up[];
extern const unsigned char sql_005_operations_down[];

/* Versions are the positions in this table. */
static const struct step {
    const char *name;
    const unsigned char *up;
    const unsigned char *down; /* NULL: can't be undone */
    const char *tables;        /* that up changes while programs may run; NULL: see lock_tables */
} steps[] = {
    {"000_legacy_schema", sql_000_legacy_schema_up, NULL, NULL},
    {"001_add_backup_destinations", sql_001_add_backup_destinations_up, sql_001_add_backup_destinations_down,
     NULL},
    {"002_destinations_and_queue", sql_002_destinations_and_queue_up, sql_002_destinations_and_queue_down,
     NULL},
    {"003_api", sql_003_api_up, sql_003_api_down,
     "backups,backup_destinations,schedules,databases,destinations,destination_assignments,queues,groups,"
     "users"},
    {"004_statistics", sql_004_statistics_up, sql_004_statistics_down,
     "backups,backup_destinations,databases"},
    {"005_operations", sql_005_operations_up, sql_005_operations_down, NULL}, /* new ones only */
};
#define N_STEPS ((int)(sizeof steps / sizeof *steps))

static int checksum_of(const struct step *step, char hex[65], struct error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    if (EVP_Digest(step->up, strlen((const char *)step->up), digest, &n, EVP_sha256(), NULL) != 1 || n != 32)
        return error_set(err, ERROR_SYSTEM, false, "SHA-256 is not available");
    for (unsigned int i = 0; i < n; i++)
        snprintf(hex + (size_t)i * 2, 3, "%02x", digest[i]);
    return 0;
}

/* --- connection --- */

static void on_notice(void *data, const PGresult *result)
{
    (void)data;
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (message != NULL)
        log_warn("migrate: %s", message);
}

/* A password with an unescaped '/', '@' or ':' is read as a host, port or database name, and libpq would
 * repeat it in its error. */
static bool looks_misread(const PQconninfoOption *options)
{
    for (const PQconninfoOption *o = options; o->keyword != NULL; o++) {
        if (o->val == NULL)
            continue;
        if (strcmp(o->keyword, "port") == 0 && o->val[strspn(o->val, "0123456789,")] != '\0')
            return true;
        if ((strcmp(o->keyword, "host") == 0 || strcmp(o->keyword, "dbname") == 0) &&
            strchr(o->val, '@') != NULL)
            return true;
    }
    return false;
}

static int open_database(const char *url, PGconn **ret_conn, struct error *err)
{
    if (url == NULL || *url == '\0')
        return error_set(err, ERROR_INPUT, false, "no database: set BM_DATABASE_URL");
    PQconninfoOption *options = PQconninfoParse(url, NULL);
    bool valid = options != NULL && !looks_misread(options);
    PQconninfoFree(options);
    if (!valid)
        return error_set(
            err, ERROR_INPUT, false,
            "BM_DATABASE_URL is neither a libpq URI nor a connection string (special characters in "
            "a password must be percent-encoded)");

    /* What the URL says of the first two wins over the values here. */
    const char *const keywords[] = {"connect_timeout", "application_name", "dbname", NULL};
    const char *const values[] = {CONNECT_TIMEOUT_SECONDS, "backupctl migrate", url, NULL};
    PGconn *conn = PQconnectdbParams(keywords, values, 1);
    if (conn == NULL)
        return error_set(err, ERROR_SYSTEM, false, "out of memory");
    if (PQstatus(conn) != CONNECTION_OK) {
        bool needs_password = PQconnectionNeedsPassword(conn) || PQconnectionUsedPassword(conn);
        const char *message = PQerrorMessage(conn);
        bool refused = strstr(message, "FATAL") != NULL;
        int rc = error_set(err, refused && needs_password ? ERROR_DENIED : ERROR_UNREACHABLE, !refused,
                           "can't connect to the database: %s", message);
        PQfinish(conn);
        return rc;
    }
    PQsetNoticeReceiver(conn, on_notice, NULL);
    *ret_conn = conn;
    return 0;
}

/* Every failure's message is one line: what was tried, what the server said, and for objects in the way
 * (never for rows, which may hold secrets) which. */
static int failure(PGconn *conn, const PGresult *result, const char *what, struct error *err)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
    if (state == NULL || PQstatus(conn) != CONNECTION_OK)
        return error_set(err, ERROR_UNREACHABLE, true, "%s: the connection to the database was lost: %s",
                         what, primary != NULL ? primary : PQerrorMessage(conn));
    bool names_objects = strcmp(state, "0A000") == 0 || strcmp(state, "2BP01") == 0;
    bool locked = strcmp(state, "55P03") == 0 || strcmp(state, "40P01") == 0;
    int rc =
        error_set(err, locked ? ERROR_CONFLICT : ERROR_PROTOCOL, locked, "%s: %s%s%s%s", what,
                  primary != NULL ? primary : "unknown error", names_objects && detail != NULL ? ": " : "",
                  names_objects && detail != NULL ? detail : "",
                  locked ? " (another program uses the tables: stop it and migrate again)" : "");
    if (err != NULL)
        snprintf(err->native, sizeof err->native, "%s", state);
    return rc;
}

/* Runs one or more statements; ret_result (may be NULL) gets the last one's. */
static int run(PGconn *conn, const char *sql, const char *what, PGresult **ret_result, struct error *err)
{
    PGresult *result = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        int rc = failure(conn, result, what, err);
        PQclear(result);
        return rc;
    }
    if (ret_result != NULL)
        *ret_result = result;
    else
        PQclear(result);
    return 0;
}

/* --- what is applied --- */

static int row_compare(const void *a, const void *b)
{
    const struct migrate_row *x = a;
    const struct migrate_row *y = b;
    return (x->version > y->version) - (x->version < y->version);
}

static int read_rows(PGconn *conn, struct migrate_row **ret_rows, size_t *ret_n, struct error *err)
{
    PGresult *r = NULL;
    int rc = run(conn, "SELECT to_regclass('schema_migrations') IS NOT NULL", "reading schema_migrations", &r,
                 err);
    if (rc != 0)
        return rc;
    bool exists = strcmp(PQgetvalue(r, 0, 0), "t") == 0;
    PQclear(r);
    r = NULL;
    if (exists) {
        rc = run(conn,
                 "SELECT version, name, checksum, "
                 "to_char(applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') "
                 "FROM schema_migrations ORDER BY version",
                 "reading schema_migrations", &r, err);
        if (rc != 0)
            return rc;
    }

    int n_recorded = exists ? PQntuples(r) : 0;
    struct migrate_row *rows = calloc((size_t)(N_STEPS + n_recorded), sizeof *rows);
    if (rows == NULL) {
        PQclear(r);
        return error_set(err, ERROR_SYSTEM, false, "out of memory");
    }
    size_t n = N_STEPS;
    for (int v = 0; v < N_STEPS && rc == 0; v++) {
        rows[v].version = v;
        rows[v].reversible = steps[v].down != NULL;
        snprintf(rows[v].name, sizeof rows[v].name, "%s", steps[v].name);
        rc = checksum_of(&steps[v], rows[v].checksum, err);
    }
    for (int i = 0; i < n_recorded && rc == 0; i++) {
        int version = atoi(PQgetvalue(r, i, 0));
        bool known = version >= 0 && version < N_STEPS;
        struct migrate_row *row = known ? &rows[version] : &rows[n++];
        row->version = version;
        row->state = !known                                            ? MIGRATE_UNKNOWN
                     : strcmp(row->checksum, PQgetvalue(r, i, 2)) == 0 ? MIGRATE_APPLIED
                                                                       : MIGRATE_CHANGED;
        if (!known)
            snprintf(row->name, sizeof row->name, "%s", PQgetvalue(r, i, 1));
        snprintf(row->checksum, sizeof row->checksum, "%s", PQgetvalue(r, i, 2));
        snprintf(row->applied_at, sizeof row->applied_at, "%s", PQgetvalue(r, i, 3));
    }
    PQclear(r);
    if (rc != 0) {
        free(rows);
        return rc;
    }
    qsort(rows, n, sizeof *rows, row_compare);
    *ret_rows = rows;
    *ret_n = n;
    return 0;
}

/* *ret_newest: the newest applied version, -1 = none. */
static int check_rows(const struct migrate_row *rows, size_t n, int *ret_newest, struct error *err)
{
    int newest = -1;
    for (size_t i = 0; i < n; i++) {
        const struct migrate_row *row = &rows[i];
        switch (row->state) {
        case MIGRATE_PENDING:
            continue;
        case MIGRATE_UNKNOWN:
            return error_set(
                err, ERROR_CONFLICT, false,
                "the database has migration %d (%s), which this program doesn't know: use the newer "
                "program that applied it",
                row->version, row->name);
        case MIGRATE_CHANGED:
            return error_set(
                err, ERROR_CONFLICT, false,
                "migration %s was applied from another file: schema_migrations records the checksum "
                "%.12s..., and this program's step differs",
                row->name, row->checksum);
        case MIGRATE_APPLIED:
            if (row->version != newest + 1)
                return error_set(err, ERROR_CONFLICT, false,
                                 "migration %s is applied, but %s before it is not", row->name,
                                 steps[newest + 1].name);
            newest = row->version;
        }
    }
    *ret_newest = newest;
    return 0;
}

static int read_newest(PGconn *conn, int *ret_newest, struct error *err)
{
    struct migrate_row *rows = NULL;
    size_t n = 0;
    int rc = read_rows(conn, &rows, &n, err);
    if (rc != 0)
        return rc;
    rc = check_rows(rows, n, ret_newest, err);
    free(rows);
    return rc;
}

/* --- steps --- */

/* Settings are local to the transaction: behind a pooler the connection is someone else's next. The advisory
 * lock may be waited for as long as its holder works; a table lock not, since whoever waits for one holds up
 * every other user of the table. */
static int begin(PGconn *conn, struct error *err)
{
    return run(conn,
               "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; "
               "SET LOCAL client_min_messages = warning; "
               "SET LOCAL statement_timeout = 0; "
               "SET LOCAL idle_in_transaction_session_timeout = 0; "
               "SET LOCAL lock_timeout = 0; "
               "SET CONSTRAINTS ALL IMMEDIATE; "
               "SELECT pg_advisory_xact_lock(" LOCK_KEY "); "
               "SET LOCAL lock_timeout = " LOCK_TIMEOUT_MS,
               "migrate", NULL, err);
}

/* Ends the transaction in every case. */
static int end(PGconn *conn, int rc, const char *what, struct error *err)
{
    if (rc == 0)
        rc = run(conn, "COMMIT", what, NULL, err);
    else
        PQclear(PQexec(conn, "ROLLBACK"));
    return rc;
}

/*
 * All the tables at once, before the step touches any: programs that run lock them in an order of their own,
 * and a step that took them one by one would end in a deadlock with one of them. Only the first is waited
 * for, with nothing in hand; when another can't be had, all are given back. Reading goes on meanwhile.
 */
static int lock_tables(PGconn *conn, const char *tables, const char *what, struct error *err)
{
    char sql[1024];
    snprintf(sql, sizeof sql,
             "DO $$ DECLARE wanted text[] := string_to_array('%s', ',');"
             " last_try timestamptz := clock_timestamp() + interval '" LOCK_TIMEOUT_MS " ms';"
             " BEGIN LOOP"
             "  BEGIN"
             "   FOR i IN 1 .. cardinality(wanted) LOOP"
             "    EXECUTE format('LOCK TABLE %%I IN EXCLUSIVE MODE %%s', wanted[i],"
             "     CASE WHEN i > 1 THEN 'NOWAIT' END);"
             "   END LOOP;"
             "   RETURN;"
             "  EXCEPTION WHEN lock_not_available THEN"
             "   IF clock_timestamp() > last_try THEN RAISE; END IF;"
             "  END;"
             "  PERFORM pg_sleep(0.05);"
             " END LOOP; END $$",
             tables);
    return run(conn, sql, what, NULL, err);
}

static int apply(PGconn *conn, int version, struct error *err)
{
    const struct step *step = &steps[version];
    char what[128];
    snprintf(what, sizeof what, "migration %s failed and was rolled back", step->name);
    char checksum[65];
    int rc = checksum_of(step, checksum, err);
    if (rc == 0)
        rc = run(
            conn,
            "CREATE TABLE IF NOT EXISTS schema_migrations (version integer PRIMARY KEY, name text NOT NULL, "
            "checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())",
            what, NULL, err);
    if (rc == 0 && step->tables)
        rc = lock_tables(conn, step->tables, what, err);
    if (rc == 0)
        rc = run(conn, (const char *)step->up, what, NULL, err);
    char record[512];
    snprintf(record, sizeof record,
             "INSERT INTO schema_migrations (version, name, checksum) VALUES (%d, '%s', '%s')", version,
             step->name, checksum);
    if (rc == 0)
        rc = run(conn, record, what, NULL, err);
    return rc;
}

static int undo(PGconn *conn, int version, struct error *err)
{
    const struct step *step = &steps[version];
    if (step->down == NULL)
        return error_set(err, ERROR_INPUT, false,
                         "%s can't be undone: it would drop the older system's tables", step->name);
    char what[128];
    snprintf(what, sizeof what, "undoing migration %s failed and was rolled back", step->name);
    int rc = run(conn, (const char *)step->down, what, NULL, err);
    char record[128];
    snprintf(record, sizeof record, "DELETE FROM schema_migrations WHERE version = %d", version);
    if (rc == 0)
        rc = run(conn, record, what, NULL, err);
    return rc;
}

static int check_target(int to, struct error *err)
{
    if (to >= N_STEPS || to < -1)
        return error_set(err, ERROR_INPUT, false, "there is no migration %d: the newest is %d", to,
                         N_STEPS - 1);
    return 0;
}

int migrate_up(const char *url, int to, migrate_progress_fn progress, void *data, struct error *err)
{
    PGconn *conn = NULL;
    int rc = check_target(to, err);
    if (rc == 0)
        rc = open_database(url, &conn, err);
    if (rc != 0)
        return rc;
    int last = to == MIGRATE_ALL ? N_STEPS - 1 : to;
    for (bool done = false; rc == 0 && !done;) {
        int newest = -1;
        rc = begin(conn, err);
        if (rc == 0)
            rc = read_newest(conn, &newest, err);
        done = newest >= last;
        if (rc == 0 && !done)
            rc = apply(conn, newest + 1, err);
        rc = end(conn, rc, "migrate", err);
        if (rc == 0 && !done && progress != NULL)
            progress(data, MIGRATE_UP, newest + 1, steps[newest + 1].name);
    }
    PQfinish(conn);
    return rc;
}

int migrate_down(const char *url, int to, migrate_progress_fn progress, void *data, struct error *err)
{
    PGconn *conn = NULL;
    int rc = check_target(to, err);
    if (rc == 0)
        rc = open_database(url, &conn, err);
    if (rc != 0)
        return rc;
    bool one_step = to == MIGRATE_ONE_STEP;
    for (bool first = true, done = false; rc == 0 && !done; first = false) {
        int newest = -1;
        rc = begin(conn, err);
        if (rc == 0)
            rc = read_newest(conn, &newest, err);
        if (rc == 0 && first && newest < (one_step ? 0 : to))
            rc = one_step
                     ? error_set(err, ERROR_INPUT, false, "no migration is applied, there is nothing to undo")
                     : error_set(err, ERROR_INPUT, false, "migration %s is not applied", steps[to].name);
        done = !one_step && newest <= to;
        if (rc == 0 && !done)
            rc = undo(conn, newest, err);
        rc = end(conn, rc, "migrate", err);
        if (rc == 0 && !done && progress != NULL)
            progress(data, MIGRATE_DOWN, newest, steps[newest].name);
        done = done || one_step;
    }
    PQfinish(conn);
    return rc;
}

int migrate_status(const char *url, struct migrate_row **ret_rows, size_t *ret_n, struct error *err)
{
    PGconn *conn = NULL;
    int rc = open_database(url, &conn, err);
    if (rc != 0)
        return rc;
    rc = read_rows(conn, ret_rows, ret_n, err);
    PQfinish(conn);
    return rc;
}

const char *migrate_state_name(enum migrate_state state)
{
    static const char *const names[] = {"pending", "applied", "changed", "unknown"};
    return names[state];
}
