#include "storage/object/stat.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "storage/object/task.h"

enum stat_state { STAT_OPENING, STAT_OBJECT, STAT_CONTAINER };

struct stat_task {
    struct object_task task; /* first */
    const struct object_stat_protocol *protocol;
    struct storage_stat *request;
    enum stat_state state;
};

static void finish(struct stat_task *self, const struct storage_stat_result *result, const struct error *err)
{
    struct storage_stat *request = self->request;
    struct error own;
    if (err) {
        own = *err;
        error_context(&own, "looking for '%.300s'", request->key);
    }
    object_task_free(&self->task);
    request->done(request, err ? NULL : result, err ? &own : NULL);
}

static void ask_object(struct stat_task *self)
{
    struct object_draft draft;
    self->protocol->ask(self->task.session, self->request->key, &draft);
    self->state = STAT_OBJECT;
    object_task_ask(&self->task, &draft.ask);
}

static void ask_container(struct stat_task *self)
{
    struct object_draft draft;
    self->protocol->ask_container(self->task.session, &draft);
    self->state = STAT_CONTAINER;
    object_task_ask(&self->task, &draft.ask);
}

static void finish_missing(struct stat_task *self)
{
    const struct storage_stat_result missing = {.exists = false};
    finish(self, &missing, NULL);
}

static void finish_without_container(struct stat_task *self)
{
    const struct object_session *session = self->task.session;
    const char *word = session->protocol->container_word;
    struct error err;
    error_set(&err, ERROR_NOT_FOUND, false,
              "%s '%s' isn't there: make it, or correct \"%s\" in storage_config", word, session->container,
              word);
    finish(self, NULL, &err);
}

static void judge_missing(struct stat_task *self, const struct object_answer *answer)
{
    const struct object_stat_protocol *protocol = self->protocol;
    switch (protocol->missing ? protocol->missing(answer) : OBJECT_MISSING_UNKNOWN) {
    case OBJECT_MISSING_CONTAINER:
        finish_without_container(self);
        return;
    case OBJECT_MISSING_UNKNOWN:
        if (protocol->ask_container) {
            ask_container(self);
            return;
        }
        break;
    case OBJECT_MISSING_KEY:
        break;
    }
    finish_missing(self);
}

/* The store's own word: what a proxy says of things that it doesn't know passes (protocol.h). */
static bool is_missing(const struct object_answer *answer, const struct error *err)
{
    return answer && answer->status == 404 && err && !err->retryable;
}

static void judge_object(struct stat_task *self, const struct object_answer *answer, const struct error *err)
{
    const struct object_session *session = self->task.session;
    struct storage_stat_result result = {.exists = true};
    struct error own;
    if (is_missing(answer, err)) {
        judge_missing(self, answer);
    } else if (err) {
        finish(self, NULL, err);
    } else if (self->protocol->size(answer, &result.size, &own) == 0) {
        finish(self, &result, NULL);
    } else {
        error_context(&own, "%s '%s'", session->protocol->container_word, session->container);
        finish(self, NULL, &own);
    }
}

static void judge_container(struct stat_task *self, const struct object_answer *answer,
                            const struct error *err)
{
    if (is_missing(answer, err))
        finish_without_container(self);
    else if (err == NULL || (answer && answer->status == 403))
        finish_missing(self); /* a key without the right to ask: it is there */
    else
        finish(self, NULL, err);
}

int object_stat_content_length(const struct object_answer *answer, uint64_t *ret_size, struct error *err)
{
    const char *length = answer->response->header(answer->response, "content-length");
    if (length && sscanf(length, "%" SCNu64, ret_size) == 1)
        return 0;
    return error_set(err, ERROR_PROTOCOL, true, "no Content-Length came");
}

static void step(struct object_task *task, const struct object_answer *answer, const struct error *err)
{
    struct stat_task *self = (struct stat_task *)task;
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
    case STAT_CONTAINER:
        judge_container(self, answer, err);
        break;
    }
}

int object_stat_start(const struct object_protocol *protocol, const struct object_stat_protocol *of_stat,
                      struct storage_stat *stat, struct storage_op **ret_op, struct error *err)
{
    struct stat_task *self = object_task_new(protocol, sizeof *self);
    if (self == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    self->protocol = of_stat;
    self->request = stat;
    int rc = object_task_start(&self->task, protocol, stat->loop, &stat->location, stat->key ? stat->key : "",
                               step, err);
    if (rc < 0) {
        object_task_free(&self->task);
        return rc;
    }
    *ret_op = &self->task.op.base;
    return 0;
}
