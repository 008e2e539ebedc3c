/* backupctl status: the whole system on one screen. */
#include <stdio.h>

#include "catalog_commands.h"
#include "cli.h"
#include "output.h"
#include "queue_stats.h"
#include "redis_ask.h"
#include "store/status.h"

static int ask(struct cli *cli, json_t **ret_status, struct error *err)
{
    struct pg_request *request = catalog_request(cli, err);
    if (request == NULL)
        return err->code;
    if (status_add(request, 0)) {
        pg_request_free(request);
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    struct pg_copy copy = {0};
    int rc = pg_run(request, &copy, err);
    if (rc)
        return rc;
    *ret_status = status_read(copy.results);
    pg_copy_clear(&copy);
    return *ret_status ? 0 : error_set(err, ERROR_SYSTEM, true, "out of memory");
}

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
    json_t *status = NULL;
    json_t *rows = NULL;
    json_t *queues = NULL;
    int rc = ask(cli, &status, err);
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
