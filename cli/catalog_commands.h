/* What databases, destinations and schedules have in common on the command line. */
#pragma once

#include "cli.h"
#include "output.h"
#include "store/catalog.h"

/* The row that reference (name or id) means; database_id narrows schedules, 0 = any. New reference. */
int catalog_find(struct cli *cli, enum catalog_kind kind, const char *reference, int64_t database_id,
                 json_t **ret_row, struct error *err);
int64_t catalog_row_id(const json_t *row);

/* Runs `request` (freed in every case); the last statement's result goes to *ret_result (PQclear it). */
int catalog_run(struct pg_request *request, PGresult **ret_result, struct error *err);
/* A new request or NULL with err filled. */
struct pg_request *catalog_request(struct cli *cli, struct error *err);

/* Checks changes against the present row (NULL = new), writes, and reports: "NAME added (id N)" or the row as
 * JSON. */
int catalog_save(struct cli *cli, const struct arguments *args, json_t *current, const json_t *changes,
                 const char *verb, struct error *err);

/* The same for the row that the command names; without any change ERROR_INPUT. */
int catalog_update(struct cli *cli, const struct arguments *args, const json_t *changes, struct error *err);

/* Commands that are the same for every kind (command->kind): */
int catalog_list(struct cli *cli, const struct arguments *args, const struct output_column *columns,
                 struct error *err);
int run_catalog_remove(struct cli *cli, const struct arguments *args, struct error *err);
int run_catalog_enable(struct cli *cli, const struct arguments *args, struct error *err);
int run_catalog_disable(struct cli *cli, const struct arguments *args, struct error *err);
