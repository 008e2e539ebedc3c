/*
 * A job waits for one of few threads, runs, and is answered; or its time is over first:
 *
 *   WAITING --> RUNNING --> answered, gone
 *      |           +-- deadline: answered; it and its place stay until the thread comes back
 *      +-- deadline: answered, gone
 *
 * One at a time for each mount: a dead one holds one thread, however often it is asked about.
 */
#include "apply.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "auth/secret.h"
#include "base/clock.h"
#include "mounts.h"

enum job_state { JOB_WAITING, JOB_RUNNING, JOB_CLOSING };

struct job {
    struct applies *applies;
    enum job_state state;
    enum catalog_kind kind;
    json_t *current, *changes;
    char *mount; /* of the path that is looked at; NULL: none is named */
    int64_t now_ms;
    apply_fn done; /* NULL: answered */
    void *data;
    uv_work_t work;
    uv_timer_t deadline;
    json_t *row;
    const char *field;
    struct error err;
    int rc;
    TAILQ_ENTRY(job) link;
};

struct applies {
    uv_loop_t *loop;
    const struct settings *settings;
    int64_t timeout_ms;
    TAILQ_HEAD(, job) waiting, running;
    unsigned n_waiting, n_running;
    bool freed;
};

int applies_new(uv_loop_t *loop, const struct settings *settings, int64_t timeout_ms,
                struct applies **ret_applies, struct error *err)
{
    struct applies *applies = calloc(1, sizeof *applies);
    if (applies == NULL)
        return error_set(err, ERROR_SYSTEM, false, "out of memory");
    *applies = (struct applies){.loop = loop, .settings = settings, .timeout_ms = timeout_ms};
    TAILQ_INIT(&applies->waiting);
    TAILQ_INIT(&applies->running);
    *ret_applies = applies;
    return 0;
}

static void release_when_unused(struct applies *applies)
{
    if (applies->freed && applies->n_running == 0)
        free(applies);
}

static void on_closed(uv_handle_t *handle)
{
    struct job *job = handle->data;
    json_decref(job->current);
    secret_json_free(job->changes);
    json_decref(job->row);
    free(job->mount);
    free(job);
}

/* It is in no list any more. */
static void close_job(struct job *job)
{
    job->state = JOB_CLOSING;
    uv_close((uv_handle_t *)&job->deadline, on_closed);
}

static void answer(struct job *job, json_t *row, const char *field, const struct error *err)
{
    apply_fn done = job->done;
    job->done = NULL;
    uv_timer_stop(&job->deadline);
    if (done)
        done(job->data, row, field, err);
    else
        json_decref(row);
}

/* --- running --- */

static void in_thread(uv_work_t *work)
{
    struct job *job = work->data;
    job->rc = catalog_apply(job->kind, job->current, job->changes, job->applies->settings, job->now_ms,
                            &job->row, &job->field, &job->err);
}

static void run_waiting(struct applies *applies);

static void on_run(uv_work_t *work, int status)
{
    struct job *job = work->data;
    struct applies *applies = job->applies;
    (void)status; /* never cancelled */
    TAILQ_REMOVE(&applies->running, job, link);
    applies->n_running--;
    json_t *row = job->row;
    job->row = NULL;
    answer(job, row, job->field, job->rc ? &job->err : NULL);
    close_job(job);
    run_waiting(applies);
    release_when_unused(applies);
}

static bool is_busy(const struct applies *applies, const char *mount)
{
    const struct job *job;
    TAILQ_FOREACH(job, &applies->running, link)
    if (mount && job->mount && strcmp(job->mount, mount) == 0)
        return true;
    return false;
}

static void run_waiting(struct applies *applies)
{
    struct job *job, *next;
    for (job = TAILQ_FIRST(&applies->waiting); job && applies->n_running < APPLIES_AT_ONCE; job = next) {
        next = TAILQ_NEXT(job, link);
        if (is_busy(applies, job->mount))
            continue;
        TAILQ_REMOVE(&applies->waiting, job, link);
        applies->n_waiting--;
        TAILQ_INSERT_TAIL(&applies->running, job, link);
        applies->n_running++;
        job->state = JOB_RUNNING;
        uv_queue_work(applies->loop, &job->work, in_thread, on_run); /* fails without a callback only */
    }
}

/* --- ends --- */

/* A job in a thread stays: the thread still reads it. */
static void give_up(struct job *job, const struct error *err)
{
    bool waits = job->state == JOB_WAITING;
    if (waits) {
        TAILQ_REMOVE(&job->applies->waiting, job, link);
        job->applies->n_waiting--;
    }
    answer(job, NULL, NULL, err);
    if (waits)
        close_job(job);
}

static void on_deadline(uv_timer_t *timer)
{
    struct error err = {0};
    error_set(&err, ERROR_TIMEOUT, true,
              "the disk under that path does not answer; mount it again, or try again when it does");
    give_up(timer->data, &err);
}

void applies_free(struct applies *applies)
{
    struct error err = {0};
    struct job *job;
    if (applies == NULL)
        return;
    error_set(&err, ERROR_CANCELLED, true, "the server is ending; ask again");
    while ((job = TAILQ_FIRST(&applies->waiting)) != NULL)
        give_up(job, &err);
    TAILQ_FOREACH(job, &applies->running, link) give_up(job, &err);
    applies->freed = true;
    release_when_unused(applies);
}

/* By its name, as file_check.c has it. NULL: memory is out, or no path is named. */
static char *mount_of(enum catalog_kind kind, const json_t *current, const json_t *changes)
{
    const char *column = kind == CATALOG_DATABASE ? "source_path" : "base_path";
    const char *path = json_string_value(json_object_get(changes, column));
    struct mounts mounts;
    if (path == NULL)
        path = json_string_value(json_object_get(current, column));
    if (path == NULL)
        return NULL;
    mounts_load(&mounts);
    char *mount = strdup(mounts_find(&mounts, path));
    mounts_deinit(&mounts);
    return mount;
}

int apply_start(struct applies *applies, enum catalog_kind kind, json_t *current, json_t *changes,
                apply_fn done, void *data, struct error *err)
{
    bool full = applies->n_waiting >= APPLIES_WAITING;
    struct job *job = full ? NULL : calloc(1, sizeof *job);
    if (job == NULL) {
        json_decref(current);
        secret_json_free(changes);
        return full ? error_set(err, ERROR_LIMIT, true,
                                "too many changes wait for disks that do not answer; try again later")
                    : error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    *job = (struct job){.applies = applies,
                        .kind = kind,
                        .current = current,
                        .changes = changes,
                        .mount = mount_of(kind, current, changes),
                        .now_ms = clock_wall_ms(),
                        .done = done,
                        .data = data};
    job->work.data = job->deadline.data = job;
    uv_timer_init(applies->loop, &job->deadline);
    uv_timer_start(&job->deadline, on_deadline, (uint64_t)applies->timeout_ms, 0);
    TAILQ_INSERT_TAIL(&applies->waiting, job, link);
    applies->n_waiting++;
    run_waiting(applies);
    return 0;
}
