/* backupctl migrate: the schema up, down, and where it stands. */
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"
#include "output.h"
#include "store/migrate.h"

static void on_step(void *data, enum migrate_direction direction, int version, const char *name)
{
    (void)version;
    ++*(int *)data;
    printf("%s %s\n", direction == MIGRATE_UP ? "applied" : "undone ", name);
}

static int url_of(struct cli *cli, const char **ret_url, struct error *err)
{
    if (cli_pg(cli, err) == NULL)
        return err->code;
    *ret_url = cli->settings.database_url;
    return 0;
}

static int run_up(struct cli *cli, const struct arguments *args, struct error *err)
{
    const char *url = NULL;
    int64_t to = MIGRATE_ALL;
    int steps = 0;
    if (url_of(cli, &url, err) || arguments_number(args, "to", 0, 999, &to, err))
        return err->code;
    int rc = migrate_up(url, (int)to, on_step, &steps, err);
    if (rc == 0 && steps == 0)
        puts("nothing to do: the schema is up to date");
    return rc;
}

static int run_down(struct cli *cli, const struct arguments *args, struct error *err)
{
    const char *url = NULL;
    int64_t to = MIGRATE_ONE_STEP;
    int steps = 0;
    if (url_of(cli, &url, err) || arguments_number(args, "to", 0, 999, &to, err))
        return err->code;
    int rc = migrate_down(url, (int)to, on_step, &steps, err);
    if (rc == 0 && steps == 0)
        puts("nothing to undo");
    return rc;
}

static int run_status(struct cli *cli, const struct arguments *args, struct error *err)
{
    static const struct output_column columns[] = {{"VERSION", "version", OUTPUT_NUMBER},
                                                   {"NAME", "name", OUTPUT_TEXT},
                                                   {"STATE", "state", OUTPUT_TEXT},
                                                   {"APPLIED AT (UTC)", "applied_at", OUTPUT_TIME},
                                                   {"CAN BE UNDONE", "reversible", OUTPUT_YESNO},
                                                   {"CHECKSUM", "checksum", OUTPUT_CHECKSUM},
                                                   {NULL, NULL, OUTPUT_TEXT}};
    const char *url = NULL;
    struct migrate_row *rows;
    size_t n;
    if (url_of(cli, &url, err) || migrate_status(url, &rows, &n, err))
        return err->code;
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list,
                              json_pack("{s:i, s:s, s:s, s:s?, s:s, s:b}", "version", rows[i].version, "name",
                                        rows[i].name, "state", migrate_state_name(rows[i].state),
                                        "applied_at", *rows[i].applied_at ? rows[i].applied_at : NULL,
                                        "checksum", rows[i].checksum, "reversible", rows[i].reversible));
    if (args->json)
        output_json(list);
    else
        output_table(list, columns, "this program has no migrations");
    json_decref(list);
    free(rows);
    return 0;
}

static const struct flag to_flag[] = {
    {"to", "N", "stop there: version N stays or becomes the newest one", NULL, true}, {0}};

static const struct command commands[] = {
    {.name = "up",
     .operands = "",
     .summary = "Apply the migrations that are missing",
     .flags = to_flag,
     .run = run_up},
    {.name = "down",
     .operands = "",
     .summary = "Undo the newest migration, or all above --to N",
     .details = "Undoing 001 keeps one destination per backup: the one with the lowest priority number.",
     .flags = to_flag,
     .run = run_down},
    {.name = "status",
     .operands = "",
     .summary = "Show which migrations are applied",
     .prints_data = true,
     .run = run_status},
    {0}};

const struct group group_migrate = {"migrate", "The database schema", commands};
