/*
 * What the short operations share: a session, and one call after the other. step runs with the end of each,
 * first with answer NULL and err NULL (or why not) once the session is open. It looks at what there is, asks
 * the next thing, or ends the task; never before _start has returned.
 */
#pragma once

#include "storage/object/call.h"
#include "storage/object/protocol.h"

/* Each op's struct begins with this; storage_op_cancel finds its cancel here. */
struct object_op {
    struct storage_op base; /* first */
    void (*cancel)(struct object_op *op);
};

/* A driver's op_cancel. */
void object_op_cancel(struct storage_op *op);

struct object_task {
    struct object_op op; /* first */
    struct object_session *session;
    struct object_call *call; /* under way */
    bool cancelled;
    void (*step)(struct object_task *task, const struct object_answer *answer, const struct error *err);
};

/* size bytes, zeroed, that begin with a task, and a session behind them. NULL: out of memory. */
void *object_task_new(const struct object_protocol *protocol, size_t size);
/* key: checked; NULL = the whole container. On an error the task is still to be freed. */
int object_task_start(struct object_task *task, const struct object_protocol *protocol, uv_loop_t *loop,
                      const struct storage_location *location, const char *key,
                      void (*step)(struct object_task *, const struct object_answer *, const struct error *),
                      struct error *err);
/* From step, as the last thing it does. ask's done and data are the task's. A failure to start steps. */
void object_task_ask(struct object_task *task, struct object_ask *ask);
void object_task_free(struct object_task *task); /* and its session */
void object_task_cancel(struct object_op *op);
