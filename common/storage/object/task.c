#include "storage/object/task.h"

#include <stddef.h>
#include <stdlib.h>

void object_op_cancel(struct storage_op *op)
{
    struct object_op *self = (struct object_op *)op;
    self->cancel(self);
}

static void on_call_done(void *data, const struct object_answer *answer, const struct error *err)
{
    struct object_task *task = data;
    task->call = NULL;
    task->step(task, answer, err);
}

static void on_open(void *data, const struct error *err)
{
    struct object_task *task = data;
    task->step(task, NULL, err);
}

void *object_task_new(const struct object_protocol *protocol, size_t size)
{
    const size_t align = _Alignof(max_align_t);
    size_t at = (size + align - 1) / align * align;
    struct object_task *task = calloc(1, at + protocol->session_size);
    if (task)
        task->session = (struct object_session *)(void *)((char *)task + at);
    return task;
}

int object_task_start(struct object_task *task, const struct object_protocol *protocol, uv_loop_t *loop,
                      const struct storage_location *location, const char *key,
                      void (*step)(struct object_task *, const struct object_answer *, const struct error *),
                      struct error *err)
{
    task->op.base.driver = protocol->driver;
    task->op.cancel = object_task_cancel;
    task->step = step;
    int rc = object_session_init(task->session, protocol, loop, location, err);
    if (rc == 0 && key)
        rc = protocol->check_key(key, err);
    return rc == 0 ? object_session_open(task->session, on_open, task, err) : rc;
}

void object_task_ask(struct object_task *task, struct object_ask *ask)
{
    struct error err = {0};
    ask->done = on_call_done;
    ask->data = task;
    if (task->cancelled)
        error_set(&err, ERROR_CANCELLED, true, "cancelled");
    else
        object_call_start(task->session, ask, &task->call, &err);
    if (err.code)
        task->step(task, NULL, &err);
}

void object_task_free(struct object_task *task)
{
    object_session_deinit(task->session);
    free(task);
}

void object_task_cancel(struct object_op *op)
{
    struct object_task *task = (struct object_task *)op;
    task->cancelled = true;
    if (task->call)
        object_call_cancel(task->call);
}
