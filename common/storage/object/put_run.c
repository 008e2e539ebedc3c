/* The life of an upload: each state's own work, what came of it, and the end. What follows what: put.c. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "storage/object/protocol.h"
#include "storage/object/put_flow.h"

#define PROGRESS_MS 250
#define NOT_WAITING 1

/* --- a state's own work --- */

static void on_open(void *data, const struct error *err)
{
    struct object_put *self = data;
    self->waiting = false;
    if (err)
        object_put_fail(self, err);
    object_put_step(self);
}

static void tell_progress(struct object_put *self)
{
    atomic_store_explicit(&self->request->bytes_done, self->protocol->progress(self), memory_order_relaxed);
}

static void on_timer(uv_timer_t *timer)
{
    struct object_put *self = timer->data;
    self->waiting = self->waiting && !self->pausing;
    self->pausing = false;
    if (self->soon) {
        self->soon = false;
        object_put_answered(self, self->soon_outcome, NULL);
        return;
    }
    if (self->state == OBJECT_PUT_PARTS)
        object_put_parts_progress(self);
    if (self->state == OBJECT_PUT_TRANSFER)
        tell_progress(self);
    object_put_step(self);
}

void object_put_wait(struct object_put *self, int64_t ms)
{
    self->waiting = self->pausing = true;
    uv_timer_start(&self->timer, on_timer, (uint64_t)ms, 0);
}

void object_put_pause(struct object_put *self, int64_t ms)
{
    self->again = true;
    object_put_wait(self, ms);
}

void object_put_answer_soon(struct object_put *self, enum object_put_outcome outcome)
{
    self->soon = true;
    self->soon_outcome = outcome;
    uv_timer_start(&self->timer, on_timer, 0, 0);
}

int object_put_call(struct object_put *self, struct object_ask *ask, struct error *err)
{
    assert(self->call == NULL);
    ask->data = self;
    return object_call_start(self->session, ask, &self->call, err);
}

void object_put_answered(struct object_put *self, enum object_put_outcome outcome, const struct error *err)
{
    self->call = NULL;
    self->waiting = false;
    if (self->state == OBJECT_PUT_ABORT) {
        object_put_aborted(self, outcome, err);
    } else if (self->state == OBJECT_PUT_CREATE && outcome == OBJECT_PUT_FAILED &&
               object_put_create_again(self, err)) {
        return;
    } else {
        bool writes = self->state == OBJECT_PUT_SINGLE || self->state == OBJECT_PUT_COMPLETE ||
                      self->state == OBJECT_PUT_TRANSFER;
        self->proven = outcome == OBJECT_PUT_PROVEN;
        self->completed = self->completed || self->proven || (writes && outcome == OBJECT_PUT_OK);
        self->again = outcome == OBJECT_PUT_AGAIN;
        self->refused = outcome == OBJECT_PUT_REFUSED;
        self->lost = outcome == OBJECT_PUT_LOST;
        self->spoiled = self->spoiled || outcome == OBJECT_PUT_SPOILED;
        if (outcome == OBJECT_PUT_FAILED || outcome == OBJECT_PUT_SPOILED)
            object_put_fail(self, err); /* of REMOVE: it stands as it was; the next attempt meets it */
    }
    object_put_step(self);
}

static int record(struct object_put *self, bool null)
{
    object_put_save(self, null);
    return NOT_WAITING;
}

static int intend(struct object_put *self, struct error *err)
{
    int rc = self->protocol->name ? self->protocol->name(self, err) : 0;
    return rc ? rc : record(self, false);
}

static int watch(struct object_put *self)
{
    uv_timer_start(&self->timer, on_timer, PROGRESS_MS, PROGRESS_MS);
    return NOT_WAITING;
}

/* 0: object_put_answered, or another callback, will come. NOT_WAITING: busy() knows how long it lasts. */
static int start(struct object_put *self, struct error *err)
{
    const struct object_put_protocol *protocol = self->protocol;
    int rc;
    switch (self->state) {
    case OBJECT_PUT_LOOK:
    case OBJECT_PUT_CONFIRM:
        return protocol->look(self, err);
    case OBJECT_PUT_READ:
        return object_put_read_start(self, err);
    case OBJECT_PUT_STRAYS:
        return object_put_strays_start(self, err);
    case OBJECT_PUT_ABORT:
        return object_put_abort_start(self, err);
    case OBJECT_PUT_LIST:
        return protocol->list(self, err);
    case OBJECT_PUT_SUMS:
        return object_put_sums_start(self, err);
    case OBJECT_PUT_SINGLE:
        return protocol->single(self, err);
    case OBJECT_PUT_INTENT:
        return intend(self, err);
    case OBJECT_PUT_CREATE:
        return protocol->create(self, err);
    case OBJECT_PUT_RECORD:
        return record(self, false);
    case OBJECT_PUT_PARTS:
        rc = object_put_sums_begin(self, err);
        return rc ? rc : watch(self);
    case OBJECT_PUT_COMPLETE:
        return protocol->complete(self, err);
    case OBJECT_PUT_TRANSFER: /* between two short requests too: the timer begins anew with each */
        tell_progress(self);
        watch(self);
        return protocol->transfer(self, err);
    case OBJECT_PUT_REMOVE:
        self->remove_wanted = false;
        return protocol->remove(self, err);
    case OBJECT_PUT_FORGET:
        self->forget_wanted = false;
        return record(self, true);
    case OBJECT_PUT_OPEN:
    case OBJECT_PUT_END:
        break;
    }
    return NOT_WAITING;
}

static void enter(struct object_put *self, enum object_put_state state)
{
    struct error err = {0};
    self->state = state;
    self->again = self->refused = self->lost = false;
    int rc = start(self, &err);
    if (rc < 0)
        object_put_fail(self, &err);
    else if (rc == 0)
        self->waiting = true;
}

/* Whether the state's own work goes on. */
static bool busy(struct object_put *self)
{
    if (self->waiting)
        return true;
    if (self->state == OBJECT_PUT_PARTS)
        return !object_put_parts_step(self);
    bool saves = self->state == OBJECT_PUT_INTENT || self->state == OBJECT_PUT_RECORD ||
                 self->state == OBJECT_PUT_FORGET;
    return saves && (self->saving || self->save_wanted);
}

/* --- life --- */

static void release(struct object_put *self)
{
    if (self->protocol->deinit)
        self->protocol->deinit(self);
    object_session_deinit(self->session);
    free(self->session);
    self->session = NULL;
    object_put_forget_upload(self);
    object_put_undoom(self);
    object_put_sums_deinit(self);
    free(self->parts);
    self->parts = NULL;
}

static void on_closed(uv_handle_t *handle)
{
    struct object_put *self = handle->data;
    struct storage_put *put = self->request;
    struct storage_put_result result = {.size = put->size, .existed = self->existed};
    struct error err = self->err;
    memcpy(result.sha256, put->sha256, sizeof result.sha256);
    free(self);
    if (err.code == 0)
        atomic_store(&put->bytes_done, put->size);
    put->done(put, err.code ? NULL : &result, err.code ? &err : NULL);
}

void object_put_step(struct object_put *self)
{
    while (self->state != OBJECT_PUT_END && !busy(self)) {
        bool again = self->again && self->err.code == 0;
        enum object_put_state next = again ? self->state : object_put_next(self);
        if (next == OBJECT_PUT_END && (self->saving || self->save_wanted))
            return;
        if (self->state == OBJECT_PUT_PARTS || self->state == OBJECT_PUT_TRANSFER)
            uv_timer_stop(&self->timer);
        enter(self, next);
    }
    if (self->state == OBJECT_PUT_END && !uv_is_closing((uv_handle_t *)&self->timer)) {
        release(self);
        uv_close((uv_handle_t *)&self->timer, on_closed);
    }
}

/* Stops what runs. In tidying up: the rest of it is left to the next attempt, or the sweep. */
static void cancel(struct object_op *op)
{
    struct object_put *self = (struct object_put *)op;
    struct error err;
    error_set(&err, ERROR_CANCELLED, true, "upload of '%.300s' was cancelled", self->request->key);
    object_put_fail(self, &err);
    if (self->ending) {
        self->remove_wanted = self->strays_wanted = self->forget_wanted = false;
        object_put_undoom(self);
    }
    if (self->call)
        object_call_cancel(self->call);
    if (self->sub)
        storage_op_cancel(self->sub);
    if (self->waiting && self->state == OBJECT_PUT_SUMS)
        range_digest_cancel(&self->sums);
    if (self->state == OBJECT_PUT_PARTS)
        object_put_parts_cancel(self);
    if (self->pausing || self->state == OBJECT_PUT_OPEN) /* OPEN: step ends the session, on_open won't run */
        object_put_wait(self, 0);
}

static int check_request(const struct object_protocol *store, const struct storage_put *put,
                         struct error *err)
{
    unsigned char digest[DIGEST_SHA256_BYTES];
    struct stat st;
    int rc = store->check_key(put->key, err);
    if (rc)
        return rc;
    if (put->sha256 == NULL || !digest_from_hex(put->sha256, digest))
        return error_set(err, ERROR_INPUT, false, "the artifact's SHA-256 is missing");
    if (fstat(put->source_fd, &st) < 0)
        return error_errno(err, errno, "examining the artifact");
    if ((uint64_t)st.st_size < put->size)
        return error_set(err, ERROR_CORRUPT, true,
                         "the artifact is shorter than recorded: %lld bytes instead of %" PRIu64,
                         (long long)st.st_size, put->size);
    return 0;
}

static int init(struct object_put *self, struct error *err)
{
    const struct storage_put *put = self->request;
    int rc = object_session_init(self->session, self->protocol->store, put->loop, &put->location, err);
    if (rc == 0)
        rc = self->protocol->init(self, err);
    if (rc == 0)
        rc = object_session_open(self->session, on_open, self, err);
    return rc;
}

int object_put_start(const struct object_put_protocol *protocol, struct storage_put *put,
                     struct storage_op **ret_op, struct error *err)
{
    int rc = check_request(protocol->store, put, err);
    if (rc)
        return rc;
    struct object_put *self = calloc(1, protocol->size);
    struct object_session *session = calloc(1, protocol->store->session_size);
    if (self == NULL || session == NULL) {
        free(self);
        free(session);
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    self->op.base.driver = protocol->store->driver;
    self->op.cancel = cancel;
    self->protocol = protocol;
    self->request = put;
    self->session = session;
    self->begun_fence = put->fence;
    self->next = 1;
    self->digests_fit = put->part_digests && put->part_digests->total == put->size;
    self->recorded = put->resume_state && *put->resume_state;
    rc = init(self, err);
    if (rc) {
        release(self);
        free(self);
        return rc;
    }
    assert(self->single || protocol->transfer || (self->parts && self->parallel >= 1));
    self->waiting = true;
    uv_timer_init(put->loop, &self->timer);
    self->timer.data = self;
    atomic_store(&put->bytes_done, 0);
    *ret_op = &self->op.base;
    return 0;
}
