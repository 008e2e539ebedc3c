/*
 * What the short operations share: a session, and one call after the other. step runs with the end of each,
 * first with answer NULL and err NULL (or why not) once the session is open. It looks at what there is, asks
 * the next thing, or ends the task; never before _start has returned.
 */
#pragma once

#include "storage/s3/call.h"
#include "storage/s3/s3.h"

struct s3_task {
    struct s3_op op; /* first */
    struct s3_session session;
    struct s3_call *call; /* under way */
    bool cancelled;
    void (*step)(struct s3_task *task, const struct s3_answer *answer, const struct error *err);
};

/* task: zeroed. key: NULL = the whole bucket. On an error the task holds nothing. */
int s3_task_start(struct s3_task *task, uv_loop_t *loop, const struct storage_location *location,
                  const char *key,
                  void (*step)(struct s3_task *, const struct s3_answer *, const struct error *),
                  struct error *err);
/* From step, as the last thing it does. ask's done and data are the task's. A failure to start steps. */
void s3_task_ask(struct s3_task *task, struct s3_ask *ask);
void s3_task_deinit(struct s3_task *task);
void s3_task_cancel(struct s3_op *op);
