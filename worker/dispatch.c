/*
 * Redis: turns (settle what is done, claim what there is room for), the bell that wakes an idle worker,
 * heartbeats, and the way out of parked lists.
 *
 * A queue is hungry while it may have jobs: at the start, after the bell, when a retry falls due, after a
 * turn that got all it asked for, and at every fallback poll. With room and no hungry queue the worker blocks
 * on the bells.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker.h"

enum { TURN_MAX = 512, BELL_SECONDS = 20, REDIS_RETRY_MS = 1000 };

struct turn {
    struct worker_queue *queue;
    int64_t first_token;
    int n;
    struct task *tasks[TURN_MAX];
};

/* ---- judged again after parking: the condition may have come to hold in between ---- */

struct recheck {
    struct worker *worker;
    char queue[QUEUE_NAME_MAX + 1];
    char why[1024];
};

static void on_recheck(void *data, const struct pg_results *results, const struct error *err)
{
    struct recheck *c = data;
    c->worker->asking--;
    (void)err; /* the reconciler asks again */
    const PGresult *r = results ? results->results[0] : NULL;
    for (int i = 0; r && i < PQntuples(r); i++)
        dispatch_unpark(c->worker, c->queue, c->why, pg_text(r, i, 0));
    free(c);
}

static void recheck_parked(struct worker_queue *q, struct task *const *tasks, int n)
{
    char *keys[TURN_MAX];
    bool done[TURN_MAX] = {false};
    for (int i = 0; i < n; i++) {
        if (done[i] || tasks[i]->settle != QUEUE_PARK)
            continue;
        const char *why = tasks[i]->settle_argument;
        bool settled_by_time = strcmp(why, "paused") == 0 || strncmp(why, "host:", 5) == 0;
        int count = 0;
        for (int k = i; k < n; k++) {
            if (tasks[k]->settle == QUEUE_PARK && strcmp(tasks[k]->settle_argument, why) == 0) {
                keys[count++] = tasks[k]->key;
                done[k] = true;
            }
        }
        struct recheck *c = settled_by_time ? NULL : calloc(1, sizeof *c);
        struct pg_request *request = c ? pg_request_new(q->worker->pg) : NULL;
        if (request == NULL) {
            free(c);
            continue;
        }
        c->worker = q->worker;
        memcpy(c->queue, q->name, sizeof c->queue);
        snprintf(c->why, sizeof c->why, "%s", why);
        int index;
        rows_add_judge_parked(request, why, keys, count, 0, &index);
        q->worker->asking++;
        pg_request_send(request, on_recheck, c);
    }
}

/* ---- turns ---- */

static bool working_on(const struct worker *w, const struct job *job)
{
    for (const struct task *t = w->tasks; t; t = t->next)
        if (t->job.id == job->id && t->job.op == job->op)
            return true;
    return false;
}

static void claim(struct worker_queue *q, const redisReply *payload, const char *key, int64_t token)
{
    struct worker *w = q->worker;
    struct job job;
    struct error err;
    bool good = job_parse(payload->str, payload->len, &job, &err) == 0;
    bool doubled = good && working_on(w, &job);
    struct task *t = task_new(q, payload->str, payload->len, token);
    snprintf(t->key, sizeof t->key, "%s", key); /* as the scripts read it, also from a line we refuse */
    if (good)
        t->job = job;
    if (!good || job.op != JOB_UPLOAD) {
        if (good)
            error_set(&err, ERROR_UNSUPPORTED, false, "this version doesn't know how to %s",
                      job_op_name(job.op));
        log_warn("queue %s: job goes to dead: %s: %.200s", q->name, err.message, t->payload);
        task_settle(t, QUEUE_BURY, err.message);
    } else if (doubled) {
        task_settle_later(t, 5000); /* Redis forgot that we hold it: the task under way decides */
    } else if (w->draining) {
        task_settle(t, QUEUE_READY, NULL);
    }
}

static void on_turn(void *data, const redisReply *reply, const struct error *err)
{
    struct turn *turn = data;
    struct worker_queue *q = turn->queue;
    struct worker *w = q->worker;
    struct queue_turn_result result;
    struct error broken;
    int want = q->reserved;
    q->in_turn = false;
    q->reserved = 0;
    if (reply && queue_turn_read(reply, &result, &broken)) {
        err = &broken;
        reply = NULL;
    }
    if (reply == NULL) {
        worker_complain(w, "Redis", err);
        w->redis_retry_at_ms = clock_monotonic_ms() + REDIS_RETRY_MS;
        q->hungry = true;
        for (int i = 0; i < turn->n; i++) {
            turn->tasks[i]->state = TASK_SETTLE; /* the token makes a second time harmless */
            q->n_settle++;
        }
        free(turn);
        worker_work_changed(w);
        return;
    }
    if (result.lost->elements > 0)
        log_debug("queue %s: %zu settled jobs were no longer ours", q->name, result.lost->elements);
    if (result.malformed > 0)
        log_warn("queue %s: %lld malformed jobs went to dead", q->name, (long long)result.malformed);
    if (result.duplicates > 0)
        log_warn("queue %s: %lld jobs dropped: the same job stands elsewhere", q->name,
                 (long long)result.duplicates);
    recheck_parked(q, turn->tasks, turn->n);
    for (int i = 0; i < turn->n; i++)
        task_free(turn->tasks[i]);
    for (size_t i = 0; i < result.claimed->elements; i++)
        claim(q, result.claimed->element[i], result.keys->element[i]->str, turn->first_token + (int64_t)i);
    if (want > 0)
        q->hungry = (int)result.claimed->elements == want || result.malformed > 0 || result.duplicates > 0;
    if (result.next_due_ms >= 0 && !q->hungry) {
        uint64_t now_due = uv_timer_get_due_in(&w->due), due = (uint64_t)result.next_due_ms + 1;
        if (!uv_is_active((uv_handle_t *)&w->due) || due < now_due)
            uv_timer_start(&w->due, w->due.timer_cb, due < 60000 ? due : 60000, 0);
    }
    free(turn);
    worker_work_changed(w);
}

static void take_turn(struct worker_queue *q, int want)
{
    struct worker *w = q->worker;
    struct turn *turn = malloc(sizeof *turn);
    struct queue_settle settles[TURN_MAX];
    if (turn == NULL)
        return;
    turn->queue = q;
    turn->n = 0;
    if (q->n_settle > 0) {
        for (struct task *t = w->tasks; t && turn->n < TURN_MAX; t = t->next) {
            if (t->queue != q || t->state != TASK_SETTLE)
                continue;
            t->state = TASK_SETTLING;
            settles[turn->n] = (struct queue_settle){.key = t->key,
                                                     .token = t->token,
                                                     .outcome = t->settle,
                                                     .argument = t->settle_argument,
                                                     .payload = t->payload};
            turn->tasks[turn->n++] = t;
        }
        q->n_settle -= turn->n;
    }
    char starving[CLOCK_ISO8601_SIZE];
    clock_iso8601(clock_wall_ms() - w->settings->starvation_seconds * 1000, starving);
    turn->first_token = w->next_token;
    w->next_token += want;
    q->in_turn = true;
    q->reserved = want;
    struct queue_turn request = {.worker = w->id,
                                 .host = w->host,
                                 .lease_ms = w->lease_ms,
                                 .want = want,
                                 .first_token = turn->first_token,
                                 .starving_before = starving,
                                 .dead_max = w->settings->dead_max,
                                 .settles = settles,
                                 .n_settles = turn->n};
    queue_turn(w->redis, q->name, &request, on_turn, turn);
}

/* ---- the bell ---- */

static void on_passed_on(void *data, const redisReply *reply, const struct error *err)
{
    (void)data, (void)reply, (void)err; /* a lost bell costs a fallback poll */
}

static void on_bell(void *data, const redisReply *reply, const struct error *err)
{
    struct worker *w = data;
    w->bell_waiting = false;
    if (w->closing)
        return;
    if (reply == NULL) {
        (void)err; /* the other connection complains; ask again when there is a reason */
        w->redis_retry_at_ms = clock_monotonic_ms() + REDIS_RETRY_MS;
        dispatch_wake(w);
        worker_work_changed(w);
        return;
    }
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
        (worker_free_slots(w) == 0 || w->draining)) {
        /* rung for someone with room; a draining worker doesn't listen again */
        redis_command(w->redis, 3, (const char *[]){"RPUSH", reply->element[0]->str, "1"}, NULL, 0,
                      on_passed_on, NULL);
    }
    dispatch_wake(w); /* a time-out too: that is the fallback poll */
}

static void listen_for_bell(struct worker *w)
{
    char keys[WORKER_MAX_QUEUES][QUEUE_KEY_SIZE], seconds[8];
    const char *argv[WORKER_MAX_QUEUES + 2] = {"BLPOP"};
    for (int i = 0; i < w->n_queues; i++) {
        queue_key(keys[i], w->queues[i].name, ":bell");
        argv[1 + i] = keys[i];
    }
    snprintf(seconds, sizeof seconds, "%d", BELL_SECONDS);
    argv[1 + w->n_queues] = seconds;
    w->bell_waiting = true;
    redis_command(w->bell, 2 + w->n_queues, argv, NULL, (BELL_SECONDS + 10) * 1000, on_bell, w);
}

void dispatch_wake(struct worker *w)
{
    for (int i = 0; i < w->n_queues; i++)
        w->queues[i].hungry = true;
}

void dispatch_flush(struct worker *w)
{
    if (clock_monotonic_ms() < w->redis_retry_at_ms)
        return;
    int room = w->draining ? 0 : worker_free_slots(w);
    bool hungry = false;
    for (int i = 0; i < w->n_queues; i++) {
        struct worker_queue *q = &w->queues[(w->next_queue + i) % w->n_queues];
        hungry |= q->hungry;
        if (q->in_turn)
            continue;
        int want = q->hungry && room > 0 ? (room < TURN_MAX ? room : TURN_MAX) : 0;
        if (want == 0 && q->n_settle == 0)
            continue;
        room -= want;
        take_turn(q, want);
    }
    w->next_queue = (w->next_queue + 1) % w->n_queues;
    if (!hungry && room > 0 && !w->bell_waiting && !w->draining)
        listen_for_bell(w);
}

/* ---- unpark, heartbeat ---- */

static void on_answer_ignored(void *data, const redisReply *reply, const struct error *err)
{
    struct worker *w = data;
    w->asking--;
    if (reply == NULL)
        log_debug("Redis: %s", err->message); /* the reconciler does it again */
}

static void unpark(struct worker *w, const char *queue, const char *why, int count, const char *const *keys,
                   int n)
{
    w->asking++;
    queue_unpark(w->redis, queue, why, count, keys, n, on_answer_ignored, w);
    dispatch_wake(w);
}

void dispatch_unpark_one(struct worker *w, const char *queue, const char *why)
{
    unpark(w, queue, why, 1, NULL, 0);
}

void dispatch_unpark(struct worker *w, const char *queue, const char *why, const char *key)
{
    unpark(w, queue, why, 0, &key, 1);
}

void dispatch_unpark_rows(struct worker *w, const char *why, const PGresult *rows)
{
    enum { MAX = 256 };
    char keys[MAX][JOB_KEY_SIZE];
    const char *pointers[MAX];
    int n = 0;
    for (int i = 0; i < PQntuples(rows); i++) {
        const char *queue = pg_text(rows, i, 1);
        job_key(JOB_UPLOAD, pg_int(rows, i, 0, 0), keys[n]);
        pointers[n] = keys[n];
        n++;
        bool last = i + 1 == PQntuples(rows) || strcmp(pg_text(rows, i + 1, 1), queue) != 0;
        if (last || n == MAX) {
            unpark(w, queue, why, 0, pointers, n);
            n = 0;
        }
    }
}

struct heartbeat {
    struct worker *worker;
    int n;
    char keys[][JOB_KEY_SIZE];
};

static void on_heartbeat(void *data, const redisReply *reply, const struct error *err)
{
    struct heartbeat *h = data;
    h->worker->asking--;
    if (reply == NULL)
        worker_complain(h->worker, "Redis: heartbeat", err);
    for (size_t i = 0; reply && reply->type == REDIS_REPLY_ARRAY && i < reply->elements && (int)i < h->n;
         i++) {
        if (reply->element[i]->integer == 2)
            log_info("%s: Redis had lost it; registered again", h->keys[i]);
        else if (reply->element[i]->integer == 0)
            log_debug("%s: stands elsewhere in Redis; the fence in PostgreSQL decides", h->keys[i]);
    }
    free(h);
}

void dispatch_heartbeat(struct worker *w)
{
    char details[1024], host[600];
    snprintf(host, sizeof host, "%s", w->host);
    snprintf(details, sizeof details,
             "\"host\":\"%s\",\"pid\":%d,\"concurrency\":%lld,\"running\":%d,\"lease_seconds\":%lld", host,
             (int)getpid(), (long long)w->settings->concurrency, w->n_tasks + w->n_productions,
             (long long)w->settings->lease_seconds);
    for (int i = 0; i < w->n_queues; i++) {
        struct worker_queue *q = &w->queues[i];
        struct heartbeat *h = malloc(sizeof *h + sizeof *h->keys * (size_t)(w->n_tasks + 1));
        struct queue_held *held = malloc(sizeof *held * (size_t)(w->n_tasks + 1));
        if (h == NULL || held == NULL)
            abort();
        h->worker = w;
        h->n = 0;
        for (struct task *t = w->tasks; t; t = t->next) {
            /* one being settled may be anywhere by now; registering it again would double it */
            if (t->queue != q || t->state == TASK_SETTLING || t->state == TASK_SETTLE)
                continue;
            memcpy(h->keys[h->n], t->key, sizeof t->key);
            held[h->n++] = (struct queue_held){t->key, t->token, t->payload};
        }
        w->asking++;
        queue_heartbeat(w->redis, q->name, w->id, details, w->lease_ms, held, h->n, on_heartbeat, h);
        free(held);
    }
}
