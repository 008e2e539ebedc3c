/* backupctl backup: run, watch, retry, cancel. What reads the copies themselves is in backup_copies.c. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backup.h"
#include "backup_copies.h"
#include "backup_view.h"
#include "catalog_commands.h"
#include "relay.h"
#include "store/backup_create.h"
#include "store/backup_list.h"
#include "store/backup_ops.h"

enum { POLL_MS = 300, LIST_DEFAULT = 50, LIST_MAX = 100000 };

static const char *text_of(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));
    return text ? text : "";
}

static int memory(struct pg_request *request, struct error *err)
{
    pg_request_free(request);
    return error_set(err, ERROR_SYSTEM, true, "out of memory");
}

int backup_find(struct cli *cli, const char *reference, json_t **ret_backup, struct error *err)
{
    struct pg_request *request = catalog_request(cli, err);
    if (request == NULL)
        return err->code;
    if (backup_add_select(request, reference))
        return memory(request, err);
    PGresult *result;
    int rc = catalog_run(request, &result, err);
    if (rc)
        return rc;
    rc = backup_read_one(result, reference, ret_backup, err);
    PQclear(result);
    return rc;
}

/* --- run --- */

static bool has_ended(const json_t *backup)
{
    const char *status = text_of(backup, "status");
    return strcmp(status, "pending") != 0 && strcmp(status, "in_progress") != 0;
}

static void show_progress(const json_t *backup, char *shown, size_t size)
{
    char line[400];
    if (!isatty(STDERR_FILENO))
        return;
    backup_view_progress(backup, line, sizeof line);
    if (strcmp(line, shown) == 0)
        return;
    fprintf(stderr, "\r\033[K%s", line);
    snprintf(shown, size, "%s", line);
}

/* Waits for as long as the user does; PostgreSQL may go away meanwhile. */
static int wait_for_end(struct cli *cli, int64_t id, json_t **ret_backup, struct error *err)
{
    char reference[24];
    char shown[400] = "";
    bool complained = false;
    snprintf(reference, sizeof reference, "%lld", (long long)id);
    for (;;) {
        json_t *backup;
        int rc = backup_find(cli, reference, &backup, err);
        if (rc && !err->retryable)
            return rc;
        if (rc && !complained)
            fprintf(stderr, "backupctl: %s; still waiting\n", err->message);
        complained = rc != 0;
        if (rc == 0) {
            show_progress(backup, shown, sizeof shown);
            if (has_ended(backup)) {
                if (*shown)
                    fputs("\r\033[K", stderr);
                *ret_backup = backup;
                return 0;
            }
            json_decref(backup);
        }
        poll(NULL, 0, POLL_MS);
    }
}

static int create(struct cli *cli, const struct arguments *args, struct backup_created *ret,
                  struct error *err)
{
    const char *ordering = arguments_get(args, "ordering");
    if (ordering && strcmp(ordering, "parallel") != 0 && strcmp(ordering, "sequential") != 0)
        return error_set(err, ERROR_INPUT, false, "--ordering: '%s' is not parallel or sequential", ordering);
    json_t *database;
    int rc = catalog_find(cli, CATALOG_DATABASE, args->operands[0], 0, &database, err);
    if (rc)
        return rc;
    struct backup_create wanted = {.database_id = catalog_row_id(database),
                                   .ordering = ordering ? ordering : "parallel"};
    json_decref(database);
    struct pg_request *request = catalog_request(cli, err);
    if (request == NULL)
        return err->code;
    if (backup_create_add(request, &wanted))
        return memory(request, err);
    PGresult *result;
    rc = catalog_run(request, &result, err);
    if (rc)
        return rc;
    rc = backup_create_read(result, ret, err);
    PQclear(result);
    return rc;
}

static int run_run(struct cli *cli, const struct arguments *args, struct error *err)
{
    struct backup_created created;
    json_t *backup = NULL;
    char reference[24];
    int rc = create(cli, args, &created, err);
    if (rc)
        return rc;
    snprintf(reference, sizeof reference, "%lld", (long long)created.id);
    if (!created.failed)
        cli_relay(cli);
    bool wait = arguments_has(args, "wait") && !created.failed;
    if (!args->json && !created.failed) {
        printf("backup %s '%s' for %lld %s\n", reference, created.name, (long long)created.n_destinations,
               created.n_destinations == 1 ? "destination" : "destinations");
        fflush(stdout);
    }
    if (wait)
        rc = wait_for_end(cli, created.id, &backup, err);
    else if (args->json)
        rc = backup_find(cli, reference, &backup, err);
    if (rc)
        return rc;
    bool bad = created.failed || (wait && strcmp(text_of(backup, "status"), "completed") != 0);
    if (args->json)
        output_json(backup);
    else if (wait)
        backup_view_one(backup);
    if (created.failed)
        fprintf(stderr, "backupctl: backup %s is recorded as failed: %s\n", reference, created.error_message);
    else if (bad)
        fprintf(stderr, "backupctl: backup %s is %s; once the cause is gone: backupctl backup retry %s\n",
                reference, text_of(backup, "status"), reference);
    json_decref(backup);
    return bad;
}

/* --- list, show --- */

static int run_list(struct cli *cli, const struct arguments *args, struct error *err)
{
    static const char *const statuses = "pending, in_progress, completed, partial, failed";
    const char *database = arguments_get(args, "database");
    const char *status = arguments_get(args, "status");
    int64_t limit = LIST_DEFAULT;
    int64_t database_id = 0;
    int rc = arguments_number(args, "limit", 1, LIST_MAX, &limit, err);
    if (rc)
        return rc;
    if (status && (strstr(statuses, status) == NULL || strpbrk(status, ", ")))
        return error_set(err, ERROR_INPUT, false, "--status: '%s' is unknown; use one of: %s", status,
                         statuses);
    if (database) {
        json_t *row;
        rc = catalog_find(cli, CATALOG_DATABASE, database, 0, &row, err);
        if (rc)
            return rc;
        database_id = catalog_row_id(row);
        json_decref(row);
    }
    struct pg_request *request = catalog_request(cli, err);
    if (request == NULL)
        return err->code;
    struct backup_filter filter = {.database_id = database_id, .status = status, .limit = limit};
    if (backup_add_list(request, &filter))
        return memory(request, err);
    PGresult *result;
    rc = catalog_run(request, &result, err);
    if (rc)
        return rc;
    json_t *rows = backup_read_rows(result);
    PQclear(result);
    if (args->json)
        output_json(rows);
    else
        backup_view_list(rows);
    json_decref(rows);
    return 0;
}

static int run_show(struct cli *cli, const struct arguments *args, struct error *err)
{
    json_t *backup;
    int rc = backup_find(cli, args->operands[0], &backup, err);
    if (rc)
        return rc;
    if (args->json)
        output_json(backup);
    else
        backup_view_one(backup);
    json_decref(backup);
    return 0;
}

/* --- retry, cancel --- */

/* Prints the copies that changed; none: another one was faster. */
static int report_changed(const PGresult *result, const json_t *backup, const char *what, struct error *err)
{
    int n = PQntuples(result);
    if (n == 0)
        return error_set(err, ERROR_CONFLICT, true, "backup '%s' has changed meanwhile; look at it again",
                         text_of(backup, "name"));
    printf("backup '%s': ", text_of(backup, "name"));
    if (PQgetisnull(result, 0, 0)) {
        puts(what);
        return 0;
    }
    for (int i = 0; i < n; i++)
        printf("%s%s", i ? ", " : "",
               PQgetisnull(result, i, 2) ? PQgetvalue(result, i, 0) : PQgetvalue(result, i, 2));
    printf(" %s\n", what);
    return 0;
}

static int run_retry(struct cli *cli, const struct arguments *args, struct error *err)
{
    const char *destination = arguments_get(args, "destination");
    json_t *backup;
    PGresult *result = NULL;
    int rc = backup_find(cli, args->operands[0], &backup, err);
    if (rc)
        return rc;
    rc = backup_check_retry(backup, destination, err);
    struct pg_request *request = rc ? NULL : catalog_request(cli, err);
    if (request && backup_add_retry(request, catalog_row_id(backup), destination))
        rc = memory(request, err);
    else if (request)
        rc = catalog_run(request, &result, err);
    else if (rc == 0)
        rc = err->code;
    if (rc == 0)
        rc = report_changed(result, backup, "will be tried again", err);
    if (rc == 0)
        cli_relay(cli);
    PQclear(result);
    json_decref(backup);
    return rc;
}

static int run_cancel(struct cli *cli, const struct arguments *args, struct error *err)
{
    json_t *backup;
    PGresult *result = NULL;
    int rc = backup_find(cli, args->operands[0], &backup, err);
    if (rc)
        return rc;
    rc = backup_check_cancel(backup, err);
    struct pg_request *request = rc ? NULL : catalog_request(cli, err);
    if (request && backup_add_cancel(request, catalog_row_id(backup)))
        rc = memory(request, err);
    else if (request)
        rc = catalog_run(request, &result, err);
    else if (rc == 0)
        rc = err->code;
    if (rc == 0)
        rc = report_changed(result, backup, "cancelled", err);
    PQclear(result);
    json_decref(backup);
    return rc;
}

static const struct flag run_flags[] = {
    {"wait", NULL, "wait until it has ended; exit 1 unless every copy is completed", NULL, false},
    {"ordering", "WORD", "parallel (default) or sequential by priority", NULL, false},
    {0}};
static const struct flag list_flags[] = {
    {"database", "D", "only of this database", NULL, false},
    {"status", "WORD", "pending, in_progress, completed, partial or failed", NULL, false},
    {"limit", "N", "at most that many, newest first; default 50", NULL, true},
    {0}};
static const struct flag retry_flags[] = {
    {"destination", "NAME", "only the copy there; default all that failed", NULL, false}, {0}};

static const struct flag restore_flags[] = {
    {"from", "NAME", "the copy at this destination; default the first that is whole", NULL, false},
    {"output", "FILE", "where to, - is standard output; default its own name, here", NULL, false},
    {"decode", NULL, "decompress it", NULL, false},
    {0}};
static const struct flag verify_flags[] = {
    {"deep", NULL, "read every byte and compare the SHA-256", NULL, false},
    {"destination", "NAME", "only the copy there", NULL, false},
    {0}};

static const struct command commands[] = {
    {"run", "DATABASE", "Back it up now, to every destination that serves it", NULL, 1, 1, false, true, 0,
     run_flags, run_run},
    {"list", "", "List the newest backups", NULL, 0, 0, false, true, 0, list_flags, run_list},
    {"show", "ID", "Show a backup and its copies", NULL, 1, 1, false, true, 0, NULL, run_show},
    {"retry", "ID", "Try failed copies again, from the same dump while it is kept", NULL, 1, 1, false, false,
     0, retry_flags, run_retry},
    {"cancel", "ID", "Stop what is unfinished; completed copies stay", NULL, 1, 1, false, false, 0, NULL,
     run_cancel},
    {"restore", "ID", "Read a copy back, its SHA-256 verified",
     "A copy that can't be read or is damaged is skipped for the next one. A file gets its name only when it is\n"
     "whole and right; for standard output the copy is checked first and then read again.",
     1, 1, false, false, 0, restore_flags, run_restore},
    {"verify", "ID", "Check that the copies are there and have their size", NULL, 1, 1, false, true, 0,
     verify_flags, run_verify},
    {"delete", "ID", "Delete a backup: its copies, then its record", NULL, 1, 1, false, false, 0, NULL,
     run_delete},
    {0}};

const struct group group_backup = {"backup", "Backups", commands};
