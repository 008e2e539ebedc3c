#include "storage/s3/task.h"

#include "storage/object/key.h"

static void on_call_done(void *data, const struct s3_answer *answer, const struct error *err)
{
    struct s3_task *task = data;
    task->call = NULL;
    task->step(task, answer, err);
}

static void on_open(void *data, const struct error *err)
{
    struct s3_task *task = data;
    task->step(task, NULL, err);
}

int s3_task_start(struct s3_task *task, uv_loop_t *loop, const struct storage_location *location,
                  const char *key,
                  void (*step)(struct s3_task *, const struct s3_answer *, const struct error *),
                  struct error *err)
{
    int rc = s3_session_init(&task->session, loop, location, err);
    if (rc == 0 && key)
        rc = object_key_check(key, err);
    if (rc == 0)
        rc = s3_session_open(&task->session, on_open, task, err);
    if (rc < 0) {
        s3_session_deinit(&task->session);
        return rc;
    }
    task->op.base.driver = &storage_s3;
    task->op.cancel = s3_task_cancel;
    task->step = step;
    return 0;
}

void s3_task_ask(struct s3_task *task, struct s3_ask *ask)
{
    struct error err = {0};
    ask->done = on_call_done;
    ask->data = task;
    if (task->cancelled)
        error_set(&err, ERROR_CANCELLED, true, "cancelled");
    else
        s3_call_start(&task->session, ask, &task->call, &err);
    if (err.code)
        task->step(task, NULL, &err);
}

void s3_task_deinit(struct s3_task *task)
{
    s3_session_deinit(&task->session);
}

void s3_task_cancel(struct s3_op *op)
{
    struct s3_task *task = (struct s3_task *)op;
    task->cancelled = true;
    if (task->call)
        s3_call_cancel(task->call);
}
