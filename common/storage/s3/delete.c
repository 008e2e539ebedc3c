/*
 * A final object: HEAD, to know whether it was there, and DELETE.
 *
 * An open upload: aborted, and asked for, until it is unknown. Parts that were on their way when it was
 * aborted may stay behind and keep it alive (AWS, "Aborting a multipart upload").
 *
 *   OPENING ──► HEAD ──► DELETE ──► done
 *      ├──► ABORT ──► PARTS ──┬─ NoSuchUpload ──► done
 *      │      ▲               └─ still there ──┐
 *      │      └────────────────────────────────┘ at most ABORTS times
 *      └──► done (nothing to abort)
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "storage/object/task.h"
#include "storage/s3/protocol.h"
#include "storage/s3/s3.h"

#define ABORTS 5

enum delete_state { DELETE_OPENING, DELETE_HEAD, DELETE_OBJECT, DELETE_ABORT, DELETE_PARTS };

struct s3_delete {
    struct object_task task; /* first */
    struct storage_delete *request;
    enum delete_state state;
    const char *key;
    char *upload_id; /* NULL = the object itself, or nothing */
    int aborts;
    bool existed;
};

static void finish(struct s3_delete *self, const struct error *err)
{
    struct storage_delete *request = self->request;
    bool existed = self->existed;
    struct error own;
    if (err) {
        own = *err;
        error_context(&own, "removing %s'%.300s'", self->upload_id ? "the open upload of " : "", self->key);
    }
    free(self->upload_id);
    object_task_free(&self->task);
    request->done(request, err ? false : existed, err ? &own : NULL);
}

static void ask(struct s3_delete *self, enum delete_state state, const char *operation, const char *method)
{
    struct object_draft draft;
    object_draft_init(&draft, operation, method, self->key);
    if (state == DELETE_ABORT || state == DELETE_PARTS)
        object_draft_query(&draft, "uploadId", self->upload_id);
    if (state == DELETE_PARTS)
        object_draft_query(&draft, "max-parts", "1");
    if (state == DELETE_HEAD) {
        draft.ask.customer_key = s3_config_of(self->task.session)->sse_customer_key_ref != NULL;
        draft.ask.flags = S3_EXPECT_ETAG;
    }
    self->state = state;
    object_task_ask(&self->task, &draft.ask);
}

static void begin(struct s3_delete *self)
{
    if (self->request->key && self->upload_id == NULL)
        ask(self, DELETE_HEAD, "HeadObject", "HEAD");
    else if (self->upload_id)
        ask(self, DELETE_ABORT, "AbortMultipartUpload", "DELETE");
    else
        finish(self, NULL);
}

/* The upload isn't there; a bucket that isn't there has a code of its own, a proxy's 404 none. */
static bool upload_is_gone(const struct object_answer *answer)
{
    return answer && answer->status == 404 && *answer->code && strcmp(answer->code, "NoSuchBucket") != 0;
}

static void judge_abort(struct s3_delete *self, const struct object_answer *answer, const struct error *err)
{
    if (upload_is_gone(answer)) {
        finish(self, NULL);
    } else if (err) {
        finish(self, err);
    } else {
        self->existed = true;
        self->aborts++;
        ask(self, DELETE_PARTS, "ListParts", "GET");
    }
}

static void judge_parts(struct s3_delete *self, const struct object_answer *answer, const struct error *err)
{
    struct error own;
    /* Without the right to list parts, the answers to two aborts must do. */
    bool denied = answer && answer->status == 403 && self->aborts > 1;
    if (upload_is_gone(answer) || denied) {
        finish(self, NULL);
    } else if (err && !(answer && answer->status == 403)) {
        finish(self, err);
    } else if (self->aborts < ABORTS) {
        ask(self, DELETE_ABORT, "AbortMultipartUpload", "DELETE");
    } else {
        error_set(&own, ERROR_CONFLICT, true,
                  "bucket '%s' still has it after it was aborted %d times: parts are still arriving",
                  self->task.session->container, ABORTS);
        finish(self, &own);
    }
}

static void step(struct object_task *task, const struct object_answer *answer, const struct error *err)
{
    struct s3_delete *self = (struct s3_delete *)task;
    switch (self->state) {
    case DELETE_OPENING:
        if (err)
            finish(self, err);
        else
            begin(self);
        break;
    case DELETE_HEAD:
        /* A key that may delete but not read gets 403, and only DELETE tells about the bucket. */
        self->existed = answer && answer->status != 404;
        if (err && !(answer && (answer->status == 404 || answer->status == 403)))
            finish(self, err);
        else
            ask(self, DELETE_OBJECT, "DeleteObject", "DELETE");
        break;
    case DELETE_OBJECT:
        finish(self, answer && strcmp(answer->code, "NoSuchKey") == 0 ? NULL : err);
        break;
    case DELETE_ABORT:
        judge_abort(self, answer, err);
        break;
    case DELETE_PARTS:
        judge_parts(self, answer, err);
        break;
    }
}

/* The upload that resume_state names; a state that names none has nothing to abort. */
static int read_resume_state(const char *text, char **ret_upload_id, struct error *err)
{
    *ret_upload_id = NULL;
    if (text == NULL || *text == '\0')
        return 0;
    json_t *state = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(state)) {
        json_decref(state);
        return error_set(err, ERROR_CORRUPT, false, "the resume state of the upload can't be read");
    }
    const char *upload_id = json_string_value(json_object_get(state, "upload_id"));
    if (upload_id && *upload_id)
        *ret_upload_id = strdup(upload_id);
    bool failed = upload_id && *upload_id && *ret_upload_id == NULL;
    json_decref(state);
    return failed ? error_set(err, ERROR_SYSTEM, true, "out of memory") : 0;
}

static int take_request(struct s3_delete *self, struct error *err)
{
    struct storage_delete *request = self->request;
    self->key = request->key ? request->key : request->near_key ? request->near_key : "";
    if (request->key && request->upload_id) {
        self->upload_id = strdup(request->upload_id);
        return self->upload_id ? 0 : error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    return request->key ? 0 : read_resume_state(request->resume_state, &self->upload_id, err);
}

int s3_delete_start(struct storage_delete *del, struct storage_op **ret_op, struct error *err)
{
    struct s3_delete *self = object_task_new(&s3_protocol, sizeof *self);
    if (self == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    self->request = del;
    int rc = take_request(self, err);
    if (rc == 0)
        rc = object_task_start(&self->task, &s3_protocol, del->loop, &del->location, self->key, step, err);
    if (rc < 0) {
        free(self->upload_id);
        object_task_free(&self->task);
        return rc;
    }
    *ret_op = &self->task.op.base;
    return 0;
}
