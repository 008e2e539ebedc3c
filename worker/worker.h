/*
 * The worker's own state. One libuv loop; everything here belongs to its thread.
 *
 * A task is a claimed job. Its life (task.c draws it):
 *
 *   claim -> TAKE -> ACQUIRE -> UPLOAD -> END -> SETTLE -> gone
 *
 * TAKE and END are written to PostgreSQL, SETTLE to Redis; tasks that meet in one turn of the loop share one
 * transaction or one script call (batch.c, dispatch.c). A production makes the artifact of one backup
 * (production.c); it holds a slot like a task.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "artifact/producer.h"
#include "auth/access.h"
#include "base/settings.h"
#include "loop/pg.h"
#include "loop/redis.h"
#include "queue/job.h"
#include "queue/maintenance.h"
#include "queue/queue.h"
#include "storage/part_digests.h"
#include "storage/place.h"
#include "store/rows.h"

enum { WORKER_MAX_QUEUES = 32 };

struct worker;

/* A copy of a result that several tasks read their strings from. */
struct shared_result {
    PGresult *result;
    int references;
};
struct shared_result *shared_result_new(const PGresult *result); /* NULL when memory is out */
struct shared_result *shared_result_ref(struct shared_result *shared);
void shared_result_unref(struct shared_result *shared); /* NULL is fine */

enum task_state {
    TASK_TAKE,     /* waits to be taken */
    TASK_TAKING,   /* in the take under way */
    TASK_ACQUIRE,  /* gets hold of the artifact */
    TASK_UPLOAD,   /* the driver works */
    TASK_CLEAN,    /* the driver removes what attempts left of an ended row, or of one that fails for good */
    TASK_END,      /* its outcome waits to be written */
    TASK_ENDING,   /* in the write under way */
    TASK_SETTLE,   /* its outcome waits for Redis */
    TASK_SETTLING, /* in the script call under way */
};

/* Why an operation was asked to stop. */
enum stop_reason {
    STOP_NOT,
    STOP_STALE,  /* someone else's by now: nothing is written */
    STOP_UNSURE, /* its lease could not be renewed: given back under the fence, should it still be ours */
    STOP_DRAIN,  /* given back */
};

struct worker_queue;

/* What a driver wants recorded for a later attempt (storage_put.save), from the asking to the answer. */
struct task_save {
    enum { SAVE_NOTHING, SAVE_WAITS, SAVE_WRITING } state;
    char *text; /* NULL: nothing to resume any more */
    void (*saved)(void *arg, bool ours);
    void *arg;
};

struct task {
    struct worker *worker;
    struct worker_queue *queue;
    struct task *next, *previous; /* in worker->tasks */
    enum task_state state;
    char key[JOB_KEY_SIZE];
    int64_t token;
    char *payload;
    struct job job;

    /* once taken */
    struct row_judged row;
    struct shared_result *strings; /* of row */
    int64_t deadline_ms;           /* monotonic: the destination isn't touched any more from then on */
    enum stop_reason stop;
    struct storage_place place;
    struct storage_put put;
    struct storage_op *op;
    struct part_digests *part_digests;
    struct task_save save;
    char *resume_state;      /* as last recorded by this attempt; row.resume_state points to it then */
    struct acquire *acquire; /* acquire.c */
    int artifact_fd;
    uint64_t bytes_written; /* bytes_done as last recorded */

    /* END */
    enum row_outcome outcome;
    struct error error;
    char sha256[STORAGE_SHA256_SIZE];
    int64_t delay_ms;
    bool leaves_upload; /* its upload is open still */

    /* SETTLE */
    enum queue_outcome settle;
    char settle_argument[1024];
};

struct production {
    struct worker *worker;
    struct production *next, *previous;
    int64_t backup_id, fence;
    struct row_judged row;
    struct shared_result *strings;
    int64_t deadline_ms;
    enum stop_reason stop;
    bool running; /* the producer works; otherwise its end is being written */
    struct producer *producer;
    struct producer_request request;
    struct artifact_end end;
    enum { PRODUCTION_READY, PRODUCTION_FAILED, PRODUCTION_RETRY, PRODUCTION_GIVEN_BACK } outcome;
    char sha256[65];
    struct error error;
    uint64_t bytes_written;
};

struct worker_queue {
    struct worker *worker;
    char name[QUEUE_NAME_MAX + 1];
    bool hungry;  /* there may be jobs */
    bool in_turn; /* a script call is under way */
    int reserved; /* slots that call may fill */
    int64_t first_token;
    int n_settle; /* tasks in TASK_SETTLE */
};

struct worker {
    uv_loop_t *loop;
    const struct settings *settings;
    char id[256];           /* host, pid and a random part */
    char host[512];         /* whose staging directory: BM_HOST and the directory */
    char legacy_base[4096]; /* BM_LEGACY_BASE_PATH, absolute */
    int64_t lease_ms;
    struct pg_client *pg;
    struct access *access; /* secrets, and the network for object stores */
    struct redis_client *redis;
    struct redis_client *bell; /* a connection of its own: it blocks */
    struct maintenance *maintenance;
    struct worker_queue queues[WORKER_MAX_QUEUES];
    int n_queues;
    int next_queue; /* which one claims first, in turn */
    int64_t next_token;

    struct task *tasks;
    int n_tasks;
    struct production *productions;
    int n_productions;

    bool take_in_flight, end_in_flight, renew_in_flight, save_in_flight;
    int end_singles; /* so many rows go one at a time, after a batch that PostgreSQL refused */
    int64_t pg_retry_at_ms, redis_retry_at_ms;
    int64_t renewed_at_ms;
    bool bell_waiting;
    int asking; /* requests whose answer comes back to this struct */

    uv_prepare_t flush;
    uv_timer_t tick;      /* while there is work: deadlines, progress, retries of writes */
    uv_timer_t heartbeat; /* always */
    uv_timer_t upkeep;    /* relay, reconciler, staging */
    uv_timer_t due;       /* the next retry in Redis */
    uv_signal_t on_term, on_int;
    bool draining, stopped, closing;
    int64_t drain_until_ms;
    int64_t swept_at_ms;
    bool sweeping;
    char last_complaint[256];
    int64_t complained_at_ms;
    int open_parts; /* clients not closed yet */
};

/* worker.c */
int worker_init(struct worker *w, uv_loop_t *loop, const struct settings *settings, struct error *err);
int worker_run(struct worker *w); /* until a signal has ended it; 0, or 1 when work was left behind */
void worker_deinit(struct worker *w);
int worker_free_slots(const struct worker *w);
void worker_work_changed(struct worker *w); /* starts or stops the tick, ends a drain */
/* Logs a server's trouble once, and again when it changes or lasts. */
void worker_complain(struct worker *w, const char *what, const struct error *err);

/* dispatch.c: Redis */
void dispatch_flush(struct worker *w);
void dispatch_wake(struct worker *w); /* all queues may have jobs */
/* Out of a parked list, for what may go now; only a shortcut, the reconciler judges every list anyway. */
void dispatch_unpark(struct worker *w, const char *queue, const char *why, const char *key);
void dispatch_unpark_one(struct worker *w, const char *queue,
                         const char *why); /* the first, whichever it is */
void dispatch_unpark_rows(struct worker *w, const char *why, const PGresult *rows); /* (id, queue) */
void dispatch_heartbeat(struct worker *w);

/* batch.c: PostgreSQL */
void batch_flush(struct worker *w);
void batch_renew(struct worker *w, bool progress_only);

/* task.c */
struct task *task_new(struct worker_queue *queue, const char *payload, size_t size, int64_t token);
void task_free(struct task *t);
void task_judged(struct task *t, const struct row_judged *row, struct shared_result *strings,
                 int64_t sent_at_ms);
void task_artifact_ready(struct task *t, int fd); /* from acquire.c */
void task_end(struct task *t, enum row_outcome outcome, int64_t delay_ms, const struct error *err);
void task_ended(struct task *t, enum row_written written);
void task_saved(struct task *t, bool ours); /* answers the driver */
void task_settle(struct task *t, enum queue_outcome outcome, const char *argument);
void task_settle_later(struct task *t, int64_t delay_ms);
void task_stop(struct task *t, enum stop_reason why);
bool task_holds_row(const struct task *t); /* its lease is to be renewed */

/* acquire.c: the artifact when it isn't in this host's staging directory */
void acquire_start(struct task *t);
void acquire_stop(struct task *t);

/* production.c */
void production_start(struct worker *w, const struct row_judged *row, struct shared_result *strings,
                      int64_t sent_at_ms);
void production_stop(struct production *p, enum stop_reason why);
void production_write_end(struct production *p);

/* upkeep.c */
void upkeep_run(struct worker *w);
void upkeep_load_keys(struct worker *w); /* of what is encrypted at rest; no job should come before */
struct staged_artifact {
    int64_t backup_id, fence;
};
void upkeep_remove_staged(struct worker *w, const struct staged_artifact *artifacts, int n);
