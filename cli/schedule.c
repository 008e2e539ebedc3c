/* backupctl schedule: when a database is backed up. */
#include <stdio.h>

#include "catalog_commands.h"

/* --cron and --interval decide the type. */
static int changes_of(const struct arguments *args, json_t **ret_changes, struct error *err)
{
    const char *cron = arguments_get(args, "cron");
    const char *interval = arguments_get(args, "interval");
    if (cron && interval)
        return error_set(err, ERROR_INPUT, false, "give either --cron or --interval");
    json_t *changes;
    int rc = arguments_columns(args, &changes, err);
    if (rc)
        return rc;
    if (cron || interval) {
        json_object_set_new(changes, "schedule_type", json_string(cron ? "cron" : "interval"));
        json_object_set_new(changes, cron ? "interval_value" : "cron_expression", json_null());
    }
    *ret_changes = changes;
    return 0;
}

static int run_add(struct cli *cli, const struct arguments *args, struct error *err)
{
    const char *database = arguments_get(args, "database");
    if (database == NULL)
        return error_set(err, ERROR_INPUT, false, "schedule add needs --database: what is to be backed up");
    if (!arguments_has(args, "cron") && !arguments_has(args, "interval"))
        return error_set(err, ERROR_INPUT, false,
                         "schedule add needs --cron, for example --cron '30 2 * * *' (or --interval)");
    json_t *changes;
    json_t *row;
    int rc = changes_of(args, &changes, err);
    if (rc)
        return rc;
    rc = catalog_find(cli, CATALOG_DATABASE, database, 0, &row, err);
    if (rc == 0) {
        json_object_set_new(changes, "name", json_string(args->operands[0]));
        json_object_set(changes, "database_id", json_object_get(row, "id"));
        json_decref(row);
        rc = catalog_save(cli, args, NULL, changes, "added", err);
    }
    json_decref(changes);
    return rc;
}

static int run_update(struct cli *cli, const struct arguments *args, struct error *err)
{
    json_t *changes;
    int rc = changes_of(args, &changes, err);
    if (rc)
        return rc;
    rc = catalog_update(cli, args, changes, err);
    json_decref(changes);
    return rc;
}

static int run_list(struct cli *cli, const struct arguments *args, struct error *err)
{
    static const struct output_column columns[] = {{"ID", "id", OUTPUT_NUMBER},
                                                   {"NAME", "name", OUTPUT_TEXT},
                                                   {"DATABASE", "database", OUTPUT_TEXT},
                                                   {"CRON", "cron_expression", OUTPUT_TEXT},
                                                   {"INTERVAL", "interval_value", OUTPUT_TEXT},
                                                   {"TIME ZONE", "timezone", OUTPUT_TEXT},
                                                   {"NEXT RUN (UTC)", "next_run_at", OUTPUT_TIME},
                                                   {"ACTIVE", "is_active", OUTPUT_YESNO},
                                                   {NULL, NULL, OUTPUT_TEXT}};
    return catalog_list(cli, args, columns, err);
}

static int run_show(struct cli *cli, const struct arguments *args, struct error *err)
{
    static const struct output_column facts[] = {{"Schedule", "name", OUTPUT_TEXT},
                                                 {"Id", "id", OUTPUT_NUMBER},
                                                 {"Description", "description", OUTPUT_TEXT},
                                                 {"Database", "database", OUTPUT_TEXT},
                                                 {"Type", "schedule_type", OUTPUT_TEXT},
                                                 {"Cron", "cron_expression", OUTPUT_TEXT},
                                                 {"Interval", "interval_value", OUTPUT_TEXT},
                                                 {"Time zone", "timezone", OUTPUT_TEXT},
                                                 {"Missed runs", "misfire_policy", OUTPUT_TEXT},
                                                 {"Ordering", "ordering", OUTPUT_TEXT},
                                                 {"Active", "is_active", OUTPUT_YESNO},
                                                 {"Last run", "last_run_at", OUTPUT_TIME},
                                                 {"Next run", "next_run_at", OUTPUT_TIME},
                                                 {NULL, NULL, OUTPUT_TEXT}};
    json_t *row;
    int rc = catalog_find(cli, CATALOG_SCHEDULE, args->operands[0], 0, &row, err);
    if (rc)
        return rc;
    if (args->json)
        output_json(row);
    else
        output_facts(row, facts);
    json_decref(row);
    return 0;
}

#define SHARED_FLAGS                                                                                         \
    {"cron", "EXPR", "minute hour day month weekday, or @daily and friends", "cron_expression", false},      \
        {"interval", "WORD", "hourly, daily, weekly or monthly, instead of --cron", "interval_value",        \
         false},                                                                                             \
        {"timezone", "TZ", "IANA name, default UTC", "timezone", false},                                     \
        {"ordering", "WORD", "parallel (default) or sequential by priority", "ordering", false},             \
        {"misfire", "WORD", "runs that were missed: skip, once (default) or all", "misfire_policy", false},  \
    {                                                                                                        \
        "description", "TEXT", "what it is for", "description", false                                        \
    }

static const struct flag add_flags[] = {
    {"database", "D", "what is to be backed up", NULL, false}, SHARED_FLAGS, {0}};
static const struct flag update_flags[] = {{"name", "NAME", "a new name", "name", false}, SHARED_FLAGS, {0}};

static const struct command commands[] = {
    {"add", "NAME", "Back up a database at fixed times", NULL, 1, 1, false, true, CATALOG_SCHEDULE, add_flags,
     run_add},
    {"list", "", "List the schedules", NULL, 0, 0, false, true, CATALOG_SCHEDULE, NULL, run_list},
    {"show", "NAME", "Show a schedule", NULL, 1, 1, false, true, CATALOG_SCHEDULE, NULL, run_show},
    {"update", "NAME", "Change a schedule", NULL, 1, 1, false, true, CATALOG_SCHEDULE, update_flags,
     run_update},
    {"remove", "NAME", "Remove a schedule; its backups stay", NULL, 1, 1, false, false, CATALOG_SCHEDULE,
     NULL, run_catalog_remove},
    {"enable", "NAME", "Let it run again, from now on", NULL, 1, 1, false, true, CATALOG_SCHEDULE, NULL,
     run_catalog_enable},
    {"disable", "NAME", "Keep it, without running it", NULL, 1, 1, false, true, CATALOG_SCHEDULE, NULL,
     run_catalog_disable},
    {0}};

const struct group group_schedule = {"schedule", "Schedules: when it is backed up", commands};
