/*
 *   queue_look -> one script per queue (and state) -> on_answer of each -> the last one: told
 *
 * Each part's objects wait in `parts` at its place, so that the order is that of the queues.
 */
#include "queue/look.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "queue/queue.h"

enum { N_STATES = 5 };

const char *const queue_states[N_STATES + 1] = {"ready", "active", "retry", "parked", "dead", NULL};

struct part {
    struct look *look;
    const json_t *queue; /* into the look's */
    const char *state;
    json_t *found; /* array */
};

struct look {
    struct queue_look asked;
    queue_look_fn cb;
    void *data;
    json_t *queues;
    struct error err; /* the first */
    size_t n_waiting;
    size_t n;
    struct part parts[];
};

static bool is_array(const redisReply *r, size_t at_least)
{
    return r->type == REDIS_REPLY_ARRAY && r->elements >= at_least;
}

static void set_time(json_t *object, const char *key, int64_t at_ms)
{
    char text[CLOCK_ISO8601_SIZE];
    clock_iso8601_ms(at_ms, text);
    json_object_set_new(object, key, json_string(text));
}

static json_t *text_of(const redisReply *r)
{
    json_t *text = json_stringn(r->str, r->len);
    return text ? text : json_string("(not UTF-8)");
}

/* -- stats.lua -- */

static bool read_stats(struct part *part, const redisReply *r)
{
    if (!is_array(r, 6) || !is_array(r->element[0], QUEUE_BANDS) || !is_array(r->element[5], 0))
        return false;
    int64_t ready = 0, parked = 0;
    json_t *bands = json_array(), *reasons = json_object();
    for (size_t i = 0; i < r->element[0]->elements; i++) {
        ready += r->element[0]->element[i]->integer;
        json_array_append_new(bands, json_integer(r->element[0]->element[i]->integer));
    }
    const redisReply *list = r->element[5];
    for (size_t i = 0; i + 1 < list->elements; i += 2) {
        parked += list->element[i + 1]->integer;
        json_object_setn_new(reasons, list->element[i]->str, list->element[i]->len,
                             json_integer(list->element[i + 1]->integer));
    }
    json_array_append_new(part->found,
                          json_pack("{s:O, s:I, s:o, s:I, s:I, s:I, s:o, s:I, s:I, s:O}", "queue",
                                    json_object_get(part->queue, "queue"), "ready", (json_int_t)ready,
                                    "ready_by_priority", bands, "active", (json_int_t)r->element[1]->integer,
                                    "retry", (json_int_t)r->element[2]->integer, "parked", (json_int_t)parked,
                                    "parked_by_reason", reasons, "dead", (json_int_t)r->element[3]->integer,
                                    "workers", (json_int_t)r->element[4]->integer, "paused_at",
                                    json_object_get(part->queue, "paused_at")));
    return true;
}

/* -- workers.lua -- */

static bool read_worker(struct part *part, const redisReply *r)
{
    if (!is_array(r, 4) || r->element[0]->type != REDIS_REPLY_STRING ||
        r->element[1]->type != REDIS_REPLY_STRING || !is_array(r->element[3], 0))
        return false;
    json_t *worker = json_loadb(r->element[1]->str, r->element[1]->len, 0, NULL), *jobs = json_array();
    if (!json_is_object(worker)) {
        json_decref(worker);
        worker = json_object();
    }
    for (size_t i = 0; i < r->element[3]->elements; i++) {
        const redisReply *line = r->element[3]->element[i];
        json_t *job = json_loadb(line->str, line->len, 0, NULL);
        if (json_is_object(job))
            json_array_append(jobs, job);
        json_decref(job);
    }
    set_time(worker, "seen_at", (int64_t)json_integer_value(json_object_get(worker, "at_ms")));
    json_object_del(worker, "at_ms");
    json_object_set(worker, "queue", json_object_get(part->queue, "queue"));
    json_object_set_new(worker, "worker", text_of(r->element[0]));
    json_object_set_new(worker, "n_jobs", json_integer(r->element[2]->integer));
    json_object_set_new(worker, "jobs", jobs);
    json_array_append_new(part->found, worker);
    return true;
}

/* -- list.lua -- */

static void describe(json_t *job, const char *state, const redisReply *detail, const redisReply *time)
{
    const json_t *dead_at = json_object_get(job, "dead_at_ms");
    int64_t at_ms = (int64_t)strtod(time->str, NULL);
    if (strcmp(state, "active") == 0) {
        json_object_set_new(job, "worker", text_of(detail));
        set_time(job, "lease_until", at_ms);
    } else if (strcmp(state, "retry") == 0) {
        set_time(job, "due_at", at_ms);
    } else if (strcmp(state, "parked") == 0) {
        json_object_set_new(job, "why", text_of(detail));
    } else if (dead_at) {
        set_time(job, "dead_at", (int64_t)json_number_value(dead_at));
        json_object_del(job, "dead_at_ms");
    }
}

static bool read_job(struct part *part, const redisReply *r)
{
    if (!is_array(r, 3) || r->element[0]->type != REDIS_REPLY_STRING ||
        r->element[1]->type != REDIS_REPLY_STRING || r->element[2]->type != REDIS_REPLY_STRING)
        return false;
    json_t *job = json_loadb(r->element[0]->str, r->element[0]->len, 0, NULL);
    if (!json_is_object(job)) {
        json_decref(job);
        job = json_pack("{s:o}", "malformed", text_of(r->element[0]));
    }
    json_object_set(job, "queue", json_object_get(part->queue, "queue"));
    json_object_set_new(job, "state", json_string(part->state));
    describe(job, part->state, r->element[1], r->element[2]);
    json_array_append_new(part->found, job);
    return true;
}

/* -- the look -- */

static bool read_each(struct part *part, const redisReply *r, bool (*read)(struct part *, const redisReply *))
{
    bool good = is_array(r, 0);
    for (size_t i = 0; good && i < r->elements; i++)
        good = read(part, r->element[i]);
    return good;
}

static bool read_part(struct part *part, const redisReply *r)
{
    switch (part->look->asked.kind) {
    case QUEUE_LOOK_STATS:
        return read_stats(part, r);
    case QUEUE_LOOK_WORKERS:
        return read_each(part, r, read_worker);
    case QUEUE_LOOK_JOBS:
        break;
    }
    return read_each(part, r, read_job);
}

static void look_free(struct look *look)
{
    for (size_t i = 0; i < look->n; i++)
        json_decref(look->parts[i].found);
    json_decref(look->queues);
    free(look);
}

static void finish(struct look *look)
{
    json_t *all = look->err.code ? NULL : json_array();
    for (size_t i = 0; all && i < look->n; i++)
        json_array_extend(all, look->parts[i].found);
    if (all == NULL && look->err.code == 0)
        error_set(&look->err, ERROR_SYSTEM, true, "out of memory");
    look->cb(look->data, all, all ? NULL : &look->err);
    look_free(look);
}

static void on_answer(void *data, const redisReply *reply, const struct error *err)
{
    struct part *part = data;
    struct look *look = part->look;
    if (look->err.code == 0) {
        if (err)
            look->err = *err;
        else if ((part->found = json_array()) == NULL)
            error_set(&look->err, ERROR_SYSTEM, true, "out of memory");
        else if (!read_part(part, reply))
            error_set(&look->err, ERROR_PROTOCOL, true, "Redis: unexpected answer of a queue's script");
    }
    if (--look->n_waiting == 0)
        finish(look);
}

static void ask(struct redis_client *redis, struct part *part)
{
    const struct queue_look *asked = &part->look->asked;
    const char *queue = json_string_value(json_object_get(part->queue, "queue"));
    switch (asked->kind) {
    case QUEUE_LOOK_STATS:
        queue_ask_stats(redis, queue, asked->within_ms, on_answer, part);
        break;
    case QUEUE_LOOK_WORKERS:
        queue_ask_workers(redis, queue, asked->within_ms, QUEUE_LOOK_WORKERS_MAX, QUEUE_LOOK_JOBS_MAX,
                          on_answer, part);
        break;
    case QUEUE_LOOK_JOBS:
        queue_ask_list(redis, queue, part->state, asked->limit, on_answer, part);
        break;
    }
}

int queue_look(struct redis_client *redis, const json_t *queues, const struct queue_look *asked,
               queue_look_fn cb, void *data, struct error *err)
{
    size_t n_queues = json_array_size(queues);
    size_t n_states = asked->kind == QUEUE_LOOK_JOBS && asked->state == NULL ? N_STATES : 1;
    if (n_queues == 0)
        return error_set(err, ERROR_INPUT, false, "there is no queue to look at");
    if (n_queues > QUEUE_LOOK_QUEUES)
        return error_set(err, ERROR_LIMIT, false, "more than %d queues; name one", QUEUE_LOOK_QUEUES);
    struct look *look = calloc(1, sizeof *look + n_queues * n_states * sizeof *look->parts);
    if (look == NULL || (look->queues = json_deep_copy(queues)) == NULL) {
        free(look);
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    look->asked = *asked;
    look->cb = cb;
    look->data = data;
    look->n = look->n_waiting = n_queues * n_states;
    for (size_t i = 0; i < look->n; i++) {
        struct part *part = &look->parts[i];
        part->look = look;
        part->queue = json_array_get(look->queues, i / n_states);
        part->state = asked->state ? asked->state : queue_states[i % n_states];
    }
    for (size_t i = 0; i < look->n; i++)
        ask(redis, &look->parts[i]);
    return 0;
}
