/*
 * The artifact isn't in this worker's staging directory (queue-protocol.md, "The artifact"). In this order:
 *
 *   1. another host has it and its workers serve this queue: hand the job over (parked:host:<host>)
 *   2. a completed copy that can be read from here: fetched into a nameless file, digest checked
 *   3. no copy completed, and the host that has it is gone (or it is this one, and the file is gone): a new
 *      generation
 *   4. wait; after BM_HANDOVER_SECONDS: failed, naming the host, unless it is alive and only busy
 *
 * None of this spends an attempt but the last.
 *
 *   SIBLINGS ─► WORKERS (queue by queue) ─► decide ─► FETCH (copy by copy) ─┬─► upload
 *                                                                           └─► RENEW ─► given back
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "artifact/staging.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "queue/heartbeats.h"
#include "worker.h"

enum { AGAIN_MS = 5000 };

struct acquire {
    struct task *task; /* NULL once the task was stopped: answers to come are ignored */
    struct worker *worker;
    PGresult *copies, *queues;
    int copy, queue;
    int renewed;         /* number of that result */
    bool elsewhere;      /* another host has the artifact */
    bool host_here;      /* its workers serve this queue */
    bool host_elsewhere; /* they serve this one or another */
    int fd;
    struct storage_get get;
    struct storage_op *op;
    struct storage_place place;
    struct error last;
};

/* About AGAIN_MS. Rows of one backup that were taken together hold one another up (each may be reading the
 * artifact, as the others see it): they must not come back together. */
static int64_t again_ms(void)
{
    return AGAIN_MS / 2 + (int64_t)(random_u64() % AGAIN_MS);
}

static void decide(struct acquire *a);
static void fetch_next(struct acquire *a);

static void release(struct acquire *a)
{
    if (a->task)
        a->task->acquire = NULL;
    a->worker->asking--;
    PQclear(a->copies);
    PQclear(a->queues);
    if (a->fd >= 0)
        close(a->fd);
    storage_place_close(&a->place);
    free(a);
}

static void give_back(struct acquire *a, enum row_outcome outcome, int64_t delay_ms, const struct error *err)
{
    struct task *t = a->task;
    struct worker *w = a->worker;
    release(a);
    if (t)
        task_end(t, outcome, delay_ms, err);
    worker_work_changed(w);
}

/* True when the task was stopped meanwhile; then everything is released. */
static bool stopped(struct acquire *a)
{
    if (a->task)
        return false;
    release(a);
    return true;
}

void acquire_stop(struct task *t)
{
    struct acquire *a = t->acquire;
    if (a) {
        a->task = NULL;
        t->acquire = NULL;
        if (a->op)
            storage_op_cancel(a->op);
    }
    if (t->stop == STOP_STALE)
        task_settle(t, QUEUE_READY, NULL);
    else
        task_end(t, ROW_GIVEN_BACK, 0, NULL);
}

/* ---- new generation ---- */

static void on_renewed(void *data, const struct pg_results *results, const struct error *err)
{
    struct acquire *a = data;
    if (stopped(a))
        return;
    struct task *t = a->task;
    bool done = results && PQntuples(results->results[a->renewed]) > 0;
    if (results == NULL)
        worker_complain(a->worker, "PostgreSQL", err);
    if (done)
        log_warn("%s: nobody has the artifact of %s (generation %" PRId64 " was on %s); it is produced anew",
                 t->key, t->row.backup_name, t->row.artifact_fence,
                 t->row.artifact_host ? t->row.artifact_host : "?");
    give_back(a, ROW_GIVEN_BACK, done ? 0 : again_ms(), NULL);
}

static void produce_anew(struct acquire *a)
{
    struct task *t = a->task;
    struct pg_request *request = pg_request_new(a->worker->pg);
    if (request == NULL ||
        rows_add_artifact_renew(request, t->row.backup_id, t->row.artifact_fence, t->row.id, &a->renewed)) {
        pg_request_free(request);
        give_back(a, ROW_GIVEN_BACK, again_ms(), NULL);
        return;
    }
    pg_request_send(request, on_renewed, a);
}

/* ---- a completed sibling ---- */

static void on_got(struct storage_get *get, uint64_t size, const char *sha256, const struct error *err)
{
    struct acquire *a = get->data;
    a->op = NULL;
    if (stopped(a))
        return;
    struct task *t = a->task;
    const char *name = pg_text(a->copies, a->copy, 5);
    if (err == NULL && size == (uint64_t)t->row.artifact_size &&
        strcmp(sha256, t->row.artifact_sha256) == 0) {
        log_info("%s: artifact of %s read from its copy at %s", t->key, t->row.backup_name, name);
        int fd = a->fd;
        a->fd = -1;
        release(a);
        task_artifact_ready(t, fd);
        return;
    }
    if (err)
        a->last = *err;
    else
        error_set(&a->last, ERROR_CORRUPT, true,
                  "the copy at %s is not what was backed up: sha256 %s, should be %s", name, sha256,
                  t->row.artifact_sha256);
    log_warn("%s: %s", t->key, a->last.message);
    a->copy++;
    fetch_next(a);
}

/* A file without a name, in the staging directory: nothing to clean up, whatever happens. */
static int nameless_file(const char *dir, struct error *err)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) {
        char path[4200];
        snprintf(path, sizeof path, "%s/fetch.XXXXXX", dir);
        fd = mkostemp(path, O_CLOEXEC);
        if (fd >= 0)
            unlink(path);
    }
    if (fd < 0)
        error_errno(err, errno, "staging directory %s", dir);
    return fd;
}

static int64_t bound_ms(const struct acquire *a)
{
    return a->worker->settings->handover_seconds * 1000;
}

static void give_up_or_wait(struct acquire *a)
{
    struct task *t = a->task;
    if (a->host_here && t->row.waited_ms >= bound_ms(a)) { /* alive, but busy for that long */
        log_warn("%s: waits on for %s, which has the artifact of %s", t->key, t->row.artifact_host,
                 t->row.backup_name);
        give_back(a, ROW_WAITS_FOR_HOST, 0, NULL);
        return;
    }
    if (t->row.waited_ms < bound_ms(a)) {
        struct error err;
        error_set(&err, ERROR_UNREACHABLE, true, "waits for the artifact, which %s has",
                  t->row.artifact_host && !t->row.artifact_gone ? t->row.artifact_host : "no living host");
        give_back(a, ROW_WAITS_FOR_HOST, again_ms(), &err);
        return;
    }
    struct error err;
    error_set(
        &err, ERROR_UNREACHABLE, false, "the artifact %s host %s%s, and no copy of it can be read here%s%s",
        t->row.artifact_gone ? "is gone from" : "is on", t->row.artifact_host ? t->row.artifact_host : "?",
        t->row.artifact_gone ? "" : ", which can't be reached", a->last.code ? ": " : "", a->last.message);
    log_error("%s: %s", t->key, err.message);
    give_back(a, ROW_FAILED, 0, &err);
}

/* The place of the copy at hand. */
static int open_copy(struct acquire *a, struct error *err)
{
    const PGresult *r = a->copies;
    const char *recorded = pg_text(r, a->copy, 6);
    const char *wanted = a->task->row.artifact_sha256 ? a->task->row.artifact_sha256 : "?";
    storage_place_close(&a->place);
    if (recorded == NULL || strcmp(recorded, wanted) != 0)
        /* not by our hands: no source, and no reason to dump anew either */
        return error_set(err, ERROR_CORRUPT, true, "the copy at %s is recorded with sha256 %s, should be %s",
                         pg_text(r, a->copy, 5), recorded ? recorded : "none", wanted);
    const struct storage_columns columns = {.storage_type = pg_text(r, a->copy, 0),
                                            .base_path = pg_text(r, a->copy, 2),
                                            .storage_config = pg_text(r, a->copy, 3),
                                            .disk_identity = pg_text(r, a->copy, 4),
                                            .credentials_ref = pg_text(r, a->copy, 7),
                                            .destination = pg_text(r, a->copy, 8),
                                            .bandwidth_limit = pg_int(r, a->copy, 9, 0)};
    return storage_place_open(&a->place, &columns, a->worker->legacy_base, a->worker->access,
                              pg_text(r, a->copy, 1), err);
}

static void fetch_next(struct acquire *a)
{
    struct error err = {0};
    struct worker *w = a->worker;
    for (; a->copy < PQntuples(a->copies); a->copy++) {
        if (open_copy(a, &err)) {
            a->last = err;
            continue;
        }
        if (a->fd < 0 && (a->fd = nameless_file(w->settings->staging_dir, &err)) < 0) {
            a->last = err;
            continue;
        }
        if (ftruncate(a->fd, 0))
            continue;
        a->get = (struct storage_get){.loop = w->loop,
                                      .location = a->place.location,
                                      .key = pg_text(a->copies, a->copy, 1),
                                      .target_fd = a->fd,
                                      .done = on_got,
                                      .data = a};
        if (a->place.driver->get_start(&a->get, &a->op, &err) == 0)
            return;
        a->last = err;
    }
    int64_t waited_ms = a->task->row.waited_ms;
    bool early =
        waited_ms < w->lease_ms && waited_ms < bound_ms(a); /* Redis may have lost its name just now */
    if (PQntuples(a->copies) > 0 || a->host_elsewhere || (a->elsewhere && early))
        give_up_or_wait(a);
    else
        produce_anew(a);
}

/* ---- who is alive ---- */

static void on_workers(void *data, const redisReply *reply, const struct error *err)
{
    struct acquire *a = data;
    if (stopped(a))
        return;
    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        worker_complain(a->worker, "Redis", err);
        give_back(a, ROW_GIVEN_BACK, again_ms(), NULL);
        return;
    }
    if (queue_host_is_alive(reply, a->task->row.artifact_host)) {
        if (strcmp(pg_text(a->queues, a->queue, 0), a->task->queue->name) == 0)
            a->host_here = true;
        a->host_elsewhere = true;
    }
    a->queue++;
    decide(a);
}

static void decide(struct acquire *a)
{
    struct task *t = a->task;
    struct worker *w = a->worker;
    const char *host = t->row.artifact_host;
    a->elsewhere = host && !t->row.artifact_gone && strcmp(host, w->host) != 0;
    if (a->elsewhere && a->queue < PQntuples(a->queues)) {
        char key[QUEUE_KEY_SIZE];
        queue_key(key, pg_text(a->queues, a->queue, 0), ":workers");
        redis_command(w->redis, 2, (const char *[]){"HGETALL", key}, NULL, 0, on_workers, a);
        return;
    }
    if (a->host_here && t->row.waited_ms < bound_ms(a)) {
        log_info("%s: handed over to %s, which has the artifact of %s", t->key, host, t->row.backup_name);
        give_back(a, ROW_WAITS_FOR_HOST, 0, NULL);
        return;
    }
    fetch_next(a);
}

static void on_siblings(void *data, const struct pg_results *results, const struct error *err)
{
    struct acquire *a = data;
    if (stopped(a))
        return;
    if (results) {
        a->copies = PQcopyResult(results->results[0], PG_COPYRES_ATTRS | PG_COPYRES_TUPLES);
        a->queues = PQcopyResult(results->results[1], PG_COPYRES_ATTRS | PG_COPYRES_TUPLES);
    }
    if (a->copies == NULL || a->queues == NULL) {
        if (err)
            worker_complain(a->worker, "PostgreSQL", err);
        give_back(a, ROW_GIVEN_BACK, again_ms(), NULL);
        return;
    }
    decide(a);
}

void acquire_start(struct task *t)
{
    struct worker *w = t->worker;
    struct acquire *a = calloc(1, sizeof *a);
    struct pg_request *request = pg_request_new(w->pg);
    int index;
    if (a == NULL || request == NULL)
        abort();
    a->task = t;
    a->worker = w;
    a->fd = -1;
    t->acquire = a;
    w->asking++;
    /* mine, and not there: say so, so that nobody is sent here for it any more */
    if (t->row.artifact_host && strcmp(t->row.artifact_host, w->host) == 0 && !t->row.artifact_gone)
        log_warn("%s: the staged artifact of %s is not in %s", t->key, t->row.backup_name,
                 w->settings->staging_dir);
    if (rows_add_siblings(request, t->row.backup_id, &index)) {
        pg_request_free(request);
        give_back(a, ROW_GIVEN_BACK, again_ms(), NULL);
        return;
    }
    if (t->row.artifact_host && strcmp(t->row.artifact_host, w->host) == 0)
        rows_add_artifact_gone(request, t->row.backup_id, t->row.artifact_fence);
    pg_request_send(request, on_siblings, a);
}
