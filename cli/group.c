/* backupctl group: databases that belong together. */
#include "catalog_commands.h"

static int run_add(struct cli *cli, const struct arguments *args, struct error *err)
{
    json_t *changes;
    int rc = arguments_columns(args, &changes, err);
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
    int rc = arguments_columns(args, &changes, err);
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
                                                   {"DATABASES", "database_count", OUTPUT_NUMBER},
                                                   {"DESCRIPTION", "description", OUTPUT_TEXT},
                                                   {NULL, NULL, OUTPUT_TEXT}};
    return catalog_list(cli, args, columns, err);
}

static const struct flag add_flags[] = {{"description", "TEXT", "what it is for", "description", false}, {0}};
static const struct flag update_flags[] = {{"name", "NAME", "a new name", "name", false},
                                           {"description", "TEXT", "what it is for", "description", false},
                                           {0}};

static const struct command commands[] = {
    {"add", "NAME", "Add a group", NULL, 1, 1, false, true, CATALOG_GROUP, add_flags, run_add},
    {"list", "", "List the groups", NULL, 0, 0, false, true, CATALOG_GROUP, NULL, run_list},
    {"update", "NAME", "Change a group", NULL, 1, 1, false, true, CATALOG_GROUP, update_flags, run_update},
    {"remove", "NAME", "Remove a group that no database is in", NULL, 1, 1, false, false, CATALOG_GROUP, NULL,
     run_catalog_remove},
    {0}};

const struct group group_group = {"group", "Groups: databases that belong together", commands};
