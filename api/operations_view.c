/* GET /api/operations, newest first, and /api/operations/{id}. */
#include <stdio.h>
#include <stdlib.h>

#include "api.h"
#include "ask.h"
#include "input.h"
#include "operations.h"
#include "page.h"
#include "problem.h"
#include "store/json_rows.h"

extern const char bm_sql_operations_select[];

enum { SQL_MAX = 4096 };

static int add_select(struct ask *ask, const char *rest, int n_params, const char *const *values)
{
    char sql[SQL_MAX];
    snprintf(sql, sizeof sql, "%s%s", bm_sql_operations_select, rest);
    const struct pg_statement statement = {.sql = sql, .n_params = n_params};
    return pg_request_add(ask->question, &statement, values);
}

static void on_shown(struct ask *ask, const struct pg_results *results)
{
    ask_reply_row(ask, ask_result(ask, results, 0), 200, "operation");
}

void operations_show(struct api *api, struct http_request *request)
{
    char id[24];
    if (input_query(request, NULL, 0) == NULL)
        return;
    struct ask *ask = ask_new(api, request, on_shown, NULL);
    snprintf(id, sizeof id, "%lld", (long long)http_request_id(request, 0));
    if (ask)
        ask_send(ask, add_select(ask, "WHERE o.id = $1::int", 1, (const char *const[]){id}));
}

struct listing {
    int64_t limit;
};

static void on_rows(struct ask *ask, const struct pg_results *results)
{
    const struct listing *listing = ask->data;
    page_reply_newest(ask->request, listing->limit, "operations", json_rows(ask_result(ask, results, 0)));
}

void operations_list(struct api *api, struct http_request *request)
{
    enum { LIMIT, BEFORE, KIND, STATE, BACKUP, DESTINATION, FIELDS };
    static const char *const kinds[] = {"verify", "delete", "test", NULL};
    static const char *const states[] = {"waiting", "running", "done", "failed", "interrupted", NULL};
    static const struct input_field fields[FIELDS] = {
        [LIMIT] = {"limit", INPUT_INTEGER, .min = 1, .max = 1000},
        [BEFORE] = {"before", INPUT_INTEGER, .min = 1, .max = INT32_MAX},
        [KIND] = {"kind", INPUT_CHOICE, .choices = kinds},
        [STATE] = {"state", INPUT_CHOICE, .choices = states},
        [BACKUP] = {"backup_id", INPUT_INTEGER, .min = 1, .max = INT32_MAX},
        [DESTINATION] = {"destination_id", INPUT_INTEGER, .min = 1, .max = INT32_MAX},
    };
    const struct input *input = input_query(request, fields, FIELDS);
    struct listing *listing = input ? calloc(1, sizeof *listing) : NULL;
    if (input == NULL)
        return;
    if (!http_keep(request, listing, free)) {
        problem_reply(request, 503, "out of memory");
        return;
    }
    const struct input_value *values = input->values;
    char limit[24];
    listing->limit = values[LIMIT].given ? values[LIMIT].integer : 100;
    snprintf(limit, sizeof limit, "%lld", (long long)listing->limit + 1);
    struct ask *ask = ask_new(api, request, on_rows, listing);
    if (ask)
        ask_send(ask,
                 add_select(ask,
                            "WHERE ($1::int IS NULL OR o.id < $1::int) AND ($2::text IS NULL OR o.kind = $2)"
                            " AND ($3::text IS NULL OR o.state = $3)"
                            " AND ($4::int IS NULL OR o.backup_id = $4::int)"
                            " AND ($5::int IS NULL OR o.destination_id = $5::int)"
                            " ORDER BY o.id DESC LIMIT $6::bigint",
                            6,
                            (const char *const[]){values[BEFORE].text, values[KIND].text, values[STATE].text,
                                                  values[BACKUP].text, values[DESTINATION].text, limit}));
}
