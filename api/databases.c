/* /api/databases: what is backed up, shown with what became of it: one statement, databases_list.sql. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "catalog.h"
#include "configuration.h"
#include "page.h"
#include "problem.h"
#include "store/json_rows.h"

#define LIMIT_DEFAULT 50
#define LIMIT_MAX 200

extern const char bm_sql_databases_list[];

/* $1 to $7 */
enum { ONE, AFTER_ID, HOW_MANY, TEXT_IN, OF_GROUP, IS_ACTIVE, AS_ADMIN, N_VALUES };

static int add_select(struct pg_request *question, const struct http_request *request,
                      const char *const values[N_VALUES])
{
    static const struct pg_statement select = {"api_databases", bm_sql_databases_list, N_VALUES};
    const char *all[N_VALUES];
    memcpy(all, values, sizeof all);
    all[AS_ADMIN] = http_request_identity(request)->role >= ROLE_ADMIN ? "true" : "false";
    return pg_request_add(question, &select, all);
}

/* Of the command the program alone: people write passwords among the arguments. It is kept as text that holds
 * JSON; an older row may hold anything. */
static json_t *read_rows(const PGresult *result)
{
    json_t *rows = json_rows(result), *row;
    size_t i;
    json_array_foreach(rows, i, row)
    {
        const char *text = json_string_value(json_object_get(row, "source_argv"));
        json_t *argv = text ? json_loads(text, 0, NULL) : NULL, *program = json_array_get(argv, 0);
        json_object_del(row, "source_argv");
        json_object_set(row, "source_program", json_is_string(program) ? program : json_null());
        json_decref(argv);
    }
    return rows;
}

/* --- the list --- */

static void on_list(struct ask *ask, const struct pg_results *results)
{
    json_t *rows = read_rows(ask_result(ask, results, 0));
    if (rows == NULL)
        log_error("rows of databases can't be made into JSON: out of memory, or text that is not UTF-8");
    page_reply(ask->request, ask->data, "databases", rows);
}

void databases_list(struct api *api, struct http_request *request)
{
    enum { LIMIT, AFTER, Q, GROUP, ACTIVE, FIELDS };
    static const struct input_field fields[FIELDS] = {
        [LIMIT] = {"limit", INPUT_INTEGER, .min = 1, .max = LIMIT_MAX},
        [AFTER] = {"after", INPUT_INTEGER, .min = 1, .max = INT32_MAX, .hint = "a database's id"},
        [Q] = {"q", INPUT_TEXT, .min = 1, .max = 200},
        [GROUP] = {"group_id", INPUT_INTEGER, .min = 1, .max = INT32_MAX, .hint = "a group's id"},
        [ACTIVE] = {"active", INPUT_BOOLEAN},
    };
    const struct input *input = input_query(request, fields, FIELDS);
    if (input == NULL)
        return;
    const struct input_value *values = input->values;
    struct page *page = calloc(1, sizeof *page);
    if (!http_keep(request, page, free)) {
        problem_reply(request, 503, "out of memory");
        return;
    }
    page->limit = values[LIMIT].given ? values[LIMIT].integer : LIMIT_DEFAULT;
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)page->limit + 1);
    const char *active = values[ACTIVE].boolean ? "true" : "false";
    struct ask *ask = ask_new(api, request, on_list, page);
    if (ask)
        ask_send(ask, add_select(ask->question, request,
                                 (const char *const[N_VALUES]){NULL, values[AFTER].text, text, values[Q].text,
                                                               values[GROUP].text,
                                                               values[ACTIVE].given ? active : NULL, NULL}));
}

/* --- one --- */

static int add_shown(struct pg_request *question, const struct http_request *request, int64_t id)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)id);
    return add_select(question, request,
                      (const char *const[N_VALUES]){text, NULL, "1", NULL, NULL, NULL, NULL});
}

static json_t *read_shown(const PGresult *result)
{
    json_t *rows = read_rows(result);
    json_t *row = json_incref(json_array_get(rows, 0));
    json_decref(rows);
    return row;
}

enum {
    NAME,
    DESCRIPTION,
    TYPE,
    HOST,
    PORT,
    USERNAME,
    DATABASE_NAME,
    PASSWORD_REF,
    SOURCE_PATH,
    SOURCE_ARGV,
    ACTIVE_NOW,
    GROUP_ID,
    BODY_FIELDS
};
static const char *const types[] = {"postgresql", "file", "directory", "command", NULL};
static const struct input_field body_fields[BODY_FIELDS] = {
    [NAME] = {"name", INPUT_TEXT, INPUT_REQUIRED, .min = 1, .max = 200},
    [DESCRIPTION] = {"description", INPUT_TEXT, INPUT_NULLABLE | INPUT_LINES, .max = 4000},
    [TYPE] = {"db_type", INPUT_CHOICE, INPUT_REQUIRED, .choices = types},
    [HOST] = {"host", INPUT_TEXT, INPUT_NULLABLE, .min = 1, .max = 1000,
              .hint = "a host's name or address, or the directory of a unix socket"},
    [PORT] = {"port", INPUT_INTEGER, INPUT_NULLABLE, .min = 1, .max = 65535},
    [USERNAME] = {"username", INPUT_TEXT, INPUT_NULLABLE, .min = 1, .max = 200},
    [DATABASE_NAME] = {"database_name", INPUT_TEXT, INPUT_NULLABLE, .min = 1, .max = 200},
    [PASSWORD_REF] =
        {"password_ref", INPUT_TEXT, INPUT_NULLABLE | INPUT_SECRET, .min = 1, .max = 500,
         .hint = "where the password lives: env:NAME, file:/run/secrets/x, vault:mount/path#field or "
                 "aws-sm:id#field"},
    [SOURCE_PATH] = {"source_path", INPUT_TEXT, INPUT_NULLABLE, .min = 1, .max = 4000,
                     .hint = "a file or directory that exists, beginning with /"},
    [SOURCE_ARGV] = {"source_argv", INPUT_TEXTS, INPUT_NULLABLE | INPUT_SECRET,
                     .hint = "a program and its arguments: [\"/usr/bin/program\", \"argument\"]"},
    [ACTIVE_NOW] = {"is_active", INPUT_BOOLEAN},
    [GROUP_ID] = {"group_id", INPUT_INTEGER, INPUT_NULLABLE, .min = 1, .max = INT32_MAX,
                  .hint = "a group's id, or null"},
};

static int complete(const struct api *api, const struct input *input, const PGresult *current,
                    json_t *changes, const char **ret_field, struct error *err)
{
    const json_t *argv = input->values[SOURCE_ARGV].json;
    (void)api;
    (void)current;
    (void)ret_field;
    char *text = argv ? json_dumps(argv, JSON_COMPACT) : NULL;
    int rc = argv ? json_object_set_new(changes, "source_argv", json_string(text)) : 0;
    free(text);
    return rc ? error_set(err, ERROR_SYSTEM, true, "out of memory") : 0;
}

static const struct catalog_resource resource = {.kind = CATALOG_DATABASE,
                                                 .path = "/api/databases",
                                                 .plural = "databases",
                                                 .fields = body_fields,
                                                 .n_fields = BODY_FIELDS,
                                                 .n_change = BODY_FIELDS,
                                                 .complete = complete,
                                                 .add_shown = add_shown,
                                                 .read_shown = read_shown};

void databases_show(struct api *api, struct http_request *request)
{
    catalog_show(api, request, &resource);
}

void databases_create(struct api *api, struct http_request *request)
{
    catalog_create(api, request, &resource);
}

void databases_change(struct api *api, struct http_request *request)
{
    catalog_change(api, request, &resource);
}

void databases_remove(struct api *api, struct http_request *request)
{
    catalog_remove(api, request, &resource);
}
