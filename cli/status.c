/* backupctl status: the whole system on one screen. */
#include <stdio.h>

#include "cli.h"
#include "output.h"
#include "queue_stats.h"
#include "redis_ask.h"
#include "store/json_rows.h"

extern const char cli_sql_status_backups[], cli_sql_status_databases[], cli_sql_status_running[];

/* The first row of a query as an object, or all rows as an array. */
static int ask(struct cli *cli, const char *sql, bool all, json_t **ret, struct error *err)
{
    PGresult *result;
    int rc = cli_query(cli, sql, 0, NULL, &result, err);
    if (rc)
        return rc;
    *ret = all ? json_rows(result) : json_row(result, 0);
    PQclear(result);
    return *ret ? 0 : error_set(err, ERROR_SYSTEM, true, "out of memory");
}

struct part {
    const char *key;
    bool all;
    const char *sql;
};

static const struct part parts[] = {{"backups", false, cli_sql_status_backups},
                                    {"databases", true, cli_sql_status_databases},
                                    {"running", true, cli_sql_status_running}};

static void print(const json_t *status)
{
    static const struct output_column backups[] = {{"Backups", "total", OUTPUT_NUMBER},
                                                   {"  pending", "pending", OUTPUT_NUMBER},
                                                   {"  in progress", "in_progress", OUTPUT_NUMBER},
                                                   {"  completed", "completed", OUTPUT_NUMBER},
                                                   {"  partial", "partial", OUTPUT_NUMBER},
                                                   {"  failed", "failed", OUTPUT_NUMBER},
                                                   {"Last completed", "last_completed_at", OUTPUT_TIME},
                                                   {NULL, NULL, OUTPUT_TEXT}};
    static const struct output_column databases[] = {{"DATABASE", "name", OUTPUT_TEXT},
                                                     {"ACTIVE", "is_active", OUTPUT_YESNO},
                                                     {"LAST BACKUP (UTC)", "last_backup_at", OUTPUT_TIME},
                                                     {"STATUS", "last_status", OUTPUT_TEXT},
                                                     {"NEXT RUN (UTC)", "next_run_at", OUTPUT_TIME},
                                                     {NULL, NULL, OUTPUT_TEXT}};
    static const struct output_column queues[] = {{"QUEUE", "queue", OUTPUT_TEXT},
                                                  {"READY", "ready", OUTPUT_NUMBER},
                                                  {"ACTIVE", "active", OUTPUT_NUMBER},
                                                  {"RETRY", "retry", OUTPUT_NUMBER},
                                                  {"PARKED", "parked", OUTPUT_NUMBER},
                                                  {"DEAD", "dead", OUTPUT_NUMBER},
                                                  {"WORKERS", "workers", OUTPUT_NUMBER},
                                                  {"PAUSED SINCE (UTC)", "paused_at", OUTPUT_TIME},
                                                  {NULL, NULL, OUTPUT_TEXT}};
    static const struct output_column running[] = {{"RUNNING", "backup", OUTPUT_TEXT},
                                                   {"DESTINATION", "storage_name", OUTPUT_TEXT},
                                                   {"SENT", "bytes_done", OUTPUT_SIZE},
                                                   {"OF", "artifact_size", OUTPUT_SIZE},
                                                   {"ATTEMPT", "attempts", OUTPUT_NUMBER},
                                                   {"WORKER", "lease_owner", OUTPUT_TEXT},
                                                   {NULL, NULL, OUTPUT_TEXT}};
    output_facts(json_object_get(status, "backups"), backups);
    putchar('\n');
    output_table(json_object_get(status, "databases"), databases,
                 "no databases yet; see backupctl database add --help");
    putchar('\n');
    output_table(json_object_get(status, "queues"), queues, "no queues");
    putchar('\n');
    output_table(json_object_get(status, "running"), running, "nothing is being uploaded");
}

static int run_status(struct cli *cli, const struct arguments *args, struct error *err)
{
    json_t *status = json_object();
    json_t *rows = NULL;
    json_t *queues = NULL;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof parts / sizeof *parts; i++) {
        json_t *part;
        rc = ask(cli, parts[i].sql, parts[i].all, &part, err);
        if (rc == 0)
            json_object_set_new(status, parts[i].key, part);
    }
    if (rc == 0)
        rc = queue_rows(cli, args, &rows, err);
    if (rc == 0)
        rc = queue_stats(cli, rows, &queues, err);
    if (rc == 0) {
        json_object_set_new(status, "queues", queues);
        if (args->json)
            output_json(status);
        else
            print(status);
    }
    json_decref(rows);
    json_decref(status);
    return rc;
}

static const struct command commands[] = {{.operands = "",
                                           .summary = "Show databases, queues and what is running",
                                           .prints_data = true,
                                           .run = run_status},
                                          {0}};

const struct group group_status = {"status", "The system at a glance", commands};
