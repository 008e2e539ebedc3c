#include "queue/maintenance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "queue/heartbeats.h"
#include "queue/job.h"
#include "queue/queue.h"
#include "store/rows.h"
#include "store/unfinished.h"

/*
 * A pass is one sequence of requests, each answered before the next is sent:
 *
 *   LOCK -> RELAY_SELECT -> RELAY_PUSH (per queue) -> RELAY_STAMP -> RELAY_SELECT ... until a page comes
 * short
 *        -> DUE -> QUEUES -> for each queue:
 *             REAP -> PARKED_NAMES -> for each list: PARKED_PAGE -> PARKED_JUDGE -> UNPARK -> PARKED_PAGE ...
 *             -> CURSOR -> FETCH -> LOOK -> UNSTAMP -> FETCH ... -> CLOSE_CURSOR
 *        -> ENDED -> ROLL_UP -> RELAY_SELECT ... (what was restored) -> FOLD ... -> RECORD -> UNLOCK
 *
 * The lock and the cursor live in a transaction on a connection of their own; every write goes over the
 * shared client and is committed at once, so that no worker waits for a row until the pass ends.
 */
enum state {
    IDLE,
    LOCK,
    RELAY_SELECT,
    RELAY_PUSH,
    RELAY_STAMP,
    DUE,
    QUEUES,
    REAP,
    PARKED_NAMES,
    PARKED_PAGE,
    HOST_ALIVE,
    PARKED_JUDGE,
    UNPARK,
    CURSOR,
    FETCH,
    LOOK,
    UNSTAMP,
    CLOSE_CURSOR,
    ENDED,
    ROLL_UP,
    FOLD,
    RECORD,
    UNLOCK,
};

enum {
    PAGE = 500,
    REAP_MAX = 1000,
    MAX_QUEUES = 1000,
    MAX_PARKED = 1000,
    MAX_PAGES = 100000,
    SILENCE_MIN = 15
};

struct maintenance {
    uv_loop_t *loop;
    struct pg_client *lock;
    struct pg_client *pg;
    struct redis_client *redis;
    int64_t lease_seconds, reconcile_seconds, handover_seconds;

    enum state state;
    unsigned flags;
    maintenance_done_fn cb;
    void *data;
    struct maintenance_report report;
    unsigned pass; /* answers of an abandoned pass are recognised by it */
    int waiting;   /* requests without an answer */
    bool closing, lock_closed;
    void (*on_closed)(void *data);
    void *closed_data;

    struct error failed; /* the reason why the pass ends early */
    bool locked;
    int64_t held_at_ms; /* when the lock's session was last heard of, at the latest */
    bool last_relay;

    /* relay: one page of rows */
    PGresult *rows;
    int at;
    struct strbuf ids;
    int page_n;

    /* reconcile */
    char **queues;
    int n_queues, queue;
    char **whys;
    int n_whys, why;
    int64_t list_at; /* position in the parked list */
    char **keys;     /* job keys of the page under work */
    int n_keys;
    bool host_alive;
    int pages;
};

struct answer {
    struct maintenance *m;
    unsigned pass;
};

static void step(struct maintenance *m, const struct pg_results *pg, const redisReply *redis);

/* ---- small parts ---- */

static void free_list(char ***list, int *n)
{
    for (int i = 0; i < *n; i++)
        free((*list)[i]);
    free(*list);
    *list = NULL;
    *n = 0;
}

static void list_add(char ***list, int *n, int max, const char *text)
{
    if (*n >= max)
        return;
    char **grown = realloc(*list, sizeof **list * (size_t)(*n + 1));
    char *copy = strdup(text);
    if (grown)
        *list = grown;
    if (grown == NULL || copy == NULL) {
        free(copy);
        return;
    }
    grown[(*n)++] = copy;
}

static void finish(struct maintenance *m)
{
    PQclear(m->rows);
    m->rows = NULL;
    free_list(&m->queues, &m->n_queues);
    free_list(&m->whys, &m->n_whys);
    free_list(&m->keys, &m->n_keys);
    m->state = IDLE;
    m->locked = false;
    m->pass++;
    maintenance_done_fn cb = m->cb;
    m->cb = NULL;
    if (cb)
        cb(m->data, &m->report, m->failed.code ? &m->failed : NULL);
}

/* The memory goes once the lock's connection is closed and no answer is under way any more. */
static void release(struct maintenance *m)
{
    if (!m->closing || !m->lock_closed || m->waiting > 0)
        return;
    void (*on_closed)(void *) = m->on_closed;
    void *data = m->closed_data;
    strbuf_deinit(&m->ids);
    free(m);
    if (on_closed)
        on_closed(data);
}

static struct answer *expect(struct maintenance *m)
{
    struct answer *a = malloc(sizeof *a);
    if (a == NULL)
        abort();
    *a = (struct answer){.m = m, .pass = m->pass};
    m->waiting++;
    return a;
}

/* Returns the maintenance object when the answer belongs to the pass under way. */
static struct maintenance *received(struct answer *a)
{
    struct maintenance *m = a->m;
    bool current = a->pass == m->pass && m->state != IDLE;
    free(a);
    m->waiting--;
    if (!current)
        release(m);
    return current ? m : NULL;
}

/* An error ends the pass; the next one tries again. The lock goes with its transaction. */
static void fail(struct maintenance *m, const struct error *err)
{
    if (m->failed.code == 0)
        m->failed = *err;
    bool gone =
        err->code == ERROR_UNREACHABLE || err->code == ERROR_TIMEOUT; /* the transaction went with it */
    if (m->state == UNLOCK || !m->locked || (m->state == LOCK && gone)) {
        finish(m);
        return;
    }
    m->state = UNLOCK;
    step(m, NULL, NULL);
}

static void on_pg(void *data, const struct pg_results *results, const struct error *err)
{
    struct maintenance *m = received(data);
    if (m == NULL)
        return;
    if (results == NULL)
        fail(m, err);
    else
        step(m, results, NULL);
}

static void on_redis(void *data, const redisReply *reply, const struct error *err)
{
    struct maintenance *m = received(data);
    if (m == NULL)
        return;
    if (reply == NULL)
        fail(m, err);
    else
        step(m, NULL, reply);
}

static void ask(struct maintenance *m, struct pg_client *client, const struct pg_statement *const *statements,
                int n, const char *const *const *values)
{
    struct pg_request *request = pg_request_new(client);
    int rc = request == NULL;
    for (int i = 0; rc == 0 && i < n; i++)
        rc = pg_request_add(request, statements[i], values ? values[i] : NULL);
    if (rc) {
        struct error err;
        pg_request_free(request);
        error_set(&err, ERROR_SYSTEM, true, "out of memory");
        fail(m, &err);
        return;
    }
    pg_request_send(request, on_pg, expect(m));
}

static void ask_one(struct maintenance *m, struct pg_client *client, const struct pg_statement *statement,
                    const char *const *values)
{
    ask(m, client, &statement, 1, &values);
}

static void command(struct maintenance *m, int argc, const char *const *argv)
{
    redis_command(m->redis, argc, argv, NULL, 0, on_redis, expect(m));
}

static void on_held(void *data, const struct pg_results *results, const struct error *err)
{
    (void)results, (void)err; /* a lock that is lost shows at its next use */
    received(data);
}

/* In the long loops that ask only others than the lock's session. */
static void hold_lock(struct maintenance *m)
{
    int64_t now = clock_monotonic_ms();
    struct pg_request *request =
        m->locked && now - m->held_at_ms >= SILENCE_MIN * 1000 / 3 ? pg_request_new(m->lock) : NULL;
    if (request == NULL)
        return;
    m->held_at_ms = now;
    pg_request_add(request, &unfinished_say_something, NULL);
    pg_request_send(request, on_held, expect(m));
}

/* ---- relay ---- */

/* Pushes the rows of one queue from the page; the next answer comes back here for the next queue. */
static void push_next_queue(struct maintenance *m)
{
    int n = PQntuples(m->rows);
    if (m->at >= n) {
        m->state = RELAY_STAMP;
        pg_array_end(&m->ids);
        ask_one(m, m->pg, &unfinished_stamp, (const char *[]){strbuf_cstr(&m->ids)});
        return;
    }
    const char *queue = pg_text(m->rows, m->at, 7);
    struct queue_entry entries[PAGE];
    char keys[PAGE][JOB_KEY_SIZE], wheres[PAGE][32];
    char *lines[PAGE];
    int count = 0;
    char now[CLOCK_ISO8601_SIZE];
    clock_iso8601(clock_wall_ms(), now);
    while (m->at < n && count < PAGE && strcmp(pg_text(m->rows, m->at, 7), queue) == 0) {
        const PGresult *r = m->rows;
        int row = m->at++;
        struct job_text text = {
            .id = pg_int(r, row, 0, 0),
            .op = JOB_UPLOAD,
            .backup_id = pg_int(r, row, 1, 0),
            .backup = pg_text(r, row, 2),
            .storage_type = pg_text(r, row, 3),
            .storage_name = pg_text(r, row, 4),
            .priority = pg_int(r, row, 5, 0),
            .attempt = pg_int(r, row, 6, 1),
            .enqueued_at = now,
        };
        char *line = job_format(&text);
        if (line == NULL)
            continue; /* out of memory: the next pass finds the row again */
        int64_t wait_ms = pg_int(r, row, 8, 0);
        const char *parked = pg_text(r, row, 9);
        if (wait_ms > 0)
            snprintf(wheres[count], sizeof *wheres, "retry:%lld", (long long)wait_ms);
        else
            snprintf(wheres[count], sizeof *wheres, "%s%s", parked ? "parked:" : "ready",
                     parked ? parked : "");
        job_key(JOB_UPLOAD, text.id, keys[count]);
        lines[count] = line;
        entries[count] = (struct queue_entry){keys[count], wheres[count], line};
        count++;
        pg_array_int(&m->ids, text.id);
    }
    queue_enqueue(m->redis, queue, entries, count, on_redis, expect(m));
    for (int i = 0; i < count; i++)
        free(lines[i]);
}

static void relay(struct maintenance *m)
{
    hold_lock(m);
    m->state = RELAY_SELECT;
    ask_one(m, m->pg, &unfinished_select_unqueued, NULL);
}

/* ---- parked lists ---- */

static void next_queue(struct maintenance *m);

static void judge_page(struct maintenance *m)
{
    struct pg_request *request = pg_request_new(m->pg);
    int index;
    int rc = request ? rows_add_judge_parked(request, m->whys[m->why], m->keys, m->n_keys,
                                             m->host_alive ? m->handover_seconds : 0, &index)
                     : ERROR_SYSTEM;
    if (rc) {
        struct error err;
        pg_request_free(request);
        error_set(&err, ERROR_SYSTEM, true, "out of memory");
        fail(m, &err);
        return;
    }
    m->state = PARKED_JUDGE;
    pg_request_send(request, on_pg, expect(m));
}

static void next_parked_page(struct maintenance *m)
{
    char key[2048], from[24], to[24]; /* a host's identity is long: its staging directory is part of it */
    snprintf(key, sizeof key, "bm:{%s}:parked:%s", m->queues[m->queue], m->whys[m->why]);
    snprintf(from, sizeof from, "%lld", (long long)m->list_at);
    snprintf(to, sizeof to, "%lld", (long long)m->list_at + PAGE - 1);
    hold_lock(m);
    m->state = PARKED_PAGE;
    command(m, 4, (const char *[]){"LRANGE", key, from, to});
}

static void next_parked_list(struct maintenance *m)
{
    if (++m->why < m->n_whys) {
        m->list_at = 0;
        m->host_alive = false;
        next_parked_page(m);
        return;
    }
    m->state = CURSOR;
    ask_one(m, m->lock, &unfinished_open_cursor, (const char *[]){m->queues[m->queue]});
}

static void take_parked_page(struct maintenance *m, const redisReply *page)
{
    free_list(&m->keys, &m->n_keys);
    for (size_t i = 0; i < page->elements; i++) {
        struct job job;
        char key[JOB_KEY_SIZE];
        if (page->element[i]->type == REDIS_REPLY_STRING &&
            job_parse(page->element[i]->str, page->element[i]->len, &job, NULL) == 0 && job.id <= INT32_MAX) {
            job_key(job.op, job.id, key);
            list_add(&m->keys, &m->n_keys, PAGE, key);
        }
    }
    m->list_at += (int64_t)page->elements;
    m->page_n = (int)page->elements;
    if (m->n_keys == 0 && m->page_n == PAGE)
        next_parked_page(m); /* nothing but lines that nobody can read */
    else if (m->n_keys == 0)
        next_parked_list(m);
    else if (strncmp(m->whys[m->why], "host:", 5) == 0) {
        char key[QUEUE_KEY_SIZE];
        queue_key(key, m->queues[m->queue], ":workers");
        m->state = HOST_ALIVE;
        command(m, 2, (const char *[]){"HGETALL", key});
    } else
        judge_page(m);
}

static void unpark(struct maintenance *m, const PGresult *r)
{
    int n = PQntuples(r);
    if (n == 0) {
        if (m->page_n < PAGE)
            next_parked_list(m);
        else
            next_parked_page(m);
        return;
    }
    const char *keys[PAGE];
    for (int i = 0; i < n && i < PAGE; i++)
        keys[i] = pg_text(r, i, 0);
    m->state = UNPARK;
    queue_unpark(m->redis, m->queues[m->queue], m->whys[m->why], 0, keys, n < PAGE ? n : PAGE, on_redis,
                 expect(m));
}

/* ---- lost jobs ---- */

static void fetch_next(struct maintenance *m)
{
    m->state = FETCH;
    ask_one(m, m->lock, &unfinished_fetch, NULL);
}

static void look_up(struct maintenance *m, const PGresult *r)
{
    free_list(&m->keys, &m->n_keys);
    m->page_n = PQntuples(r);
    if (m->page_n == 0 || ++m->pages > MAX_PAGES) {
        m->state = CLOSE_CURSOR;
        ask_one(m, m->lock, &unfinished_close_cursor, NULL);
        return;
    }
    const char *argv[PAGE + 2] = {"HMGET"};
    char jobs[QUEUE_KEY_SIZE];
    queue_key(jobs, m->queues[m->queue], ":jobs");
    argv[1] = jobs;
    for (int i = 0; i < m->page_n; i++) {
        char key[JOB_KEY_SIZE];
        job_key(JOB_UPLOAD, pg_int(r, i, 0, 0), key);
        list_add(&m->keys, &m->n_keys, PAGE, key);
    }
    for (int i = 0; i < m->n_keys; i++)
        argv[2 + i] = m->keys[i];
    m->state = LOOK;
    command(m, 2 + m->n_keys, argv);
}

static void restore_missing(struct maintenance *m, const redisReply *standing)
{
    strbuf_clear(&m->ids);
    pg_array_begin(&m->ids);
    int missing = 0;
    for (size_t i = 0; i < standing->elements && (int)i < m->n_keys; i++) {
        if (standing->element[i]->type != REDIS_REPLY_NIL)
            continue;
        pg_array_int(&m->ids, strtoll(strchr(m->keys[i], ':') + 1, NULL, 10));
        missing++;
    }
    pg_array_end(&m->ids);
    if (missing == 0) {
        fetch_next(m);
        return;
    }
    m->report.restored += missing;
    m->state = UNSTAMP;
    ask_one(m, m->pg, &unfinished_unstamp, (const char *[]){strbuf_cstr(&m->ids)});
}

/* ---- the pass ---- */

static void next_queue(struct maintenance *m)
{
    if (++m->queue < m->n_queues) {
        m->state = REAP;
        queue_reap(m->redis, m->queues[m->queue], REAP_MAX, m->lease_seconds * 1000 * 5, on_redis, expect(m));
        return;
    }
    m->state = ENDED;
    ask_one(m, m->pg, &unfinished_ended_unnoticed, NULL);
}

static void last_relay(struct maintenance *m)
{
    m->last_relay = true;
    relay(m);
}

static void roll_up(struct maintenance *m, const char *backup_ids)
{
    struct pg_request *request = pg_request_new(m->pg);
    if (request == NULL || rows_add_roll_up(request, backup_ids)) {
        struct error err;
        pg_request_free(request);
        error_set(&err, ERROR_SYSTEM, true, "out of memory");
        fail(m, &err);
        return;
    }
    m->state = ROLL_UP;
    pg_request_send(request, on_pg, expect(m));
}

static void unlock(struct maintenance *m)
{
    if (m->flags & MAINTENANCE_NO_LOCK) {
        finish(m);
        return;
    }
    m->state = UNLOCK;
    ask_one(m, m->lock, m->failed.code ? &unfinished_rollback : &unfinished_commit, NULL);
}

static void fold(struct maintenance *m)
{
    hold_lock(m);
    m->state = FOLD;
    ask_one(m, m->pg, &unfinished_fold_statistics, NULL);
}

static void after_relay(struct maintenance *m)
{
    if (m->last_relay)
        fold(m);
    else if ((m->flags & (MAINTENANCE_RECONCILE | MAINTENANCE_NOW)) && !(m->flags & MAINTENANCE_NO_LOCK)) {
        char seconds[24];
        snprintf(seconds, sizeof seconds, "%lld",
                 m->flags & MAINTENANCE_NOW ? 0 : (long long)m->reconcile_seconds * 3 / 4);
        m->state = DUE;
        ask_one(m, m->pg, &unfinished_is_due, (const char *[]){seconds});
    } else
        unlock(m);
}

static void step(struct maintenance *m, const struct pg_results *pg, const redisReply *redis)
{
    const PGresult *r = pg ? pg->results[pg->n - 1] : NULL;
    struct error err;
    bool array = redis && redis->type == REDIS_REPLY_ARRAY;
    switch (m->state) {
    case IDLE:
        return;
    case LOCK:
        if (!pg_bool(r, 0, 0, 0)) {
            m->report.busy = 1;
            unlock(m);
            return;
        }
        relay(m);
        return;
    case RELAY_SELECT:
        PQclear(m->rows);
        m->rows = PQcopyResult(r, PG_COPYRES_ATTRS | PG_COPYRES_TUPLES);
        m->at = 0;
        if (m->rows == NULL || PQntuples(m->rows) == 0) {
            after_relay(m);
            return;
        }
        strbuf_clear(&m->ids);
        pg_array_begin(&m->ids);
        m->state = RELAY_PUSH;
        push_next_queue(m);
        return;
    case RELAY_PUSH:
        for (size_t i = 0; array && i < redis->elements; i++)
            m->report.relayed += redis->element[i]->integer > 0;
        push_next_queue(m);
        return;
    case RELAY_STAMP:
        if (PQntuples(m->rows) == PAGE && ++m->pages < MAX_PAGES)
            relay(m);
        else
            after_relay(m);
        return;
    case DUE:
        if (!pg_bool(r, 0, 0, 1)) {
            unlock(m);
            return;
        }
        m->state = QUEUES;
        ask_one(m, m->pg, &unfinished_list_queues, NULL);
        return;
    case QUEUES:
        for (int i = 0; i < PQntuples(r); i++)
            list_add(&m->queues, &m->n_queues, MAX_QUEUES, pg_text(r, i, 0));
        m->queue = -1;
        next_queue(m);
        return;
    case REAP: {
        if (array && redis->elements == 2)
            m->report.reaped += redis->element[0]->integer;
        char key[QUEUE_KEY_SIZE];
        queue_key(key, m->queues[m->queue], ":parked");
        m->state = PARKED_NAMES;
        command(m, 2, (const char *[]){"SMEMBERS", key});
        return;
    }
    case PARKED_NAMES:
        free_list(&m->whys, &m->n_whys);
        for (size_t i = 0; array && i < redis->elements; i++)
            list_add(&m->whys, &m->n_whys, MAX_PARKED, redis->element[i]->str);
        m->why = -1;
        next_parked_list(m);
        return;
    case PARKED_PAGE:
        if (!array)
            break;
        take_parked_page(m, redis);
        return;
    case HOST_ALIVE:
        m->host_alive = array && queue_host_is_alive(redis, m->whys[m->why] + 5);
        judge_page(m);
        return;
    case PARKED_JUDGE:
        unpark(m, r);
        return;
    case UNPARK:
        if (redis->type == REDIS_REPLY_INTEGER) {
            m->report.unparked += redis->integer;
            m->list_at -= redis->integer; /* they have left the part of the list that was read */
        }
        if (m->page_n < PAGE)
            next_parked_list(m);
        else
            next_parked_page(m);
        return;
    case CURSOR:
        fetch_next(m);
        return;
    case FETCH:
        look_up(m, r);
        return;
    case LOOK:
        if (!array)
            break;
        restore_missing(m, redis);
        return;
    case UNSTAMP:
        fetch_next(m);
        return;
    case CLOSE_CURSOR:
        next_queue(m);
        return;
    case ENDED:
        if (pg_text(r, 0, 0))
            roll_up(m, pg_text(r, 0, 0));
        else
            last_relay(m);
        return;
    case ROLL_UP:
        last_relay(m);
        return;
    case FOLD:
        if (pg_int(r, 0, 0, 0) == UNFINISHED_FOLD_MAX && ++m->pages < MAX_PAGES) {
            fold(m);
            return;
        }
        m->state = RECORD;
        ask_one(m, m->pg, &unfinished_record, NULL);
        return;
    case RECORD:
        unlock(m);
        return;
    case UNLOCK:
        if (pg)
            finish(m);
        else
            unlock(m); /* on the way out after an error */
        return;
    }
    error_set(&err, ERROR_PROTOCOL, true, "Redis: unexpected answer in maintenance");
    fail(m, &err);
}

int maintenance_new(uv_loop_t *loop, const struct maintenance_options *o, struct maintenance **ret,
                    struct error *err)
{
    struct maintenance *m = calloc(1, sizeof *m);
    if (m == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    *m = (struct maintenance){.loop = loop,
                              .pg = o->pg,
                              .redis = o->redis,
                              .lease_seconds = o->lease_seconds,
                              .reconcile_seconds = o->reconcile_seconds,
                              .handover_seconds = o->handover_seconds};
    strbuf_init(&m->ids, 1u << 20);
    struct pg_options options = {
        .url = o->database_url, .application_name = "backupmanager maintenance", .session = true};
    int rc = pg_client_new(loop, &options, &m->lock, err);
    if (rc) {
        free(m);
        return rc;
    }
    *ret = m;
    return 0;
}

void maintenance_run(struct maintenance *m, unsigned flags, maintenance_done_fn cb, void *data)
{
    if (m->state != IDLE) {
        struct error err;
        error_set(&err, ERROR_CONFLICT, true, "a maintenance pass is under way");
        cb(data, &(struct maintenance_report){0}, &err);
        return;
    }
    m->flags = flags;
    m->cb = cb;
    m->data = data;
    m->report = (struct maintenance_report){0};
    m->failed = (struct error){0};
    m->last_relay = false;
    m->pages = 0;
    if (flags & MAINTENANCE_NO_LOCK) {
        relay(m);
        return;
    }
    m->state = LOCK;
    m->locked = true;
    m->held_at_ms = clock_monotonic_ms();
    char silence[24];
    snprintf(silence, sizeof silence, "%llds",
             (long long)(m->lease_seconds > SILENCE_MIN / 2 ? m->lease_seconds * 2 : SILENCE_MIN));
    ask(m, m->lock,
        (const struct pg_statement *const[]){&unfinished_begin, &unfinished_limit_silence,
                                             &unfinished_try_lock},
        3, (const char *const *const[]){NULL, (const char *const[]){silence}, NULL});
}

struct wait {
    uv_loop_t *loop;
    bool done;
    int rc;
    struct maintenance_report *report;
    struct error *err;
};

static void on_wait_done(void *data, const struct maintenance_report *report, const struct error *err)
{
    struct wait *w = data;
    w->done = true;
    uv_stop(w->loop); /* it may come from a timer: don't wait for other events */
    if (err) {
        *w->err = *err;
        w->rc = err->code;
    } else
        *w->report = *report;
}

int maintenance_run_wait(struct maintenance *m, unsigned flags, struct maintenance_report *ret,
                         struct error *err)
{
    struct wait w = {.loop = m->loop, .report = ret, .err = err};
    maintenance_run(m, flags, on_wait_done, &w);
    while (!w.done)
        uv_run(m->loop, UV_RUN_ONCE);
    return w.rc;
}

static void on_lock_closed(void *data)
{
    struct maintenance *m = data;
    m->lock_closed = true;
    release(m);
}

void maintenance_close(struct maintenance *m, void (*on_closed)(void *data), void *data)
{
    if (m == NULL)
        return;
    m->on_closed = on_closed;
    m->closed_data = data;
    if (m->state != IDLE) {
        error_set(&m->failed, ERROR_CANCELLED, true, "the program ends");
        finish(m);
    }
    m->closing = true;
    pg_client_close(m->lock, on_lock_closed, m);
}
