/*
 * A final object: its generation is asked for, and deleted if it is still the live one. (Where the bucket
 * keeps versions, it becomes one of those.)
 *
 * An upload that was begun: its session, as the resume state names it, is cancelled. Where the session is
 * encrypted with the credentials' own secret, a question to the store brings that here.
 *
 *   OPENING ──► OBJECT ──┬─ there ──► DELETE ──► done
 *      │                 └─ not there ──► BUCKET ──► done
 *      ├──► CREDENTIALS ──► CANCEL ──► done
 *      └──► done (nothing to cancel)
 */
#include <stdlib.h>
#include <string.h>

#include "auth/secret.h"
#include "base/log.h"
#include "storage/gcs/gcs.h"
#include "storage/gcs/resource.h"
#include "storage/gcs/resume.h"
#include "storage/gcs/seal.h"
#include "storage/gcs/upload_url.h"
#include "storage/object/task.h"

enum delete_state {
    DELETE_OPENING,
    DELETE_OBJECT,
    DELETE_BUCKET,
    DELETE_DELETE,
    DELETE_CREDENTIALS,
    DELETE_CANCEL,
};

struct gcs_delete {
    struct object_task task; /* first */
    struct storage_delete *request;
    enum delete_state state;
    struct gcs_resume resume; /* of the upload to cancel; session NULL = none */
    char *url;                /* its session */
    bool existed;
};

static const struct gcs_session *session_of(const struct gcs_delete *self)
{
    return (const struct gcs_session *)self->task.session;
}

static void finish(struct gcs_delete *self, const struct error *err)
{
    struct storage_delete *request = self->request;
    bool existed = self->existed;
    struct error own;
    if (err) {
        own = *err;
        if (request->key)
            error_context(&own, "removing '%.300s'", request->key);
        else
            error_context(&own, "cancelling the upload of '%.300s'", self->resume.key);
    }
    gcs_resume_deinit(&self->resume);
    secret_free(self->url);
    object_task_free(&self->task);
    request->done(request, err ? false : existed, err ? &own : NULL);
}

/* In the store's own word: what a proxy says is retryable. */
static bool was(const struct object_answer *answer, const struct error *err, int status)
{
    return answer && answer->status == status && err && !err->retryable;
}

/* --- an object --- */

static void ask_object(struct gcs_delete *self, enum delete_state state, const char *key)
{
    struct object_draft draft;
    gcs_ask_resource(key, &draft);
    self->state = state;
    object_task_ask(&self->task, &draft.ask);
}

static void ask_delete(struct gcs_delete *self, const char *generation)
{
    struct object_draft draft;
    object_draft_init(&draft, "objects.delete", "DELETE", self->request->key);
    if (*generation)
        object_draft_query(&draft, "ifGenerationMatch", generation);
    draft.ask.flags = GCS_WANT_NOTHING;
    self->state = DELETE_DELETE;
    object_task_ask(&self->task, &draft.ask);
}

static void ask_bucket(struct gcs_delete *self)
{
    struct object_draft draft;
    gcs_ask_bucket(&draft);
    self->state = DELETE_BUCKET;
    object_task_ask(&self->task, &draft.ask);
}

static void judge_object(struct gcs_delete *self, const struct object_answer *answer, const struct error *err)
{
    struct gcs_resource resource = {0};
    if (was(answer, err, 404) && !gcs_says_no_bucket(answer)) {
        ask_bucket(self);
    } else if (err && !(answer && answer->status == 403)) {
        finish(self, err);
    } else { /* who may delete but not read gets 403 */
        if (err == NULL)
            gcs_resource_read(answer->response->body, answer->response->body_size, &resource);
        self->existed = true;
        ask_delete(self, resource.generation);
    }
}

static void judge_bucket(struct gcs_delete *self, const struct object_answer *answer, const struct error *err)
{
    struct error own;
    if (was(answer, err, 404)) {
        error_set(&own, ERROR_NOT_FOUND, false,
                  "bucket '%s' isn't there: make it, or correct \"bucket\" in storage_config",
                  session_of(self)->config.bucket);
        finish(self, &own);
    } else {
        finish(self, err == NULL || (answer && answer->status == 403) ? NULL : err);
    }
}

static void judge_delete(struct gcs_delete *self, const struct object_answer *answer, const struct error *err)
{
    struct error own;
    if (was(answer, err, 404) && !gcs_says_no_bucket(answer)) {
        self->existed = false; /* another was quicker, or this call's first try */
        finish(self, NULL);
    } else if (was(answer, err, 412)) {
        error_set(&own, ERROR_CONFLICT, true,
                  "bucket '%s': another object was written there just now, and was left alone",
                  session_of(self)->config.bucket);
        finish(self, &own);
    } else {
        finish(self, err);
    }
}

/* --- an upload --- */

static void ask_cancel(struct gcs_delete *self)
{
    struct object_draft draft;
    object_draft_init(&draft, "cancelling the upload", "DELETE", NULL);
    draft.ask.url = self->url;
    draft.ask.flags = GCS_WANT_NOTHING | GCS_TAKE_499;
    self->state = DELETE_CANCEL;
    object_task_ask(&self->task, &draft.ask);
}

/* false: it can't be read, and may be with the credentials' key. */
static bool open_session(struct gcs_delete *self, bool last)
{
    const struct gcs_session *session = session_of(self);
    struct error err = {0};
    char *recorded = NULL;
    int rc = gcs_unseal(session, self->resume.key, self->resume.session, &recorded, &err);
    if (rc == ERROR_NOT_FOUND && !last)
        return false;
    if (rc == 0)
        rc = gcs_session_url(&session->config, recorded, &self->url, &err);
    secret_free(recorded);
    if (rc == 0) {
        ask_cancel(self);
    } else {
        /* nobody can any more; Google ends it within a week */
        log_debug("bucket %s: the upload of '%s' can't be cancelled: %s", session->config.bucket,
                  self->resume.key, err.message);
        finish(self, NULL);
    }
    return true;
}

static void judge_cancel(struct gcs_delete *self, const struct object_answer *answer, const struct error *err)
{
    bool gone = was(answer, err, 404) || was(answer, err, 410);
    self->existed = err == NULL;
    finish(self, gone ? NULL : err);
}

static void begin(struct gcs_delete *self)
{
    if (self->request->key)
        ask_object(self, DELETE_OBJECT, self->request->key);
    else if (self->resume.session == NULL)
        finish(self, NULL);
    else if (!open_session(self, session_of(self)->config.auth == GCS_AUTH_NONE))
        ask_object(self, DELETE_CREDENTIALS, self->resume.key);
}

static void step(struct object_task *task, const struct object_answer *answer, const struct error *err)
{
    struct gcs_delete *self = (struct gcs_delete *)task;
    switch (self->state) {
    case DELETE_OPENING:
        if (err)
            finish(self, err);
        else
            begin(self);
        break;
    case DELETE_OBJECT:
        judge_object(self, answer, err);
        break;
    case DELETE_BUCKET:
        judge_bucket(self, answer, err);
        break;
    case DELETE_DELETE:
        judge_delete(self, answer, err);
        break;
    case DELETE_CREDENTIALS: /* whatever the store says, it was asked with them */
        if (answer == NULL && err)
            finish(self, err);
        else
            open_session(self, true);
        break;
    case DELETE_CANCEL:
        judge_cancel(self, answer, err);
        break;
    }
}

/* The session that the resume state names, if it is one of this bucket's. */
static int take_resume_state(struct gcs_delete *self, struct error *err)
{
    const char *text = self->request->resume_state;
    const struct gcs_config *config = &session_of(self)->config;
    if (self->request->key || text == NULL || *text == '\0')
        return 0;
    if (gcs_resume_parse(text, &self->resume, NULL))
        return error_set(err, ERROR_CORRUPT, false, "the resume state of the upload can't be read");
    if (strcmp(self->resume.endpoint, config->endpoint) != 0 ||
        strcmp(self->resume.bucket, config->bucket) != 0)
        self->resume.session = NULL; /* out of reach, and ended by Google within a week */
    return 0;
}

int gcs_delete_start(struct storage_delete *del, struct storage_op **ret_op, struct error *err)
{
    if (del->upload_id)
        return error_set(
            err, ERROR_UNSUPPORTED, false,
            "Google Cloud Storage has no open uploads that could be named: it ends them by itself "
            "a week after they began");
    struct gcs_delete *self = object_task_new(&gcs_protocol, sizeof *self);
    if (self == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    self->request = del;
    int rc = object_task_start(&self->task, &gcs_protocol, del->loop, &del->location,
                               del->key ? del->key : del->near_key, step, err);
    if (rc == 0)
        rc = take_resume_state(self, err);
    if (rc < 0) {
        gcs_resume_deinit(&self->resume);
        object_task_free(&self->task);
        return rc;
    }
    *ret_op = &self->task.op.base;
    return 0;
}
