/*
 * One object, or a range of it: to a file, to a stream, or nowhere (for its digest).
 *
 *   OPENING ──► FETCHING ──► WRITING ──► FETCHING ──► ... ──► done
 *                  │  ▲
 *                  └──┘ broken off: goes on from the byte reached, if the object is still the same
 *
 * The first request asks for a small range only: its answer tells the whole size and the version, and
 * small objects need no second one. Then a file gets the rest in one request, each piece written as it
 * arrives. A stream gets range after range, each held in memory until its reader has taken it, since bodies
 * that are under way can't be paused. What is held is hashed and written in the thread pool.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/digest.h"
#include "storage/object/get.h"
#include "storage/object/task.h"
#include "storage/stream_write.h"

#define FIRST_SIZE ((uint64_t)1 << 20)
#define STREAM_SIZE ((uint64_t)8 << 20)
#define RESUMPTIONS_MAX 64 /* each has brought some bytes */
#define RESTARTS_MAX 3     /* broken off before anything was known of the object */

enum get_state { GET_OPENING, GET_FETCHING, GET_WRITING };

struct get {
    struct object_task task; /* first */
    const struct object_get_protocol *protocol;
    struct storage_get *request;
    enum get_state state;
    uint64_t at;   /* the next byte of the object to fetch; what lies before is written */
    uint64_t end;  /* one past the last byte wanted; beyond the object until its size is known */
    uint64_t size; /* of the object; SIZE_UNKNOWN before the first answer */
    char version[OBJECT_VERSION_SIZE]; /* "" = not told */
    uint64_t asked, arrived;           /* bytes of the request under way */
    bool direct;                       /* they go to the file at once */
    bool whole;                        /* without a range: an empty object has none */
    bool failed_here;                  /* on_body's error, or the pool's */
    int resumptions, restarts;
    char *held;
    size_t n_held, held_max;
    struct digest *digest;
    uv_work_t work;
    atomic_bool cancelled; /* for the pool */
    struct error err;      /* the pool's */
};

#define SIZE_UNKNOWN UINT64_MAX

static void finish(struct get *self, const struct error *err)
{
    struct storage_get *request = self->request;
    uint64_t size = self->at - request->offset;
    bool sums = request->digest == NULL;
    char sha256[STORAGE_SHA256_SIZE] = "";
    struct error own;
    if (err) {
        own = *err;
        error_context(&own, "reading '%.300s'", request->key);
    } else if (sums) {
        digest_final(self->digest, sha256);
    }
    if (sums)
        digest_free(self->digest);
    free(self->held);
    object_task_free(&self->task);
    request->done(request, err ? 0 : size, err || !sums ? NULL : sha256, err ? &own : NULL);
}

static void fail(struct get *self, int code, bool retryable, const char *what)
{
    struct error err;
    const struct object_session *session = self->task.session;
    error_set(&err, code, retryable, "%s '%s': %s", session->protocol->container_word, session->container,
              what);
    finish(self, &err);
}

/* Bytes that have arrived */

static int write_file(const struct get *self, const char *data, size_t size, struct error *err)
{
    uint64_t offset = self->at - self->request->offset;
    for (size_t n = 0; self->request->target_fd >= 0 && n < size;) {
        ssize_t k = pwrite(self->request->target_fd, data + n, size - n, (off_t)(offset + n));
        if (k < 0 && errno != EINTR)
            return error_errno(err, errno, "writing what was read");
        if (k > 0)
            n += (size_t)k;
    }
    return 0;
}

static void advance(struct get *self, size_t size)
{
    self->at += size;
    atomic_store(&self->request->bytes_done, self->at - self->request->offset);
}

static int on_body(void *data, const void *bytes, size_t size, struct error *err)
{
    struct get *self = data;
    int rc = 0;
    if (size > self->asked - self->arrived)
        rc = error_set(err, ERROR_PROTOCOL, false,
                       "more bytes came than were asked for (are ranges ignored?)");
    else if (self->direct)
        rc = write_file(self, bytes, size, err);
    if (rc < 0) {
        self->failed_here = true;
        return rc;
    }
    self->arrived += size;
    if (self->direct) {
        digest_update(self->digest, bytes, size);
        advance(self, size);
    } else {
        memcpy(self->held + self->n_held, bytes, size);
        self->n_held += size;
    }
    return 0;
}

/* In the pool. */
static void write_held(uv_work_t *work)
{
    struct get *self = work->data;
    const struct storage_get *get = self->request;
    digest_update(self->digest, self->held, self->n_held);
    if (get->target_fd >= 0 && get->target_is_stream)
        stream_write(get->target_fd, self->held, self->n_held, &self->cancelled, &self->err);
    else
        write_file(self, self->held, self->n_held, &self->err);
}

/* Fetching */

static void fetch(struct get *self)
{
    bool stream = self->request->target_fd >= 0 && self->request->target_is_stream;
    uint64_t bound = stream ? STREAM_SIZE : self->size == SIZE_UNKNOWN ? FIRST_SIZE : UINT64_MAX;
    self->asked = self->end - self->at < bound ? self->end - self->at : bound;
    self->direct = !stream && self->size != SIZE_UNKNOWN;
    self->arrived = 0;
    self->n_held = 0;
    char text[64];
    snprintf(text, sizeof text, "bytes=%" PRIu64 "-%" PRIu64, self->at, self->at + self->asked - 1);
    const struct object_get_range range = {.first = self->at,
                                           .size = self->whole ? 0 : self->asked,
                                           .version = self->version,
                                           .text = self->whole ? NULL : text};
    struct object_draft draft;
    self->protocol->ask(self->task.session, self->request->key, &range, &draft);
    draft.ask.on_body = on_body;
    self->state = GET_FETCHING;
    object_task_ask(&self->task, &draft.ask);
}

static void go_on(struct get *self)
{
    if (self->at >= self->end)
        finish(self, NULL);
    else
        fetch(self);
}

static void on_written(uv_work_t *work, int status)
{
    struct get *self = work->data;
    if (status == UV_ECANCELED)
        error_set(&self->err, ERROR_CANCELLED, true, "cancelled");
    if (self->err.code) {
        finish(self, &self->err);
        return;
    }
    advance(self, self->n_held);
    go_on(self);
}

static void take_held(struct get *self)
{
    if (self->n_held == 0) {
        go_on(self);
        return;
    }
    self->state = GET_WRITING;
    self->work.data = self;
    int rc = uv_queue_work(self->task.session->loop, &self->work, write_held, on_written);
    assert(rc == 0);
    (void)rc;
}

/* Judging answers */

/* "bytes 0-99/1234": ret_first 0, ret_size 1234. Servers that repeat the end which was asked for, beyond the
 * object's, are overlooked: what arrives is counted, and hashed. */
static bool parse_content_range(const char *text, uint64_t *ret_first, uint64_t *ret_size)
{
    uint64_t last;
    return text && sscanf(text, "bytes %" SCNu64 "-%" SCNu64 "/%" SCNu64, ret_first, &last, ret_size) == 3 &&
           *ret_first <= last && *ret_first < *ret_size;
}

static const char changed[] = "the object was changed while it was read";

/* What the answer says of the object; what was taken for granted must be so. NULL, or what is wrong. */
static const char *check_answer(struct get *self, const struct object_answer *answer)
{
    const struct http_response *response = answer->response;
    uint64_t first = 0, size = self->arrived;
    uint64_t began = self->direct ? self->at - self->arrived : self->at;
    if (answer->status == 206) {
        if (!parse_content_range(response->header(response, "content-range"), &first, &size))
            return "an answer for a range doesn't say which";
    } else if (answer->status != 200 || began != 0) {
        return "the answer to a range is not a range";
    }
    if (first != began)
        return "another range came than was asked for";
    if (self->size != SIZE_UNKNOWN && size != self->size)
        return changed;
    if (self->arrived == 0 && size > began)
        return "a range came without any bytes";
    const char *version = self->protocol->version(answer);
    if (*self->version && version && strcmp(version, self->version) != 0)
        return changed;
    if (self->size == SIZE_UNKNOWN && version && strlen(version) < sizeof self->version)
        memcpy(self->version, version, strlen(version) + 1);
    self->size = size;
    if (self->end > size)
        self->end = size;
    return NULL;
}

static void take_answer(struct get *self, const struct object_answer *answer)
{
    const char *wrong = check_answer(self, answer);
    if (wrong == changed)
        fail(self, ERROR_CONFLICT, false, changed);
    else if (wrong)
        fail(self, ERROR_PROTOCOL, true, wrong);
    else if (self->direct)
        go_on(self);
    else
        take_held(self);
}

/* Nothing stands there: an empty object, or a range beyond the end. */
static void take_unsatisfiable(struct get *self)
{
    if (self->at > 0) {
        finish(self, NULL);
        return;
    }
    self->whole = true;
    fetch(self);
}

/* The connection broke, after some of the body. */
static bool can_resume(struct get *self, const struct object_answer *answer, const struct error *err)
{
    if (answer || self->failed_here || self->task.cancelled || self->arrived == 0 || !err->retryable)
        return false;
    return self->size == SIZE_UNKNOWN ? self->restarts++ < RESTARTS_MAX
                                      : self->resumptions++ < RESUMPTIONS_MAX;
}

static void judge(struct get *self, const struct object_answer *answer, const struct error *err)
{
    if (err == NULL)
        take_answer(self, answer);
    else if (answer && answer->status == 416 && self->size == SIZE_UNKNOWN && !self->whole)
        take_unsatisfiable(self);
    else if (answer && answer->status == 412 && !err->retryable)
        fail(self, ERROR_CONFLICT, false, changed);
    else if (!can_resume(self, answer, err))
        finish(self, err);
    else if (self->size == SIZE_UNKNOWN)
        fetch(self);
    else
        take_held(self); /* nothing, when they are written already */
}

static void begin(struct get *self)
{
    const struct storage_get *get = self->request;
    bool stream = get->target_fd >= 0 && get->target_is_stream;
    self->held_max = stream ? STREAM_SIZE : FIRST_SIZE;
    self->held = malloc(self->held_max);
    self->digest = get->digest ? get->digest : digest_new();
    if (self->held == NULL || self->digest == NULL)
        fail(self, ERROR_SYSTEM, true, "out of memory");
    else
        fetch(self);
}

static void step(struct object_task *task, const struct object_answer *answer, const struct error *err)
{
    struct get *self = (struct get *)task;
    if (self->state == GET_FETCHING)
        judge(self, answer, err);
    else if (err)
        finish(self, err);
    else
        begin(self);
}

static void cancel(struct object_op *op)
{
    struct get *self = (struct get *)op;
    atomic_store(&self->cancelled, true);
    object_task_cancel(op);
}

int object_get_start(const struct object_protocol *protocol, const struct object_get_protocol *of_get,
                     struct storage_get *get, struct storage_op **ret_op, struct error *err)
{
    if (get->offset > INT64_MAX || get->length > INT64_MAX - get->offset)
        return error_set(err, ERROR_INPUT, false, "a range can't begin or end beyond 2^63 bytes");
    struct get *self = object_task_new(protocol, sizeof *self);
    if (self == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    self->protocol = of_get;
    self->request = get;
    self->at = get->offset;
    self->end = get->length ? get->offset + get->length : INT64_MAX;
    self->size = SIZE_UNKNOWN;
    atomic_store(&get->bytes_done, 0);
    int rc = object_task_start(&self->task, protocol, get->loop, &get->location, get->key ? get->key : "",
                               step, err);
    if (rc < 0) {
        object_task_free(&self->task);
        return rc;
    }
    self->task.op.cancel = cancel;
    *ret_op = &self->task.op.base;
    return 0;
}
