/* backupctl database: what is backed up. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog_commands.h"

/* The words after `--` as source_argv. */
static int add_command(const struct arguments *args, json_t *changes, struct error *err)
{
    if (args->n_rest == 0)
        return 0;
    json_t *words = json_array();
    for (int i = 0; i < args->n_rest; i++) {
        if (json_array_append_new(words, json_string(args->rest[i]))) {
            json_decref(words);
            return error_set(err, ERROR_INPUT, false, "word %d of the command is not valid UTF-8", i + 1);
        }
    }
    char *text = json_dumps(words, JSON_COMPACT);
    json_decref(words);
    json_object_set_new(changes, "source_argv", json_string(text));
    free(text);
    return 0;
}

/* --group by name or id; an empty one takes it out of its group. */
static int add_group(struct cli *cli, const struct arguments *args, json_t *changes, struct error *err)
{
    const char *group = arguments_get(args, "group");
    json_t *row;
    if (group == NULL)
        return 0;
    if (*group == '\0') {
        json_object_set_new(changes, "group_id", json_null());
        return 0;
    }
    int rc = catalog_find(cli, CATALOG_GROUP, group, 0, &row, err);
    if (rc)
        return rc;
    json_object_set(changes, "group_id", json_object_get(row, "id"));
    json_decref(row);
    return 0;
}

static int changes_of(struct cli *cli, const struct arguments *args, json_t **ret_changes, struct error *err)
{
    json_t *changes;
    int rc = arguments_columns(args, &changes, err);
    if (rc)
        return rc;
    rc = add_command(args, changes, err);
    if (rc == 0)
        rc = add_group(cli, args, changes, err);
    if (rc) {
        json_decref(changes);
        return rc;
    }
    *ret_changes = changes;
    return 0;
}

static int run_add(struct cli *cli, const struct arguments *args, struct error *err)
{
    json_t *changes;
    if (!arguments_has(args, "type"))
        return error_set(err, ERROR_INPUT, false,
                         "database add needs --type postgresql, file, directory or command");
    int rc = changes_of(cli, args, &changes, err);
    if (rc)
        return rc;
    json_object_set_new(changes, "name", json_string(args->operands[0]));
    rc = catalog_save(cli, args, NULL, changes, "added", err);
    json_decref(changes);
    return rc;
}

static int run_update(struct cli *cli, const struct arguments *args, struct error *err)
{
    json_t *changes;
    int rc = changes_of(cli, args, &changes, err);
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
                                                   {"TYPE", "db_type", OUTPUT_TEXT},
                                                   {"HOST", "host", OUTPUT_TEXT},
                                                   {"ACTIVE", "is_active", OUTPUT_YESNO},
                                                   {"LAST BACKUP (UTC)", "last_backup_at", OUTPUT_TIME},
                                                   {NULL, NULL, OUTPUT_TEXT}};
    return catalog_list(cli, args, columns, err);
}

static int run_show(struct cli *cli, const struct arguments *args, struct error *err)
{
    static const struct output_column facts[] = {{"Database", "name", OUTPUT_TEXT},
                                                 {"Id", "id", OUTPUT_NUMBER},
                                                 {"Description", "description", OUTPUT_TEXT},
                                                 {"Type", "db_type", OUTPUT_TEXT},
                                                 {"Host", "host", OUTPUT_TEXT},
                                                 {"Port", "port", OUTPUT_NUMBER},
                                                 {"User", "username", OUTPUT_TEXT},
                                                 {"Database name", "database_name", OUTPUT_TEXT},
                                                 {"Password", "password_ref", OUTPUT_TEXT},
                                                 {"Path", "source_path", OUTPUT_TEXT},
                                                 {"Command", "source_argv", OUTPUT_TEXT},
                                                 {"Group", "group", OUTPUT_TEXT},
                                                 {"Active", "is_active", OUTPUT_YESNO},
                                                 {"Last backup", "last_backup_at", OUTPUT_TIME},
                                                 {"Created", "created_at", OUTPUT_TIME},
                                                 {NULL, NULL, OUTPUT_TEXT}};
    static const struct output_column destinations[] = {
        {"DESTINATION", "name", OUTPUT_TEXT},    {"TYPE", "storage_type", OUTPUT_TEXT},
        {"PRIORITY", "priority", OUTPUT_NUMBER}, {"ONLY FOR SCHEDULE", "schedule", OUTPUT_TEXT},
        {"ENABLED", "enabled", OUTPUT_YESNO},    {NULL, NULL, OUTPUT_TEXT}};
    json_t *row;
    int rc = catalog_find(cli, CATALOG_DATABASE, args->operands[0], 0, &row, err);
    if (rc)
        return rc;
    if (args->json) {
        output_json(row);
    } else {
        output_facts(row, facts);
        putchar('\n');
        output_table(json_object_get(row, "destinations"), destinations,
                     "no destination assigned; see backupctl destination assign --help");
    }
    json_decref(row);
    return 0;
}

#define SHARED_FLAGS                                                                                         \
    {"type", "TYPE", "postgresql, file, directory or command", "db_type", false},                            \
        {"description", "TEXT", "what it is", "description", false},                                         \
        {"group", "NAME", "the group it belongs to", NULL, false},                                           \
        {"host", "HOST", "server, or the directory of its unix socket", "host", false},                      \
        {"port", "PORT", "default 5432", "port", true},                                                      \
        {"username", "USER", "login role", "username", false},                                               \
        {"database-name", "NAME", "the database on that server", "database_name", false},                    \
        {"password-ref", "REF", "where the password lives: env:, file:, vault: or aws-sm:", "password_ref",  \
         false},                                                                                             \
    {                                                                                                        \
        "path", "PATH", "the file or directory", "source_path", false                                        \
    }

static const struct flag add_flags[] = {SHARED_FLAGS, {0}};
static const struct flag update_flags[] = {{"name", "NAME", "a new name", "name", false}, SHARED_FLAGS, {0}};

static const struct command commands[] = {
    {"add", "NAME", "Add a source of backups",
     "A command is given after --: backupctl database add NAME --type command -- PROGRAM ARGUMENT...\n"
     "It runs without a shell; what it writes to its standard output is the backup. Of the worker's environment it\n"
     "gets PATH, HOME and the like, and the variables that the worker's BM_COMMAND_ENVIRONMENT names.",
     1, 1, true, true, CATALOG_DATABASE, add_flags, run_add},
    {"list", "", "List the databases", NULL, 0, 0, false, true, CATALOG_DATABASE, NULL, run_list},
    {"show", "NAME", "Show a database and its destinations", NULL, 1, 1, false, true, CATALOG_DATABASE, NULL,
     run_show},
    {"update", "NAME", "Change a database", "An empty value clears a setting. A command is given after --.",
     1, 1, true, true, CATALOG_DATABASE, update_flags, run_update},
    {"remove", "NAME", "Remove a database without backups, and its schedules", NULL, 1, 1, false, false,
     CATALOG_DATABASE, NULL, run_catalog_remove},
    {"enable", "NAME", "Back it up again when its schedules are due", NULL, 1, 1, false, true,
     CATALOG_DATABASE, NULL, run_catalog_enable},
    {"disable", "NAME", "Keep it, without scheduled backups", NULL, 1, 1, false, true, CATALOG_DATABASE, NULL,
     run_catalog_disable},
    {0}};

const struct group group_database = {"database", "Databases: what is backed up", commands};
