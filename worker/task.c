/*
 * One claimed job.
 *
 *  claimed ─► TAKE ─► TAKING ─┬─ taken ─► ACQUIRE ─► UPLOAD ─┬─► END ─► ENDING ─► SETTLE ─► SETTLING
 *                             │                              └─ fails for good, an upload is open:
 *                             │                                 CLEAN ─► END
 *                             ├─ ended ─► CLEAN ─► SETTLE (ack, bury)
 *                             ├─ gone ─► SETTLE (ack)
 *                             ├─ leased, not due ─► SETTLE (retry)
 *                             └─ artifact, order, full, paused ─► SETTLE (park), then judged again
 *
 * The happy path: the row is taken by compare-and-set, the staged artifact opened, the driver copies it, the
 * outcome is written under the fence, the job acked. Failures: the driver's error decides between ROW_RETRY
 * and ROW_FAILED; a lost row (STOP_STALE) writes nothing; a drain and a lease that could not be renewed give
 * it back. PostgreSQL or Redis out of reach: the write waits and is tried again, it is fenced and can't do
 * harm late.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "artifact/staging.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "base/utf8.h"
#include "worker.h"

struct shared_result *shared_result_new(const PGresult *result)
{
    struct shared_result *s = malloc(sizeof *s);
    if (s == NULL)
        return NULL;
    s->references = 1;
    s->result = PQcopyResult(result, PG_COPYRES_ATTRS | PG_COPYRES_TUPLES);
    if (s->result == NULL) {
        free(s);
        return NULL;
    }
    return s;
}

struct shared_result *shared_result_ref(struct shared_result *s)
{
    s->references++;
    return s;
}

void shared_result_unref(struct shared_result *s)
{
    if (s == NULL || --s->references > 0)
        return;
    PQclear(s->result);
    free(s);
}

struct task *task_new(struct worker_queue *queue, const char *payload, size_t size, int64_t token)
{
    struct worker *w = queue->worker;
    struct task *t = calloc(1, sizeof *t);
    char *copy = malloc(size + 1);
    if (t == NULL || copy == NULL)
        abort(); /* bounded by BM_CONCURRENCY: nothing sensible is left to do */
    memcpy(copy, payload, size);
    copy[size] = '\0';
    t->worker = w;
    t->queue = queue;
    t->state = TASK_TAKE;
    t->token = token;
    t->payload = copy;
    t->artifact_fd = -1;
    t->next = w->tasks;
    if (w->tasks)
        w->tasks->previous = t;
    w->tasks = t;
    w->n_tasks++;
    return t;
}

static void release_work(struct task *t)
{
    if (t->artifact_fd >= 0)
        close(t->artifact_fd);
    t->artifact_fd = -1;
    storage_place_close(&t->place);
    part_digests_free(t->part_digests);
    t->part_digests = NULL;
}

void task_free(struct task *t)
{
    struct worker *w = t->worker;
    release_work(t);
    shared_result_unref(t->strings);
    if (t->next)
        t->next->previous = t->previous;
    if (t->previous)
        t->previous->next = t->next;
    else
        w->tasks = t->next;
    w->n_tasks--;
    free(t->resume_state);
    free(t->payload);
    free(t);
}

bool task_holds_row(const struct task *t)
{
    return t->state == TASK_ACQUIRE || t->state == TASK_UPLOAD || t->state == TASK_END ||
           t->state == TASK_ENDING || (t->state == TASK_CLEAN && t->row.verdict == ROW_TAKEN);
}

void task_settle(struct task *t, enum queue_outcome outcome, const char *argument)
{
    release_work(t);
    t->state = TASK_SETTLE;
    t->settle = outcome;
    snprintf(t->settle_argument, sizeof t->settle_argument, "%s", argument ? argument : "");
    t->queue->n_settle++;
}

void task_settle_later(struct task *t, int64_t delay_ms)
{
    char delay[24];
    snprintf(delay, sizeof delay, "%lld", (long long)(delay_ms > 0 ? delay_ms : 1));
    task_settle(t, QUEUE_RETRY, delay);
}

void task_end(struct task *t, enum row_outcome outcome, int64_t delay_ms, const struct error *err)
{
    t->outcome = outcome;
    t->delay_ms = delay_ms;
    t->error = err ? *err : (struct error){0};
    utf8_clean(t->error.message);
    t->state = TASK_END;
}

static int open_place(struct task *t, struct error *err)
{
    const struct storage_columns columns = {.storage_type = t->row.storage_type,
                                            .base_path = t->row.base_path,
                                            .storage_config = t->row.storage_config,
                                            .disk_identity = t->row.disk_identity,
                                            .credentials_ref = t->row.credentials_ref,
                                            .destination = t->row.destination,
                                            .bandwidth_limit = t->row.bandwidth_limit};
    storage_place_close(&t->place);
    return storage_place_open(&t->place, &columns, t->worker->legacy_base, t->worker->access,
                              t->row.file_path, err);
}

/* ---- what attempts left: temporary files and open uploads of a row that has ended, or is about to ---- */

struct cleanup {
    struct storage_delete del;
    struct task *task;
    void (*then)(struct task *t);
};

static void on_cleaned(struct storage_delete *del, bool existed, const struct error *err)
{
    struct cleanup *c = del->data;
    struct task *t = c->task;
    void (*then)(struct task *) = c->then;
    (void)existed;
    if (err)
        log_warn("%s: removing leftovers: %s", t->key, err->message);
    else
        t->leaves_upload = false;
    t->op = NULL;
    free(c);
    then(t);
    worker_work_changed(t->worker);
}

/* t->place is open. */
static void clean_up(struct task *t, void (*then)(struct task *t))
{
    struct error err;
    struct cleanup *c = calloc(1, sizeof *c);
    if (c == NULL) {
        then(t);
        return;
    }
    c->task = t;
    c->then = then;
    c->del = (struct storage_delete){.loop = t->worker->loop,
                                     .location = t->place.location,
                                     .near_key = t->row.file_path,
                                     .resume_state = t->row.resume_state,
                                     .row_id = t->row.id,
                                     .fence = t->row.fence,
                                     .done = on_cleaned,
                                     .data = c};
    t->state = TASK_CLEAN;
    if (t->place.driver->delete_start(&c->del, &t->op, &err)) {
        free(c);
        then(t);
    }
}

static void settle_ended(struct task *t)
{
    bool failed = t->row.status && strcmp(t->row.status, "failed") == 0;
    bool cancelled = t->row.error_code && strcmp(t->row.error_code, "cancelled") == 0;
    if (failed && !cancelled)
        task_settle(t, QUEUE_BURY, t->row.error_message);
    else
        task_settle(t, QUEUE_ACK, NULL);
}

/* A row that ended without us: what its worker left goes now, under the row's last fence. */
static void clean_up_ended(struct task *t)
{
    struct error err;
    bool left_over = t->row.fence > 0 && t->row.status && strcmp(t->row.status, "failed") == 0;
    if (left_over && open_place(t, &err) == 0)
        clean_up(t, settle_ended);
    else
        settle_ended(t);
}

/* ---- taken ---- */

static void end_failed(struct task *t)
{
    struct error err = t->error;
    if (t->stop == STOP_STALE)
        task_settle(t, QUEUE_READY, NULL);
    else
        task_end(t, ROW_FAILED, 0, &err);
}

static void end_with_error(struct task *t, const struct error *err)
{
    const struct settings *s = t->worker->settings;
    if (!err->retryable || t->row.attempts >= s->max_attempts) {
        log_warn("%s fence %lld: failed for good after %lld attempts: %s", t->key, (long long)t->row.fence,
                 (long long)t->row.attempts, err->message);
        t->error = *err;
        t->leaves_upload = t->row.resume_state != NULL;
        if (t->row.resume_state && t->place.driver && t->stop == STOP_NOT)
            clean_up(t, end_failed); /* nobody will take this upload up again */
        else
            end_failed(t);
        return;
    }
    int64_t delay = backoff_ms((int)t->row.attempts, s->retry_base_ms, s->retry_cap_ms, random_u64());
    if (delay < err->retry_after_ms)
        delay = err->retry_after_ms;
    log_warn("%s fence %lld: attempt %lld failed, again in %lld ms: %s", t->key, (long long)t->row.fence,
             (long long)t->row.attempts, (long long)delay, err->message);
    task_end(t, ROW_RETRY, delay, err);
}

/* ---- resume state: batch.c writes it ---- */

static void on_save(struct storage_put *put, const char *state, void (*saved)(void *arg, bool ours),
                    void *arg)
{
    struct task *t = put->data;
    t->save = (struct task_save){.state = SAVE_WAITS, .saved = saved, .arg = arg};
    t->save.text = state ? strdup(state) : NULL;
    if (state && t->save.text == NULL)
        abort(); /* bounded: at most one per task */
}

void task_saved(struct task *t, bool ours)
{
    struct task_save save = t->save;
    t->save = (struct task_save){0};
    if (ours) {
        free(t->resume_state);
        t->row.resume_state = t->resume_state = save.text;
    } else
        free(save.text);
    save.saved(save.arg, ours);
}

static void on_put_done(struct storage_put *put, const struct storage_put_result *result,
                        const struct error *err)
{
    struct task *t = put->data;
    t->op = NULL;
    if (err == NULL) {
        memcpy(t->sha256, result->sha256, sizeof t->sha256);
        task_end(t, ROW_COMPLETED, 0, NULL);
    } else if (t->stop == STOP_STALE) {
        task_settle(t, QUEUE_READY, NULL); /* nothing of ours is left there; whoever holds the row goes on */
    } else if (t->stop != STOP_NOT) {
        task_end(t, ROW_GIVEN_BACK, 0, NULL);
    } else {
        end_with_error(t, err);
    }
    worker_work_changed(t->worker);
}

void task_artifact_ready(struct task *t, int fd)
{
    struct error err = {0};
    t->artifact_fd = fd;
    t->put = (struct storage_put){.loop = t->worker->loop,
                                  .key = t->row.file_path,
                                  .source_fd = fd,
                                  .size = (uint64_t)t->row.artifact_size,
                                  .sha256 = t->row.artifact_sha256,
                                  .row_id = t->row.id,
                                  .fence = t->row.fence,
                                  .backup_id = t->row.backup_id,
                                  .part_digests = t->part_digests,
                                  .resume_state = t->row.resume_state,
                                  .save = on_save,
                                  .done = on_put_done,
                                  .data = t};
    t->state = TASK_UPLOAD;
    int rc = open_place(t, &err);
    if (rc == 0) {
        t->put.location = t->place.location;
        rc = t->place.driver->put_start(&t->put, &t->op, &err);
    }
    if (rc)
        end_with_error(t, &err);
}

/* Made while the artifact was staged; of use to drivers that upload in parts. NULL = they make their own. */
static struct part_digests *read_part_digests(const struct task *t)
{
    const struct storage_driver *driver;
    struct error unknown; /* told by task_artifact_ready */
    if (storage_driver_find(t->row.storage_type, &driver, &unknown) ||
        !(driver->capabilities & STORAGE_CAP_RESUME))
        return NULL;
    return staging_open_parts(t->worker->settings->staging_dir, t->row.backup_id, t->row.artifact_fence,
                              (uint64_t)t->row.artifact_size, t->row.artifact_sha256);
}

static void acquire(struct task *t)
{
    struct error err = {0};
    if (t->row.takes > ROWS_POISON_TAKES) {
        error_set(&err, ERROR_LIMIT, false,
                  "poison: taken %d times without an answer, each time the worker died", ROWS_POISON_TAKES);
        end_with_error(t, &err);
        return;
    }
    int fd;
    int rc = t->row.artifact_gone || t->row.artifact_size < 0
                 ? ERROR_NOT_FOUND
                 : staging_open(t->worker->settings->staging_dir, t->row.backup_id, t->row.artifact_fence,
                                (uint64_t)t->row.artifact_size, &fd, &err);
    bool mine = t->row.artifact_host && strcmp(t->row.artifact_host, t->worker->host) == 0;
    if (rc == 0) {
        t->part_digests = read_part_digests(t);
        task_artifact_ready(t, fd);
    } else if (mine && rc != ERROR_NOT_FOUND && rc != ERROR_CORRUPT)
        end_with_error(t, &err); /* it may well be there: out of descriptors, a disk in trouble */
    else
        acquire_start(t);
}

void task_judged(struct task *t, const struct row_judged *row, struct shared_result *strings,
                 int64_t sent_at_ms)
{
    struct worker *w = t->worker;
    char why[1024];
    t->row = *row;
    free(t->resume_state);
    t->resume_state = NULL;
    t->strings = shared_result_ref(strings);
    switch (row->verdict) {
    case ROW_TAKEN:
        t->state = TASK_ACQUIRE;
        t->stop = STOP_NOT;
        t->leaves_upload = false;
        t->deadline_ms = sent_at_ms + w->lease_ms - w->lease_ms / 5;
        t->bytes_written = 0;
        acquire(t);
        return;
    case ROW_PRODUCE:
        task_settle(t, QUEUE_PARK, "artifact");
        production_start(w, row, strings, sent_at_ms);
        return;
    case ROW_ENDED:
        clean_up_ended(t);
        return;
    case ROW_GONE:
        log_info("%s: no such row any more; job dropped", t->key);
        task_settle(t, QUEUE_ACK, NULL);
        return;
    case ROW_WAIT:
        /* due this moment, and yet it could not be taken: someone is about to write it */
        task_settle_later(t, row->wait_ms > 0 ? row->wait_ms + 1 : 100);
        return;
    case ROW_ARTIFACT:
        task_settle(t, QUEUE_PARK, "artifact");
        return;
    case ROW_ORDER:
        task_settle(t, QUEUE_PARK, "order");
        return;
    case ROW_PAUSED:
        task_settle(t, QUEUE_PARK, "paused");
        return;
    case ROW_FULL:
        snprintf(why, sizeof why, "full:%lld", (long long)row->destination_id);
        task_settle(t, QUEUE_PARK, why);
        return;
    }
}

/* People read the line wherever it stands next. */
static void show_attempt(struct task *t, int64_t attempt)
{
    char *line = job_with_attempt(t->payload, attempt);
    if (line == NULL)
        return;
    free(t->payload);
    t->payload = line;
}

/* The outcome stands in PostgreSQL (or isn't ours to write): now Redis. */
void task_ended(struct task *t, enum row_written written)
{
    struct worker *w = t->worker;
    char why[1024];
    if (written == ROW_STALE) {
        log_warn("%s fence %lld: no longer ours, outcome not recorded", t->key, (long long)t->row.fence);
        task_settle(t, QUEUE_READY, NULL);
        return;
    }
    switch (t->outcome) {
    case ROW_COMPLETED:
        log_info("%s fence %lld: %s to %s, %lld bytes", t->key, (long long)t->row.fence, t->row.backup_name,
                 t->row.storage_name ? t->row.storage_name : t->row.storage_type,
                 (long long)t->row.artifact_size);
        task_settle(t, QUEUE_ACK, NULL);
        break;
    case ROW_RETRY:
        show_attempt(t, t->row.attempts + 1);
        task_settle_later(t, t->delay_ms);
        break;
    case ROW_FAILED:
        show_attempt(t, t->row.attempts);
        task_settle(t, QUEUE_BURY, t->error.message);
        break;
    case ROW_GIVEN_BACK:
        if (t->delay_ms > 0)
            task_settle_later(t, t->delay_ms);
        else
            task_settle(t, QUEUE_READY, NULL);
        break;
    case ROW_WAITS_FOR_HOST:
        if (t->delay_ms > 0) { /* for something else than workers that could be handed the job */
            task_settle_later(t, t->delay_ms);
            break;
        }
        snprintf(why, sizeof why, "host:%s", t->row.artifact_host);
        task_settle(t, QUEUE_PARK, why);
        break;
    }
    if (t->row.limited) {
        snprintf(why, sizeof why, "full:%lld", (long long)t->row.destination_id);
        dispatch_unpark_one(w, t->queue->name, why);
    }
}

void task_stop(struct task *t, enum stop_reason why)
{
    if (t->stop == STOP_NOT)
        t->stop = why;
    if (t->state == TASK_TAKE)
        task_settle(t, QUEUE_READY, NULL);
    else if (t->state == TASK_ACQUIRE)
        acquire_stop(t);
    else if ((t->state == TASK_UPLOAD || t->state == TASK_CLEAN) && t->op)
        storage_op_cancel(t->op);
}
