/*
 * HEAD of the object. A 404 without a body doesn't tell whether the object or its bucket is missing: then the
 * bucket is asked for, so that a wrong bucket doesn't look like a lost copy.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "storage/s3/task.h"

enum stat_state { STAT_OPENING, STAT_OBJECT, STAT_BUCKET };

struct s3_stat {
    struct s3_task task; /* first */
    struct storage_stat *request;
    enum stat_state state;
};

static void finish(struct s3_stat *self, const struct storage_stat_result *result, const struct error *err)
{
    struct storage_stat *request = self->request;
    struct error own;
    if (err) {
        own = *err;
        error_context(&own, "looking for '%.300s'", request->key);
    }
    s3_task_deinit(&self->task);
    free(self);
    request->done(request, err ? NULL : result, err ? &own : NULL);
}

static void ask_object(struct s3_stat *self)
{
    struct s3_ask ask = {.operation = "HeadObject",
                         .method = "HEAD",
                         .key = self->request->key,
                         .body_fd = -1,
                         .sse_customer = self->task.session.sse_customer_key != NULL,
                         .expect_etag = true};
    self->state = STAT_OBJECT;
    s3_task_ask(&self->task, &ask);
}

static void ask_bucket(struct s3_stat *self)
{
    struct s3_ask ask = {.operation = "HeadBucket", .method = "HEAD", .body_fd = -1};
    self->state = STAT_BUCKET;
    s3_task_ask(&self->task, &ask);
}

static void judge_object(struct s3_stat *self, const struct s3_answer *answer, const struct error *err)
{
    struct storage_stat_result result = {.exists = true};
    if (answer && answer->status == 404) {
        ask_bucket(self);
    } else if (err) {
        finish(self, NULL, err);
    } else {
        const char *length = answer->response->header(answer->response, "content-length");
        struct error own;
        if (length && sscanf(length, "%" SCNu64, &result.size) == 1) {
            finish(self, &result, NULL);
        } else {
            error_set(&own, ERROR_PROTOCOL, true, "HeadObject in bucket '%s': no Content-Length came",
                      self->task.session.config.bucket);
            finish(self, NULL, &own);
        }
    }
}

static void judge_bucket(struct s3_stat *self, const struct s3_answer *answer, const struct error *err)
{
    const struct storage_stat_result missing = {.exists = false};
    struct error own;
    if (answer && answer->status == 404) {
        error_set(&own, ERROR_NOT_FOUND, false,
                  "bucket '%s' isn't there: make it, or correct \"bucket\" in storage_config",
                  self->task.session.config.bucket);
        finish(self, NULL, &own);
    } else if (err == NULL || (answer && answer->status == 403)) {
        finish(self, &missing, NULL); /* a key without the right to ask: it is there */
    } else {
        finish(self, NULL, err);
    }
}

static void step(struct s3_task *task, const struct s3_answer *answer, const struct error *err)
{
    struct s3_stat *self = (struct s3_stat *)task;
    switch (self->state) {
    case STAT_OPENING:
        if (err)
            finish(self, NULL, err);
        else
            ask_object(self);
        break;
    case STAT_OBJECT:
        judge_object(self, answer, err);
        break;
    case STAT_BUCKET:
        judge_bucket(self, answer, err);
        break;
    }
}

int s3_stat_start(struct storage_stat *stat, struct storage_op **ret_op, struct error *err)
{
    struct s3_stat *self = calloc(1, sizeof *self);
    if (self == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    self->request = stat;
    int rc = s3_task_start(&self->task, stat->loop, &stat->location, stat->key ? stat->key : "", step, err);
    if (rc < 0) {
        free(self);
        return rc;
    }
    *ret_op = &self->task.op.base;
    return 0;
}
