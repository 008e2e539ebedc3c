/* GET /api/databases and GET /api/databases/{id}: one statement each, databases_list.sql. */
#include <stdlib.h>

#include "api.h"
#include "base/log.h"
#include "input.h"
#include "problem.h"
#include "route.h"
#include "store/json_rows.h"

#define LIMIT_DEFAULT 50
#define LIMIT_MAX 200

extern const char bm_sql_databases_list[];

struct question {
    struct http_request *request;
    int64_t database_id; /* 0: a list */
    int64_t limit;
};

static void ask(struct api *api, const struct question *template, const char *const values[6],
                pg_done_fn on_rows)
{
    static const struct pg_statement list = {"api_databases", bm_sql_databases_list, 6};
    struct question *q = malloc(sizeof *q);
    struct pg_request *request = q ? pg_request_new(api->pg) : NULL;
    if (request == NULL) {
        free(q);
        problem_reply(template->request, 503, "out of memory");
        return;
    }
    *q = *template;
    pg_request_add(request, &list, values);
    pg_request_send(request, on_rows, q);
}

/* The rows, or NULL and an answer. */
static json_t *read_rows(const struct question *q, const struct pg_results *results, const struct error *err)
{
    json_t *rows = err ? NULL : json_rows(results->results[0]);
    if (err)
        api_reply_pg_error(q->request, err);
    else if (rows == NULL) {
        log_error("rows of databases can't be made into JSON: out of memory, or text that is not UTF-8");
        problem_reply(q->request, 500, "the rows can't be made into JSON");
    }
    return rows;
}

static void on_list(void *data, const struct pg_results *results, const struct error *err)
{
    struct question *q = data;
    json_t *rows = read_rows(q, results, err);
    if (rows) {
        size_t n = json_array_size(rows);
        json_t *next = (int64_t)n < q->limit ? NULL : json_object_get(json_array_get(rows, n - 1), "id");
        http_reply(q->request, 200, json_pack("{s:o, s:O?}", "databases", rows, "next_after", next));
    }
    free(q);
}

static void on_one(void *data, const struct pg_results *results, const struct error *err)
{
    struct question *q = data;
    json_t *rows = read_rows(q, results, err);
    if (rows && json_array_size(rows) == 0)
        problem_reply(q->request, 404, "there is no database %lld", (long long)q->database_id);
    else if (rows)
        http_reply(q->request, 200, json_incref(json_array_get(rows, 0)));
    json_decref(rows);
    free(q);
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
    struct question q = {.request = request, .limit = LIMIT_DEFAULT};
    if (values[LIMIT].given)
        q.limit = values[LIMIT].integer;
    char limit[24];
    snprintf(limit, sizeof limit, "%lld", (long long)q.limit);
    const char *active = values[ACTIVE].boolean ? "true" : "false";
    ask(api, &q,
        (const char *const[]){NULL, values[AFTER].text, limit, values[Q].text, values[GROUP].text,
                              values[ACTIVE].given ? active : NULL},
        on_list);
}

void databases_show(struct api *api, struct http_request *request)
{
    struct question q = {.request = request, .database_id = http_request_id(request, 0), .limit = 1};
    char id[24];
    if (input_query(request, NULL, 0) == NULL)
        return;
    snprintf(id, sizeof id, "%lld", (long long)q.database_id);
    ask(api, &q, (const char *const[]){id, NULL, "1", NULL, NULL, NULL}, on_one);
}
