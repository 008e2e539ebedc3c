#include "catalog_commands.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

int64_t catalog_row_id(const json_t *row)
{
    return json_integer_value(json_object_get(row, "id"));
}

static const char *name_of(const json_t *row)
{
    return json_string_value(json_object_get(row, "name"));
}

struct pg_request *catalog_request(struct cli *cli, struct error *err)
{
    struct pg_client *pg = cli_pg(cli, err);
    if (pg == NULL)
        return NULL;
    struct pg_request *request = pg_request_new(pg);
    if (request == NULL)
        error_set(err, ERROR_SYSTEM, true, "out of memory");
    return request;
}

int catalog_run(struct pg_request *request, PGresult **ret_result, struct error *err)
{
    struct pg_copy copy = {0};
    int rc = pg_run(request, &copy, err);
    if (rc)
        return rc;
    *ret_result = copy.results[copy.n - 1];
    copy.results[copy.n - 1] = NULL;
    pg_copy_clear(&copy);
    return 0;
}

static int memory(struct pg_request *request, struct error *err)
{
    pg_request_free(request);
    return error_set(err, ERROR_SYSTEM, true, "out of memory, or a value that is too long");
}

int catalog_find(struct cli *cli, enum catalog_kind kind, const char *reference, int64_t database_id,
                 json_t **ret_row, struct error *err)
{
    struct pg_request *request = catalog_request(cli, err);
    if (request == NULL)
        return err->code;
    if (catalog_add_select(request, kind, reference, database_id))
        return memory(request, err);
    PGresult *result;
    int rc = catalog_run(request, &result, err);
    if (rc)
        return rc;
    rc = catalog_read_one(result, kind, reference, ret_row, err);
    PQclear(result);
    return rc;
}

static int insert(struct cli *cli, enum catalog_kind kind, const json_t *row, int64_t *ret_id,
                  struct error *err)
{
    struct pg_request *request = catalog_request(cli, err);
    if (request == NULL)
        return err->code;
    if (catalog_add_insert(request, kind, row))
        return memory(request, err);
    PGresult *result;
    int rc = catalog_run(request, &result, err);
    if (rc == 0) {
        rc = catalog_read_inserted(result, kind, row, ret_id, err);
        PQclear(result);
    } else if (err->code == ERROR_EXISTS) {
        error_set(err, ERROR_EXISTS, false, "a %s called '%s' exists already", catalog_kind_name(kind),
                  name_of(row));
    }
    return rc;
}

static int update(struct cli *cli, enum catalog_kind kind, const json_t *row, struct error *err)
{
    struct pg_request *request = catalog_request(cli, err);
    if (request == NULL)
        return err->code;
    if (catalog_add_update(request, kind, row, NULL))
        return memory(request, err);
    PGresult *result;
    int rc = catalog_run(request, &result, err);
    if (rc)
        return rc;
    if (PQntuples(result) == 0)
        rc = error_set(err, ERROR_CONFLICT, false, "%s '%s' is gone, or another one has that name already",
                       catalog_kind_name(kind), name_of(row));
    PQclear(result);
    return rc;
}

static int print_saved(struct cli *cli, const struct arguments *args, enum catalog_kind kind, int64_t id,
                       const json_t *row, const char *verb, struct error *err)
{
    if (!args->json) {
        printf("%s '%s' %s (id %lld)\n", catalog_kind_name(kind), name_of(row), verb, (long long)id);
        return 0;
    }
    char reference[24];
    snprintf(reference, sizeof reference, "%lld", (long long)id);
    json_t *saved;
    int rc = catalog_find(cli, kind, reference, 0, &saved, err);
    if (rc)
        return rc;
    output_json(saved);
    json_decref(saved);
    return 0;
}

int catalog_save(struct cli *cli, const struct arguments *args, json_t *current, const json_t *changes,
                 const char *verb, struct error *err)
{
    enum catalog_kind kind = (enum catalog_kind)args->command->kind;
    json_t *row;
    int rc = catalog_apply(kind, current, changes, &cli->settings, clock_wall_ms(), &row, NULL, err);
    if (rc)
        return rc;
    int64_t id = current ? catalog_row_id(current) : 0;
    rc = current ? update(cli, kind, row, err) : insert(cli, kind, row, &id, err);
    if (rc == 0)
        rc = print_saved(cli, args, kind, id, row, verb, err);
    json_decref(row);
    return rc;
}

int catalog_update(struct cli *cli, const struct arguments *args, const json_t *changes, struct error *err)
{
    enum catalog_kind kind = (enum catalog_kind)args->command->kind;
    json_t *row;
    if (json_object_size(changes) == 0)
        return error_set(err, ERROR_INPUT, false, "nothing to change; see backupctl %s update --help",
                         catalog_kind_name(kind));
    int rc = catalog_find(cli, kind, args->operands[0], 0, &row, err);
    if (rc)
        return rc;
    rc = catalog_save(cli, args, row, changes, "updated", err);
    json_decref(row);
    return rc;
}

int catalog_list(struct cli *cli, const struct arguments *args, const struct output_column *columns,
                 struct error *err)
{
    enum catalog_kind kind = (enum catalog_kind)args->command->kind;
    struct pg_request *request = catalog_request(cli, err);
    if (request == NULL)
        return err->code;
    if (catalog_add_select(request, kind, NULL, 0))
        return memory(request, err);
    PGresult *result;
    int rc = catalog_run(request, &result, err);
    if (rc)
        return rc;
    json_t *rows = catalog_read_rows(result, kind);
    PQclear(result);
    char empty[80];
    snprintf(empty, sizeof empty, "no %ss yet; see backupctl %s add --help", catalog_kind_name(kind),
             catalog_kind_name(kind));
    if (args->json)
        output_json(rows);
    else
        output_table(rows, columns, empty);
    json_decref(rows);
    return 0;
}

int run_catalog_remove(struct cli *cli, const struct arguments *args, struct error *err)
{
    enum catalog_kind kind = (enum catalog_kind)args->command->kind;
    json_t *row;
    int rc = catalog_find(cli, kind, args->operands[0], 0, &row, err);
    if (rc)
        return rc;
    struct pg_request *request = catalog_request(cli, err);
    PGresult *result = NULL;
    if (request == NULL)
        rc = err->code;
    else if (catalog_add_remove(request, kind, catalog_row_id(row), NULL))
        rc = memory(request, err);
    else
        rc = catalog_run(request, &result, err);
    if (rc == 0) {
        rc = catalog_read_removed(result, kind, row, err);
        PQclear(result);
    }
    if (rc == 0)
        printf("%s '%s' removed\n", catalog_kind_name(kind), name_of(row));
    json_decref(row);
    return rc;
}

static int set_enabled(struct cli *cli, const struct arguments *args, bool enabled, struct error *err)
{
    enum catalog_kind kind = (enum catalog_kind)args->command->kind;
    json_t *row;
    int rc = catalog_find(cli, kind, args->operands[0], 0, &row, err);
    if (rc)
        return rc;
    json_t *changes = json_pack("{s:b}", kind == CATALOG_DESTINATION ? "enabled" : "is_active", (int)enabled);
    rc = catalog_save(cli, args, row, changes, enabled ? "enabled" : "disabled", err);
    json_decref(changes);
    json_decref(row);
    return rc;
}

int run_catalog_enable(struct cli *cli, const struct arguments *args, struct error *err)
{
    return set_enabled(cli, args, true, err);
}

int run_catalog_disable(struct cli *cli, const struct arguments *args, struct error *err)
{
    return set_enabled(cli, args, false, err);
}
