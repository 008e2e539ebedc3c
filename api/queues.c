/*
 * /api/queues and /api/workers. Each question begins in PostgreSQL, which knows the queues, and goes on in
 * Redis: without PostgreSQL nothing is known, without Redis pauses still are.
 *
 *   question -> on_rows (404?) -> queue_look -> on_look -> reply, or for workers -> workers.c
 */
#include "queues.h"

#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "ask.h"
#include "identity.h"
#include "input.h"
#include "members.h"
#include "problem.h"
#include "queue/look.h"
#include "queue/queue.h"
#include "queue/requeue.h"
#include "store/audit.h"
#include "store/json_rows.h"
#include "store/queues.h"
#include "workers.h"

enum { JOBS_DEFAULT = 100, JOBS_MAX = 1000, REQUEUE_MOST = 10000 };

/* One request's way; kept as long as the request. */
struct question {
    struct api *api;
    struct http_request *request;
    const char *name; /* NULL: all queues */
    struct queue_look look;
    void (*reply)(struct question *q, json_t *found); /* takes over found */
    int (*change)(struct pg_request *request, const char *name);
};

static void reply_redis_error(struct http_request *request, const struct error *err)
{
    if (err->retryable || err->code == ERROR_UNREACHABLE || err->code == ERROR_DENIED)
        problem_reply(request, 503, "Redis, which holds the queue: %s", err->message);
    else
        problem_reply_error(request, err);
}

static void on_look(void *data, json_t *found, const struct error *err)
{
    struct question *q = data;
    if (err)
        reply_redis_error(q->request, err);
    else
        q->reply(q, found);
}

static bool is_known(struct question *q, const json_t *rows)
{
    if (rows == NULL)
        problem_reply(q->request, 503, "out of memory");
    else if (json_array_size(rows) == 0)
        problem_reply(q->request, 404, "there is no queue '%s'", q->name);
    return json_array_size(rows) > 0;
}

static void on_rows(struct ask *ask, const struct pg_results *results)
{
    struct question *q = ask->data;
    struct error err = {0};
    json_t *rows = json_rows(ask_result(ask, results, 0));
    if (is_known(q, rows) && queue_look(q->api->redis, rows, &q->look, on_look, q, &err))
        problem_reply_error(q->request, &err);
    json_decref(rows);
}

/* NULL: replied to. */
static struct question *question_new(struct api *api, struct http_request *request, bool named)
{
    struct question *q = calloc(1, sizeof *q);
    struct error err = {0};
    if (!http_keep(request, q, free)) {
        problem_reply(request, 503, "out of memory");
        return NULL;
    }
    *q = (struct question){.api = api,
                           .request = request,
                           .name = named ? http_request_parameter(request, 0) : NULL,
                           .look.within_ms = api->settings->lease_seconds * 1000};
    if (q->name && queue_name_check(q->name, &err)) {
        problem_reply(request, 404, "%s", err.message);
        return NULL;
    }
    return q;
}

static void send_question(struct question *q)
{
    struct ask *ask = ask_new(q->api, q->request, on_rows, q);
    if (ask)
        ask_send(ask, queues_add_select(ask->question, q->name));
}

/* --- what is there --- */

static void reply_list(struct question *q, json_t *found)
{
    http_reply(q->request, 200, json_pack("{s:o}", "queues", found));
}

static void reply_one(struct question *q, json_t *found)
{
    http_reply(q->request, 200, json_incref(json_array_get(found, 0)));
    json_decref(found);
}

static void reply_jobs(struct question *q, json_t *found)
{
    static const struct member members[] = {{"queue", JSON_STRING},
                                            {"state", JSON_STRING},
                                            {"op", JSON_STRING},
                                            {"id", JSON_INTEGER},
                                            {"backup_id", JSON_INTEGER},
                                            {"backup", JSON_STRING},
                                            {"storage_type", JSON_STRING},
                                            {"storage_name", JSON_STRING},
                                            {"priority", JSON_INTEGER},
                                            {"attempt", JSON_INTEGER},
                                            {"enqueued_at", JSON_STRING},
                                            {"worker", JSON_STRING},
                                            {"lease_until", JSON_STRING},
                                            {"due_at", JSON_STRING},
                                            {"why", JSON_STRING},
                                            {"error", JSON_STRING},
                                            {"dead_at", JSON_STRING},
                                            {"malformed", JSON_STRING},
                                            {NULL, JSON_NULL}};
    json_t *jobs = json_array();
    const json_t *job;
    size_t i;
    json_array_foreach(found, i, job) json_array_append_new(jobs, members_fixed(job, members));
    json_decref(found);
    http_reply(q->request, 200, json_pack("{s:o}", "jobs", jobs));
}

static void reply_workers(struct question *q, json_t *found)
{
    workers_reply(q->api, q->request, found);
}

static void ask_whole(struct api *api, struct http_request *request, bool named, enum queue_look_kind kind,
                      void (*reply)(struct question *q, json_t *found))
{
    struct question *q = input_query(request, NULL, 0) ? question_new(api, request, named) : NULL;
    if (q == NULL)
        return;
    q->look.kind = kind;
    q->reply = reply;
    send_question(q);
}

void queues_list(struct api *api, struct http_request *request)
{
    ask_whole(api, request, false, QUEUE_LOOK_STATS, reply_list);
}

void queues_show(struct api *api, struct http_request *request)
{
    ask_whole(api, request, true, QUEUE_LOOK_STATS, reply_one);
}

void workers_list(struct api *api, struct http_request *request)
{
    ask_whole(api, request, false, QUEUE_LOOK_WORKERS, reply_workers);
}

void queues_jobs(struct api *api, struct http_request *request)
{
    enum { STATE, LIMIT, FIELDS };
    const struct input_field fields[FIELDS] = {
        [STATE] = {"state", INPUT_CHOICE, .choices = queue_states},
        [LIMIT] = {"limit", INPUT_INTEGER, .min = 1, .max = JOBS_MAX},
    };
    const struct input *input = input_query(request, fields, FIELDS);
    struct question *q = input ? question_new(api, request, true) : NULL;
    if (q == NULL)
        return;
    const struct input_value *values = input->values;
    q->look.kind = QUEUE_LOOK_JOBS;
    q->look.state = values[STATE].given ? queue_states[values[STATE].integer] : NULL;
    q->look.limit = values[LIMIT].given ? values[LIMIT].integer : JOBS_DEFAULT;
    q->reply = reply_jobs;
    send_question(q);
}

/* --- pause, resume: the trigger of `queues` writes the audit log --- */

static void on_changed(struct ask *ask, const struct pg_results *results)
{
    struct question *q = ask->data;
    const PGresult *changed = ask_result(ask, results, 0), *present = ask_result(ask, results, 1);
    bool resumed = PQntuples(changed) > 0 && pg_text(changed, 0, 1) == NULL;
    if (resumed)
        relay_soon(q->api, MAINTENANCE_RECONCILE | MAINTENANCE_NOW);
    ask_reply_row(ask, present, 200, "queue");
}

static void on_known_change(struct ask *ask, const struct pg_results *results)
{
    struct question *q = ask->data;
    json_t *rows = json_rows(ask_result(ask, results, 0));
    struct ask *next = is_known(q, rows) ? ask_new_change(q->api, q->request, on_changed, q) : NULL;
    json_decref(rows);
    if (next == NULL)
        return;
    int added = q->change(next->question, q->name);
    added |= queues_add_select(next->question, q->name);
    ask_send(next, added);
}

static void change(struct api *api, struct http_request *request,
                   int (*add)(struct pg_request *request, const char *name))
{
    struct question *q = question_new(api, request, true);
    struct ask *ask = q ? ask_new(api, request, on_known_change, q) : NULL;
    if (ask == NULL)
        return;
    q->change = add;
    ask_send(ask, queues_add_select(ask->question, q->name));
}

void queues_pause(struct api *api, struct http_request *request)
{
    change(api, request, queues_add_pause);
}

void queues_resume(struct api *api, struct http_request *request)
{
    change(api, request, queues_add_resume);
}

/* --- requeue-dead --- */

static int add_before(void *data, struct pg_request *question)
{
    struct question *q = data;
    int added = identity_add_actor(q->api, question, q->request);
    added |= audit_add_event(question, "queue_requeue_dead", "queue", 0, q->name, NULL);
    return added ? -1 : 2;
}

static void on_requeued(void *data, const struct requeue_report *report, const struct error *err)
{
    struct question *q = data;
    if (report->requeued > 0)
        relay_soon(q->api, MAINTENANCE_RELAY);
    if (err)
        reply_redis_error(q->request, err);
    else
        http_reply(q->request, 200,
                   json_pack("{s:s, s:I, s:I, s:I, s:b}", "queue", q->name, "requeued",
                             (json_int_t)report->requeued, "forgotten", (json_int_t)report->forgotten,
                             "malformed", (json_int_t)report->malformed, "more", report->more));
}

static void on_known(struct ask *ask, const struct pg_results *results)
{
    struct question *q = ask->data;
    json_t *rows = json_rows(ask_result(ask, results, 0));
    struct requeue_options options = {.pg = q->api->pg,
                                      .redis = q->api->redis,
                                      .queue = q->name,
                                      .most = REQUEUE_MOST,
                                      .add_before = add_before,
                                      .data = q};
    if (is_known(q, rows) && requeue_dead(&options, on_requeued, q))
        problem_reply(q->request, 503, "out of memory");
    json_decref(rows);
}

void queues_requeue_dead(struct api *api, struct http_request *request)
{
    struct question *q = question_new(api, request, true);
    struct ask *ask = q ? ask_new(api, request, on_known, q) : NULL;
    if (ask)
        ask_send(ask, queues_add_select(ask->question, q->name));
}
