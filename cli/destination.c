/* backupctl destination: where copies go. `destination test` is in destination_test.c. */
#include <stdio.h>

#include "auth/secret.h"
#include "catalog_commands.h"
#include "destination_config.h"
#include "destination_sweep.h"
#include "destination_test.h"

static int run_add(struct cli *cli, const struct arguments *args, struct error *err)
{
    if (!arguments_has(args, "type"))
        return error_set(err, ERROR_INPUT, false,
                         "destination add needs --type, for example --type local --base-path /var/backups");
    json_t *changes;
    int rc = arguments_columns(args, &changes, err);
    if (rc)
        return rc;
    json_object_set_new(changes, "name", json_string(args->operands[0]));
    rc = destination_config_settle(cli, args, changes, err);
    if (rc == 0)
        rc = catalog_save(cli, args, NULL, changes, "added", err);
    secret_json_free(changes);
    return rc;
}

static int run_update(struct cli *cli, const struct arguments *args, struct error *err)
{
    json_t *changes;
    int rc = arguments_columns(args, &changes, err);
    if (rc)
        return rc;
    if (arguments_has(args, "accept-disk"))
        json_object_set_new(changes, "accept_disk", json_true());
    rc = destination_config_settle(cli, args, changes, err);
    if (rc == 0)
        rc = catalog_update(cli, args, changes, err);
    secret_json_free(changes);
    return rc;
}

static int run_list(struct cli *cli, const struct arguments *args, struct error *err)
{
    static const struct output_column columns[] = {{"ID", "id", OUTPUT_NUMBER},
                                                   {"NAME", "name", OUTPUT_TEXT},
                                                   {"TYPE", "storage_type", OUTPUT_TEXT},
                                                   {"BASE PATH", "base_path", OUTPUT_TEXT},
                                                   {"PRIORITY", "priority", OUTPUT_NUMBER},
                                                   {"QUEUE", "queue", OUTPUT_TEXT},
                                                   {"AT ONCE", "max_concurrent", OUTPUT_NUMBER},
                                                   {"ENABLED", "enabled", OUTPUT_YESNO},
                                                   {NULL, NULL, OUTPUT_TEXT}};
    return catalog_list(cli, args, columns, err);
}

static int run_show(struct cli *cli, const struct arguments *args, struct error *err)
{
    static const struct output_column facts[] = {{"Destination", "name", OUTPUT_TEXT},
                                                 {"Id", "id", OUTPUT_NUMBER},
                                                 {"Type", "storage_type", OUTPUT_TEXT},
                                                 {"Base path", "base_path", OUTPUT_TEXT},
                                                 {"Config", "storage_config", OUTPUT_TEXT},
                                                 {"Credentials", "credentials_ref", OUTPUT_TEXT},
                                                 {"Disk", "disk_identity", OUTPUT_TEXT},
                                                 {"Path template", "path_template", OUTPUT_TEXT},
                                                 {"Priority", "priority", OUTPUT_NUMBER},
                                                 {"Queue", "queue", OUTPUT_TEXT},
                                                 {"Uploads at once", "max_concurrent", OUTPUT_NUMBER},
                                                 {"Bytes per second", "bandwidth_limit", OUTPUT_SIZE},
                                                 {"Enabled", "enabled", OUTPUT_YESNO},
                                                 {"Created", "created_at", OUTPUT_TIME},
                                                 {NULL, NULL, OUTPUT_TEXT}};
    static const struct output_column databases[] = {{"SERVES DATABASE", "database", OUTPUT_TEXT},
                                                     {"ONLY FOR SCHEDULE", "schedule", OUTPUT_TEXT},
                                                     {"PRIORITY", "priority", OUTPUT_NUMBER},
                                                     {"ENABLED", "enabled", OUTPUT_YESNO},
                                                     {NULL, NULL, OUTPUT_TEXT}};
    json_t *row;
    int rc = catalog_find(cli, CATALOG_DESTINATION, args->operands[0], 0, &row, err);
    if (rc)
        return rc;
    if (args->json) {
        output_json(row);
    } else {
        output_facts(row, facts);
        putchar('\n');
        output_table(json_object_get(row, "databases"), databases,
                     "serves no database yet; see backupctl destination assign --help");
    }
    json_decref(row);
    return 0;
}

/* --- assign, unassign --- */

struct assignment {
    json_t *destination;
    json_t *database;
    json_t *schedule; /* NULL = all */
};

static void assignment_deinit(struct assignment *a)
{
    json_decref(a->destination);
    json_decref(a->database);
    json_decref(a->schedule);
}

static int assignment_find(struct cli *cli, const struct arguments *args, struct assignment *a,
                           struct error *err)
{
    const char *database = arguments_get(args, "database");
    const char *schedule = arguments_get(args, "schedule");
    if (database == NULL)
        return error_set(err, ERROR_INPUT, false, "destination %s needs --database", args->command->name);
    int rc = catalog_find(cli, CATALOG_DESTINATION, args->operands[0], 0, &a->destination, err);
    if (rc == 0)
        rc = catalog_find(cli, CATALOG_DATABASE, database, 0, &a->database, err);
    if (rc == 0 && schedule)
        rc = catalog_find(cli, CATALOG_SCHEDULE, schedule, catalog_row_id(a->database), &a->schedule, err);
    if (rc == ERROR_NOT_FOUND && schedule && a->database)
        return error_set(err, ERROR_NOT_FOUND, false,
                         "database '%s' has no schedule called '%s'; see backupctl schedule list", database,
                         schedule);
    return rc;
}

static void assignment_print(const struct assignment *a, const char *verb)
{
    printf("destination '%s' %s database '%s'", json_string_value(json_object_get(a->destination, "name")),
           verb, json_string_value(json_object_get(a->database, "name")));
    if (a->schedule)
        printf(", schedule '%s'", json_string_value(json_object_get(a->schedule, "name")));
    putchar('\n');
}

static int run_assign(struct cli *cli, const struct arguments *args, struct error *err)
{
    struct assignment a = {0};
    int64_t priority = -1;
    int rc = arguments_number(args, "priority", 0, INT32_MAX, &priority, err);
    if (rc == 0)
        rc = assignment_find(cli, args, &a, err);
    struct pg_request *request = rc ? NULL : catalog_request(cli, err);
    PGresult *result = NULL;
    if (request) {
        if (catalog_add_assign(request, catalog_row_id(a.destination), catalog_row_id(a.database),
                               a.schedule ? catalog_row_id(a.schedule) : 0, priority)) {
            pg_request_free(request);
            rc = error_set(err, ERROR_SYSTEM, true, "out of memory");
        } else {
            rc = catalog_run(request, &result, err);
        }
    } else if (rc == 0) {
        rc = err->code;
    }
    if (rc == 0)
        assignment_print(&a, "serves");
    PQclear(result);
    assignment_deinit(&a);
    return rc;
}

static int run_unassign(struct cli *cli, const struct arguments *args, struct error *err)
{
    struct assignment a = {0};
    int rc = assignment_find(cli, args, &a, err);
    struct pg_request *request = rc ? NULL : catalog_request(cli, err);
    PGresult *result = NULL;
    if (request) {
        if (catalog_add_unassign(request, catalog_row_id(a.destination), catalog_row_id(a.database),
                                 a.schedule ? catalog_row_id(a.schedule) : 0)) {
            pg_request_free(request);
            rc = error_set(err, ERROR_SYSTEM, true, "out of memory");
        } else {
            rc = catalog_run(request, &result, err);
        }
    } else if (rc == 0) {
        rc = err->code;
    }
    if (rc == 0 && PQntuples(result) == 0)
        rc = error_set(err, ERROR_NOT_FOUND, false,
                       "destination '%s' is not assigned like that; see backupctl destination show %s",
                       args->operands[0], args->operands[0]);
    else if (rc == 0)
        assignment_print(&a, "no longer serves");
    PQclear(result);
    assignment_deinit(&a);
    return rc;
}

#define SHARED_FLAGS                                                                                         \
    {"type", "TYPE", "local, local_external, s3, minio, spaces, backblaze, azure_blob or gcs",               \
     "storage_type", false},                                                                                 \
        {"base-path", "DIR", "disks: an existing directory", "base_path", false},                            \
        {"config", "JSON", "settings of the type; @FILE and - (standard input) read them", "storage_config", \
         false},                                                                                             \
        {"encrypt-config", NULL, "encrypt the secrets in --config (BM_ENCRYPTION_KEY_REF)", NULL, false},    \
        {"credentials-ref", "REF",                                                                           \
         "where the secret lives: env:, file:, vault: or aws-sm:", "credentials_ref", false},                \
        {"priority", "N", "0 goes first (default)", "priority", true},                                       \
        {"queue", "Q", "queue of the workers that reach it, default 'default'", "queue", false},             \
        {"max-concurrent", "N", "uploads at once, default no limit", "max_concurrent", true},                \
        {"bandwidth-limit", "BYTES", "bytes per second, default no limit", "bandwidth_limit", true},         \
    {                                                                                                        \
        "path-template", "TEXT", "default {database}/{yyyy}/{mm}/{dd}/{name}.{ext}", "path_template", false  \
    }

#define CONFIG_HELP                                                                                          \
    "Secrets don't belong into --config but into --credentials-ref. Where they must, give the settings by\n" \
    "@FILE or -, so that they never stand in a list of processes, and have them encrypted."

static const struct flag add_flags[] = {SHARED_FLAGS, {0}};
static const struct flag update_flags[] = {
    {"name", "NAME", "a new name", "name", false},
    SHARED_FLAGS,
    {"accept-disk", NULL, "the disk that is mounted there now is the right one", NULL, false},
    {0}};
static const struct flag assign_flags[] = {
    {"database", "D", "the database it serves", NULL, false},
    {"schedule", "S", "only for backups of this schedule", NULL, false},
    {"priority", "N", "instead of the destination's own", NULL, true},
    {0}};
static const struct flag sweep_flags[] = {
    {"older-than", "HOURS", "abort those that began so long ago (default 24)", NULL, true},
    {"dry-run", NULL, "list only", NULL, false},
    {0}};
static const struct flag unassign_flags[] = {
    {"database", "D", "the database it serves", NULL, false},
    {"schedule", "S", "the assignment to this schedule", NULL, false},
    {0}};

static const struct command commands[] = {
    {"add", "NAME", "Add a place for copies",
     "Any existing directory will do, a mount point or not.\n" CONFIG_HELP, 1, 1, false, true,
     CATALOG_DESTINATION, add_flags, run_add},
    {"assign", "NAME", "Let it hold the backups of a database", NULL, 1, 1, false, false, 0, assign_flags,
     run_assign},
    {"unassign", "NAME", "Stop that; copies stay", NULL, 1, 1, false, false, 0, unassign_flags, run_unassign},
    {"test", "NAME", "Write, read and delete a probe, step by step", NULL, 1, 1, false, true, 0, NULL,
     run_destination_test},
    {"sweep", "NAME", "List uploads begun and never ended, abort old ones",
     "Of ours only: at the paths of copies, or below the destination's prefix. What an unfinished copy will take up\n"
     "again is left alone.",
     1, 1, false, true, 0, sweep_flags, run_destination_sweep},
    {"list", "", "List the destinations", NULL, 0, 0, false, true, CATALOG_DESTINATION, NULL, run_list},
    {"show", "NAME", "Show a destination and what it serves", NULL, 1, 1, false, true, CATALOG_DESTINATION,
     NULL, run_show},
    {"update", "NAME", "Change a destination", "An empty value clears a setting.\n" CONFIG_HELP, 1, 1, false,
     true, CATALOG_DESTINATION, update_flags, run_update},
    {"remove", "NAME", "Remove it from the configuration; copies stay", NULL, 1, 1, false, false,
     CATALOG_DESTINATION, NULL, run_catalog_remove},
    {"enable", "NAME", "Use it for new backups again", NULL, 1, 1, false, true, CATALOG_DESTINATION, NULL,
     run_catalog_enable},
    {"disable", "NAME", "Keep it, without new copies", NULL, 1, 1, false, true, CATALOG_DESTINATION, NULL,
     run_catalog_disable},
    {0}};

const struct group group_destination = {"destination", "Destinations: where copies go", commands};
