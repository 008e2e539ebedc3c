/* POST /api/destinations/{id}/test: what backupctl destination test does (storage/probe.h), as an operation.
 */
#include <stdio.h>

#include "api.h"
#include "ask.h"
#include "input.h"
#include "operations.h"
#include "problem.h"

static void note(struct operation *o, enum probe_step step, const struct error *err)
{
    char advice[PROBE_ADVICE_SIZE] = "";
    if (err)
        probe_advice(step, err, o->place.driver, advice);
    o->bad |= err != NULL;
    json_array_append_new(o->list, json_pack("{s:s, s:b, s:s?, s:s?}", "step", probe_step_name(step), "ok",
                                             err == NULL, "error", err ? err->message : NULL, "advice",
                                             err ? advice : NULL));
}

static void on_step(struct probe *probe, enum probe_step step, const struct error *err)
{
    struct operation *o = probe->data;
    if (o->state != OPERATION_WORKS)
        return;
    note(o, step, err);
    operation_asks(o); /* the time that a disk has begins anew */
}

static void on_done(struct probe *probe, bool ok)
{
    struct operation *o = probe->data;
    (void)ok;
    if (operation_answered(o))
        return;
    if (operation_is_stopped(o) && o->bad)
        operation_fail(o, "the server ended in the middle of it; ask for it again");
    else
        operation_end(o);
}

int operation_test_add(struct pg_request *question, const struct operation *o)
{
    return destination_add_columns(question, o->order.destination_id);
}

void operation_test_begin(struct operation *o, const PGresult *result)
{
    struct storage_columns columns;
    const char *notes[2];
    struct error err = {0};
    o->columns = PQcopyResult(result, PG_COPYRES_ATTRS | PG_COPYRES_TUPLES);
    if (o->columns == NULL) {
        operation_fail(o, "out of memory");
        return;
    }
    if (!destination_read_columns(o->columns, &columns)) {
        operation_fail(o, "the destination was removed meanwhile");
        return;
    }
    if (storage_place_open(&o->place, &columns, o->api->legacy_base, o->api->access, NULL, &err) == 0 &&
        hung_disks_have(&o->api->hung_disks, o->place.location.base_path))
        error_set(&err, ERROR_UNREACHABLE, true, "its disk does not answer");
    if (err.code) {
        note(o, PROBE_SETTINGS, &err);
        operation_end(o);
        return;
    }
    probe_unlock(&o->place, notes);
    o->probe = (struct probe){
        .loop = o->api->loop, .place = &o->place, .on_step = on_step, .done = on_done, .data = o};
    probe_start(&o->probe);
    operation_asks(o);
}

static void on_destination(struct ask *ask, const struct pg_results *results)
{
    const PGresult *row = ask_result(ask, results, 0);
    if (PQntuples(row) == 0) {
        problem_reply(ask->request, 404, "there is no such destination");
        return;
    }
    const struct operation_order order = {.kind = OPERATION_TEST,
                                          .destination_id = http_request_id(ask->request, 0),
                                          .object_name = PQgetvalue(row, 0, 0)};
    operation_submit(ask->api, ask->request, &order);
}

void operation_test(struct api *api, struct http_request *request)
{
    if (input_body(request, NULL, 0) == NULL)
        return;
    struct ask *ask = ask_new(api, request, on_destination, NULL);
    if (ask == NULL)
        return;
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)http_request_id(request, 0));
    const struct pg_statement name = {.sql = "SELECT name FROM destinations WHERE id = $1::int",
                                      .n_params = 1};
    ask_send(ask, pg_request_add(ask->question, &name, (const char *const[]){id}));
}
