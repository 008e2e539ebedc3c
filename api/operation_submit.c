/* An operation is taken in: its row, what the audit log says of it, the answer; then it waits for its turn.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "ask.h"
#include "operations.h"
#include "problem.h"
#include "store/audit.h"
#include "store/json_rows.h"

extern const char bm_sql_operations_select[];

enum { SQL_MAX = 4096 };

struct submission {
    struct operation *operation; /* NULL: in the list */
    struct operations *all;
};

static void submission_free(void *data)
{
    struct submission *s = data;
    if (s->operation) {
        operations_give_back(s->all);
        operation_free(s->operation);
    }
    free(s);
}

static char *copy_text(const char *text, bool *ret_lost)
{
    char *copy = text ? strdup(text) : NULL;
    *ret_lost |= text && copy == NULL;
    return copy;
}

static struct operation *operation_new(struct api *api, const struct operation_order *order)
{
    struct operation *o = calloc(1, sizeof *o);
    bool lost = false;
    if (o == NULL)
        return NULL;
    *o = (struct operation){
        .all = api->operations, .api = api, .order = *order, .at = -1, .list = json_array()};
    o->order.object_name = copy_text(order->object_name, &lost);
    o->order.destination = copy_text(order->destination, &lost);
    if (!lost && o->list)
        return o;
    operation_free(o);
    return NULL;
}

static void on_submitted(struct ask *ask, const struct pg_results *results)
{
    struct submission *s = ask->data;
    struct operations *all = s->all;
    struct operation *o = s->operation;
    const PGresult *row = ask_result(ask, results, 2);
    char location[48];
    s->operation = NULL;
    o->id = pg_int(row, 0, 0, 0);
    if (operations_have_ended(all)) {
        problem_reply(ask->request, 503, "the server is ending; ask again in a moment");
        operations_give_back(all);
        operation_free(o);
        return;
    }
    snprintf(location, sizeof location, "/api/operations/%lld", (long long)o->id);
    http_set_header(ask->request, "Location", location);
    http_reply(ask->request, 202, json_row(row, 0));
    operations_take(all, o);
}

static json_t *parameters_of(const struct operation_order *order)
{
    switch (order->kind) {
    case OPERATION_VERIFY:
        return json_pack("{s:b, s:s?}", "deep", (int)order->deep, "destination", order->destination);
    case OPERATION_DELETE:
        return json_pack("{s:b}", "forget_missing", (int)order->forget_missing);
    case OPERATION_TEST:
        break;
    }
    return json_object();
}

/* Old ones go; the row; the event in the log, with what was asked; the row as people see it. */
static int add_statements(struct ask *ask, const struct operation_order *order, const char *owner)
{
    static const char *const actions[] = {"backup_verify", "backup_delete", "destination_test"};
    const struct identity *who = http_request_identity(ask->request);
    const struct pg_statement prune = {
        .sql = "DELETE FROM operations WHERE id IN (SELECT id FROM operations"
               " WHERE created_at < clock_timestamp() - interval '30 days' ORDER BY created_at LIMIT 100)"};
    const struct pg_statement insert = {
        .sql =
            "INSERT INTO operations (kind, backup_id, destination_id, object_name, parameters, requested_by,"
            " owner, lease_until) VALUES ($1, nullif($2::int, 0), nullif($3::int, 0), $4, $5::jsonb, $6, $7,"
            " clock_timestamp() + interval '30 s')",
        .n_params = 7};
    char backup[24], destination[24], sql[SQL_MAX];
    snprintf(backup, sizeof backup, "%lld", (long long)order->backup_id);
    snprintf(destination, sizeof destination, "%lld", (long long)order->destination_id);
    snprintf(sql, sizeof sql, "%s WHERE o.id = currval(pg_get_serial_sequence('operations', 'id'))",
             bm_sql_operations_select);
    const struct pg_statement select = {.sql = sql};
    json_t *parameters = parameters_of(order);
    char *text = parameters ? json_dumps(parameters, JSON_COMPACT) : NULL;
    const char *requested_by = who->user_name[0] ? who->user_name : who->token_name;
    int added = text == NULL ? -1 : pg_request_add(ask->question, &prune, NULL);
    added |= pg_request_add(ask->question, &insert,
                            (const char *const[]){operation_kind_name(order->kind), backup, destination,
                                                  order->object_name, text, requested_by, owner});
    added |= pg_request_add(ask->question, &select, NULL);
    added |= audit_add_event(ask->question, actions[order->kind],
                             order->kind == OPERATION_TEST ? "destination" : "backup",
                             order->kind == OPERATION_TEST ? order->destination_id : order->backup_id,
                             order->object_name, parameters);
    json_decref(parameters);
    free(text);
    return added;
}

void operation_submit(struct api *api, struct http_request *request, const struct operation_order *order)
{
    struct operations *all = api->operations;
    struct submission *s = calloc(1, sizeof *s);
    if (!http_keep(request, s, submission_free)) {
        problem_reply(request, 503, "out of memory");
        return;
    }
    if (!operations_reserve(all)) {
        problem_reply_later(request, 503, 15,
                            "as many operations run or wait here as there may be; ask again later");
        return;
    }
    s->all = all;
    s->operation = operation_new(api, order);
    if (s->operation == NULL) {
        operations_give_back(all);
        problem_reply(request, 503, "out of memory");
        return;
    }
    struct ask *ask = ask_new_change(api, request, on_submitted, s);
    if (ask)
        ask_send(ask, add_statements(ask, order, operations_owner(all)));
}
