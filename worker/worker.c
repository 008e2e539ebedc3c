/*
 * Start, the timers, and the end of a worker.
 *
 * SIGTERM drains: nothing is claimed any more, what runs may finish within BM_DRAIN_SECONDS, the rest is
 * stopped and given back without spending an attempt. A second signal stops at once.
 */
#include "worker.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "artifact/staging.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "loop/end_signals.h"

enum { TICK_MS = 250, PROGRESS_MS = 2000, LAST_WORDS_MS = 5000, RENEW_MS = 5000, COMPLAIN_AGAIN_MS = 60000 };

/* A copy that is done leaves its slot while its outcome is being written, so that the next jobs are claimed
 * and taken meanwhile. As many outcomes as there are slots may wait, no more: PostgreSQL may be away. */
int worker_free_slots(const struct worker *w)
{
    int busy = w->n_productions, written = 0;
    for (const struct task *t = w->tasks; t; t = t->next) {
        busy += t->state < TASK_END;
        written += t->state == TASK_END || t->state == TASK_ENDING;
    }
    for (int i = 0; i < w->n_queues; i++)
        busy += w->queues[i].reserved;
    int64_t room = w->settings->concurrency - busy, bound = 2 * w->settings->concurrency - busy - written;
    room = room < bound ? room : bound;
    return room > 0 ? (int)room : 0;
}

void worker_complain(struct worker *w, const char *what, const struct error *err)
{
    int64_t now = clock_monotonic_ms();
    char complaint[sizeof w->last_complaint];
    snprintf(complaint, sizeof complaint, "%s: %.200s", what, err ? err->message : "?");
    if (strcmp(complaint, w->last_complaint) == 0 && now - w->complained_at_ms < COMPLAIN_AGAIN_MS)
        return;
    memcpy(w->last_complaint, complaint, sizeof complaint);
    w->complained_at_ms = now;
    log_error("%s; trying again", complaint);
}

static void on_tick(uv_timer_t *timer);

void worker_work_changed(struct worker *w)
{
    bool busy = w->n_tasks > 0 || w->n_productions > 0 || w->draining || w->redis_retry_at_ms > 0;
    if (w->closing)
        return;
    if (!busy)
        uv_timer_stop(&w->tick);
    else if (!uv_is_active((uv_handle_t *)&w->tick)) {
        uint64_t period = (uint64_t)(w->lease_ms / 40 < TICK_MS ? w->lease_ms / 40 : TICK_MS);
        uv_timer_start(&w->tick, on_tick, period, period);
    }
}

static void stop_everything(struct worker *w, enum stop_reason why)
{
    for (struct task *t = w->tasks; t; t = t->next)
        task_stop(t, why);
    for (struct production *p = w->productions; p; p = p->next)
        production_stop(p, why);
}

static void check_deadlines(struct worker *w, int64_t now)
{
    for (struct task *t = w->tasks; t; t = t->next) {
        bool touches = t->state == TASK_ACQUIRE || t->state == TASK_UPLOAD ||
                       (t->state == TASK_CLEAN && task_holds_row(t));
        if (touches && t->stop == STOP_NOT && now >= t->deadline_ms) {
            log_warn("%s fence %lld: lease could not be renewed; stopped before it ends, to be given back",
                     t->key, (long long)t->row.fence);
            task_stop(t, STOP_UNSURE);
        }
    }
    struct production *next;
    for (struct production *p = w->productions; p; p = next) {
        next = p->next;
        if (now < p->deadline_ms)
            continue;
        if (!p->running)
            production_write_end(p);
        else if (p->stop == STOP_NOT) {
            log_warn(
                "backup %s: the lease of its dump could not be renewed; stopped before it ends, to be given back",
                p->row.backup_name);
            production_stop(p, STOP_UNSURE);
        }
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct worker *w = timer->data;
    int64_t now = clock_monotonic_ms();
    check_deadlines(w, now);
    int64_t since = now - w->renewed_at_ms;
    if (since >=
        (w->lease_ms / 3 < RENEW_MS ? w->lease_ms / 3 : RENEW_MS)) /* also how a cancel is learnt of */
        batch_renew(w, false);
    else if (since >= PROGRESS_MS)
        batch_renew(w, true);
    if (w->redis_retry_at_ms > 0 && now >= w->redis_retry_at_ms)
        w->redis_retry_at_ms = 0;
    if (w->draining) {
        if (w->n_tasks == 0 && w->n_productions == 0)
            w->stopped = true;
        else if (now >= w->drain_until_ms + LAST_WORDS_MS) {
            log_warn("%d jobs could not be given back in time; their leases will run out", w->n_tasks);
            w->stopped = true;
        } else if (now >= w->drain_until_ms)
            stop_everything(w, STOP_DRAIN);
        if (w->stopped)
            uv_stop(w->loop);
    }
    worker_work_changed(w);
}

static void on_heartbeat_due(uv_timer_t *timer)
{
    dispatch_heartbeat(timer->data);
}

static void on_upkeep_due(uv_timer_t *timer)
{
    upkeep_run(timer->data);
}

static void on_retry_due(uv_timer_t *timer)
{
    dispatch_wake(timer->data);
}

/* Just before the loop waits: what has come together in this turn goes out together. */
static void on_flush(uv_prepare_t *handle)
{
    struct worker *w = handle->data;
    if (w->stopped)
        return;
    batch_flush(w);
    dispatch_flush(w);
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct worker *w = handle->data;
    int64_t now = clock_monotonic_ms();
    if (w->draining) {
        w->drain_until_ms = now;
        return;
    }
    w->draining = true;
    w->drain_until_ms = now + w->settings->drain_seconds * 1000;
    log_info("signal %d: draining %d jobs and %d dumps, at most %lld s", signum, w->n_tasks, w->n_productions,
             (long long)w->settings->drain_seconds);
    for (struct task *t = w->tasks; t; t = t->next)
        if (t->state == TASK_TAKE)
            task_stop(t, STOP_DRAIN);
    worker_work_changed(w);
}

static void on_redis_state(void *data, bool connected, const struct error *why_not)
{
    struct worker *w = data;
    if (connected) {
        if (w->last_complaint[0])
            log_info("Redis: connected");
        w->last_complaint[0] = '\0';
        if (!w->closing) {
            dispatch_heartbeat(w);
            dispatch_wake(w);
        }
    } else if (!w->closing)
        worker_complain(w, "Redis", why_not);
}

/* ---- start ---- */

static int add_queues(struct worker *w, struct error *err)
{
    char *list = strdup(w->settings->queues), *rest = list, *name;
    int rc = 0;
    while (rc == 0 && (name = strsep(&rest, ",")) != NULL) {
        while (isspace((unsigned char)*name))
            name++;
        char *end = name + strlen(name);
        while (end > name && isspace((unsigned char)end[-1]))
            *--end = '\0';
        rc = queue_name_check(name, err);
        if (rc == 0 && w->n_queues == WORKER_MAX_QUEUES)
            rc = error_set(err, ERROR_INPUT, false, "BM_QUEUES: at most %d queues", WORKER_MAX_QUEUES);
        bool twice = false;
        for (int i = 0; rc == 0 && i < w->n_queues; i++)
            twice |= strcmp(w->queues[i].name, name) == 0;
        if (rc == 0 && !twice) {
            struct worker_queue *q = &w->queues[w->n_queues++];
            *q = (struct worker_queue){.worker = w, .hungry = true};
            snprintf(q->name, sizeof q->name, "%s", name);
        }
    }
    free(list);
    return rc;
}

/* Who we are: in rows, leases and lists. */
static int name_ourselves(struct worker *w, struct error *err)
{
    char random[17], clean[128], dir[PATH_MAX];
    snprintf(clean, sizeof clean, "%.100s", w->settings->host);
    queue_clean_identity(clean);
    for (char *p = clean; *p; p++)
        if (*p == '/' || *p == ':')
            *p = '_';
    random_hex(random, 4);
    snprintf(w->id, sizeof w->id, "%s-%d-%s", clean, (int)getpid(), random);
    if (realpath(w->settings->staging_dir, dir) == NULL)
        return error_set(err, ERROR_INPUT, false, "BM_STAGING_DIR: %s: %s", w->settings->staging_dir,
                         strerror(errno));
    snprintf(w->host, sizeof w->host, "%s:%.380s", clean, dir);
    queue_clean_identity(w->host);
    if (realpath(w->settings->legacy_base_path, w->legacy_base) == NULL) {
        char cwd[2048] = "";
        if (w->settings->legacy_base_path[0] == '/' || getcwd(cwd, sizeof cwd) == NULL)
            snprintf(w->legacy_base, sizeof w->legacy_base, "%s", w->settings->legacy_base_path);
        else
            snprintf(w->legacy_base, sizeof w->legacy_base, "%s/%.2000s", cwd, w->settings->legacy_base_path);
    }
    return 0;
}

static int connect_servers(struct worker *w, struct error *err)
{
    const struct settings *s = w->settings;
    char name[300];
    snprintf(name, sizeof name, "backup-worker %.60s", w->id);
    int rc = access_new(w->loop, s, &w->access, err);
    if (rc)
        return rc;
    struct pg_options pg = {.url = s->database_url,
                            .application_name = name,
                            .max_connections = (int)s->database_connections,
                            .max_queued = 4096};
    rc = pg_client_new(w->loop, &pg, &w->pg, err);
    if (rc)
        return rc;
    struct redis_options redis = {
        .url = s->redis_url, .name = w->id, .max_pending = 8192, .on_state = on_redis_state, .data = w};
    rc = redis_client_new(w->loop, &redis, &w->redis, err);
    if (rc)
        return rc;
    redis.on_state = NULL;
    rc = redis_client_new(w->loop, &redis, &w->bell, err);
    if (rc)
        return rc;
    struct maintenance_options maintenance = {.database_url = s->database_url,
                                              .pg = w->pg,
                                              .redis = w->redis,
                                              .lease_seconds = s->lease_seconds,
                                              .reconcile_seconds = s->reconcile_seconds,
                                              .handover_seconds = s->handover_seconds};
    return maintenance_new(w->loop, &maintenance, &w->maintenance, err);
}

static void start_timers(struct worker *w)
{
    uv_prepare_init(w->loop, &w->flush);
    uv_timer_init(w->loop, &w->tick);
    uv_timer_init(w->loop, &w->heartbeat);
    uv_timer_init(w->loop, &w->upkeep);
    uv_timer_init(w->loop, &w->due);
    uv_signal_init(w->loop, &w->on_term);
    uv_signal_init(w->loop, &w->on_int);
    w->flush.data = w->tick.data = w->heartbeat.data = w->upkeep.data = w->due.data = w;
    w->on_term.data = w->on_int.data = w;
    uv_prepare_start(&w->flush, on_flush);
    uint64_t beat = (uint64_t)(w->lease_ms / 3),
             upkeep = (uint64_t)(w->settings->relay_seconds < w->settings->reconcile_seconds
                                     ? w->settings->relay_seconds
                                     : w->settings->reconcile_seconds) *
                      1000;
    uv_timer_start(&w->heartbeat, on_heartbeat_due, beat, beat);
    /* not all workers of a host in step */
    uv_timer_start(&w->upkeep, on_upkeep_due, 1 + random_u64() % (upkeep < 1000 ? upkeep : 1000), upkeep);
    uv_timer_start(&w->due, on_retry_due, 60000, 0);
    uv_timer_stop(&w->due);
    uv_signal_start(&w->on_term, on_signal, SIGTERM);
    uv_signal_start(&w->on_int, on_signal, SIGINT);
    end_signals_hold();
    w->heartbeat.data = w;
}

int worker_init(struct worker *w, uv_loop_t *loop, const struct settings *settings, struct error *err)
{
    *w = (struct worker){.loop = loop, .settings = settings, .lease_ms = settings->lease_seconds * 1000};
    w->next_token = 1;
    w->swept_at_ms = INT64_MIN / 2;
    int rc = add_queues(w, err);
    if (rc == 0)
        rc = staging_prepare(settings->staging_dir, err);
    if (rc == 0)
        rc = name_ourselves(w, err);
    if (rc == 0)
        rc = connect_servers(w, err);
    if (rc)
        return rc;
    start_timers(w);
    upkeep_load_keys(w);
    return 0;
}

/* ---- end ---- */

static void on_part_closed(void *data)
{
    struct worker *w = data;
    w->open_parts--;
}

static void on_left(void *data, const redisReply *reply, const struct error *err)
{
    (void)reply, (void)err;
    (*(int *)data)--;
}

/* Takes our name off the lists: nobody waits for us. A bounded time. */
static void leave(struct worker *w)
{
    int waiting = 0;
    int64_t until = clock_monotonic_ms() + 1000;
    uv_timer_stop(&w->heartbeat); /* or it would put our name back */
    if (!redis_client_connected(w->redis))
        return;
    uv_timer_start(&w->due, on_retry_due, 1000, 0);
    for (int i = 0; i < w->n_queues; i++) {
        waiting++;
        queue_leave(w->redis, w->queues[i].name, w->id, on_left, &waiting);
    }
    while (waiting > 0 && clock_monotonic_ms() < until)
        uv_run(w->loop, UV_RUN_ONCE);
    if (waiting > 0) {
        /* the callbacks must not write to this frame any more: they run now */
        redis_client_close(w->redis, on_part_closed, w);
        w->open_parts++;
        w->redis = NULL;
    }
}

int worker_run(struct worker *w)
{
    log_info("worker %s serves %s, %lld jobs at once, staging %s", w->id, w->settings->queues,
             (long long)w->settings->concurrency, w->host);
    while (!w->stopped)
        uv_run(w->loop, UV_RUN_DEFAULT);
    bool left_behind = w->n_tasks > 0 || w->n_productions > 0;
    leave(w);
    log_info("worker %s ends", w->id);
    return left_behind ? 1 : 0;
}

void worker_deinit(struct worker *w)
{
    w->closing = true;
    w->stopped = true;
    if (w->flush.data) {
        uv_close((uv_handle_t *)&w->flush, NULL);
        uv_close((uv_handle_t *)&w->tick, NULL);
        uv_close((uv_handle_t *)&w->heartbeat, NULL);
        uv_close((uv_handle_t *)&w->upkeep, NULL);
        uv_close((uv_handle_t *)&w->due, NULL);
    }
    w->open_parts += (w->maintenance != NULL) + (w->pg != NULL) + (w->redis != NULL) + (w->bell != NULL) +
                     (w->access != NULL);
    maintenance_close(w->maintenance, on_part_closed, w);
    if (w->bell)
        redis_client_close(w->bell, on_part_closed, w);
    if (w->redis)
        redis_client_close(w->redis, on_part_closed, w);
    pg_client_close(w->pg, on_part_closed, w);
    access_close(w->access, on_part_closed, w);
    if (w->flush.data) {
        /* signals are heard to the end, but nothing waits for one: the loop ends with the last part */
        uv_unref((uv_handle_t *)&w->on_term);
        uv_unref((uv_handle_t *)&w->on_int);
    }
    uv_run(w->loop, UV_RUN_DEFAULT);
    assert(w->open_parts == 0 && w->asking == 0);
    if (w->flush.data) {
        uv_close((uv_handle_t *)&w->on_term, NULL);
        uv_close((uv_handle_t *)&w->on_int, NULL);
    }
    uv_run(w->loop, UV_RUN_DEFAULT);
}
