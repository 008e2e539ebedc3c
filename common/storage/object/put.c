/*
 * One artifact to one key.
 *
 *   OPEN ──► LOOK ──┬─ nothing there ──► STRAYS, ABORT ──┬─ small ──► SUMS ──► SINGLE ───────────┐
 *                   │                    (old uploads)   │                                       │
 *                   │                                    ├─ begun ──► LIST ──┐                   ▼
 *                   │                                    └─ large ──► INTENT │                CONFIRM
 *                   │                                        CREATE, RECORD ─┴► PARTS            │ ▲
 *                   │                                                            └──► COMPLETE ──┼─┘
 *                   ├─ READ: what stands there can be told by its bytes only ────────────────────┤
 *                   ▼                                                                            ▼
 *                   └── equal: done. Different: conflict ──► REMOVE, ABORT, FORGET (where due) ──► END
 *
 * - OPEN: the SSE-C key, if there is one
 * - LOOK: HEAD of the key. Before a multipart upload, to fail before hours of sending; when resuming; and
 *   before a single PUT only where the store has no conditional write. Also when a conditional write was
 *   refused, and when the store doesn't know the upload any more: it may have been completed, the answer lost
 * - STRAYS: the last attempt died between INTENT and RECORD; uploads of this key are listed
 * - ABORT: uploads of another artifact or plan, strays; at the end our own where it can't be taken up again
 * - LIST: parts that an earlier attempt left (put_resume.c)
 * - INTENT, RECORD, FORGET: the resume state is written and waited for
 * - PARTS: child operations (put_parts.c)
 * - CONFIRM: HEAD: size, SHA-256 in the metadata, checksum where the store tells it. Spared after a single
 * PUT whose answer holds the store's digest of the bytes that it took (put_single.c)
 * - READ: read back, also where the configuration asks for it
 *
 * Endings: a failure that may pass, and a cancel, leave the upload open: the next attempt takes it up. Any
 * other failure aborts it (once, with the call's own tries) and forgets it. A stale attempt, told by a save,
 * touches nothing any more. On success the resume state is left as it is: the row's last UPDATE ends it.
 */
#include "storage/s3/put.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "storage/object/key.h"

#define PROGRESS_MS 250
#define MAX_REFUSALS 3 /* something stands there, and then it doesn't */
#define MAX_RESTARTS 1 /* of an upload that the store forgot */

void s3_put_fail(struct s3_put *self, const struct error *err)
{
    if (self->err.code == 0 && !self->ending)
        self->err = *err;
}

bool s3_put_was(const struct object_answer *answer, int status, const char *code)
{
    return answer && answer->status == status && (code == NULL || strcmp(answer->code, code) == 0);
}

void s3_put_call(struct s3_put *self, struct object_ask *ask)
{
    struct error err = {0};
    ask->data = self;
    if (object_call_start(&self->session.base, ask, &self->call, &err))
        s3_put_fail(self, &err);
    else
        self->waiting = true;
}

void s3_put_doom(struct s3_put *self, const char *upload_id)
{
    char *copy = self->n_doomed < S3_PUT_MAX_DOOMED ? strdup(upload_id) : NULL;
    if (copy)
        self->doomed[self->n_doomed++] = copy;
}

void s3_put_forget_upload(struct s3_put *self)
{
    for (uint32_t i = 0; self->etags && i < self->plan.count; i++) {
        free(self->etags[i]);
        self->etags[i] = NULL;
        self->parts[i] = (struct s3_part){0};
    }
    free(self->upload_id);
    self->upload_id = NULL;
    self->now.upload_id = NULL;
    self->now.fence = self->request->fence;
    self->n_done = self->n_saved = self->marker = 0;
    self->done_bytes = 0;
    self->lost = self->has_sums = false;
    self->next = 1;
    if (self->whole)
        digest_reset(self->whole);
}

/* --- the resume state --- */

static void save_now(struct s3_put *self);

static void on_saved(void *arg, bool ours)
{
    struct s3_put *self = arg;
    self->saving = false;
    if (!ours && !self->stale) {
        struct error err;
        error_set(&err, ERROR_CANCELLED, true, "'%.300s': a later attempt took over", self->request->key);
        self->stale = true;
        self->save_wanted = false;
        if (!self->ending)
            self->err = err;
        self->op.cancel(&self->op);
    }
    save_now(self);
    s3_put_step(self);
}

static void save_now(struct s3_put *self)
{
    if (self->saving || !self->save_wanted)
        return;
    self->save_wanted = false;
    if (self->request->save == NULL || self->stale)
        return;
    char *text = self->save_null ? NULL
                                 : s3_resume_text(&self->now, (const char *const *)self->etags,
                                                  self->upload_id ? self->plan.count : 0);
    if (text == NULL && !self->save_null) {
        struct error err;
        error_set(&err, ERROR_SYSTEM, true, "out of memory");
        s3_put_fail(self, &err);
        return;
    }
    self->saving = true;
    self->recorded = true;
    self->n_saved = self->n_done;
    self->request->save(self->request, text, on_saved, self);
    free(text);
}

void s3_put_save(struct s3_put *self, bool null)
{
    self->save_wanted = true;
    self->save_null = null;
    save_now(self);
}

/* --- how it ends --- */

static void decide_failure(struct s3_put *self)
{
    bool open = self->upload_id && !self->completed;
    bool keep = self->err.retryable && !self->spoiled && self->request->save;
    if (self->stale)
        return;
    if (keep) {
        for (; self->n_doomed > 0; self->n_doomed--) /* the state that names them stands */
            free(self->doomed[self->n_doomed - 1]);
        if (open && self->n_done > self->n_saved)
            s3_put_save(self, false);
        return;
    }
    if (open)
        s3_put_doom(self, self->upload_id);
    self->forget_wanted = self->recorded && self->request->save;
}

static void decide_success(struct s3_put *self)
{
    if (self->upload_id && !self->completed) /* an equal object stands there without it */
        s3_put_doom(self, self->upload_id);
    self->existed = self->existed && !self->standing.ours;
}

static enum s3_put_state tidy(struct s3_put *self)
{
    if (!self->stale) {
        if (self->remove_wanted)
            return S3_PUT_REMOVE;
        if (self->strays_wanted && self->err.code == 0)
            return S3_PUT_STRAYS;
        if (self->n_doomed > 0)
            return S3_PUT_ABORT;
        if (self->forget_wanted && !self->abort_failed)
            return S3_PUT_FORGET;
    }
    return S3_PUT_END;
}

static enum s3_put_state end(struct s3_put *self)
{
    if (self->err.code)
        decide_failure(self);
    else
        decide_success(self);
    self->ending = true;
    return tidy(self);
}

/* --- what comes next --- */

static enum s3_put_state begin(struct s3_put *self)
{
    if (self->strays_wanted)
        return S3_PUT_STRAYS;
    if (self->n_doomed > 0)
        return S3_PUT_ABORT;
    if (self->single)
        return s3_put_single_needs_sums(self) && !self->has_sums ? S3_PUT_SUMS : S3_PUT_SINGLE;
    return self->upload_id ? S3_PUT_LIST : S3_PUT_INTENT;
}

static enum s3_put_state look(struct s3_put *self, enum s3_put_reason reason)
{
    self->reason = reason;
    return reason == S3_PUT_COMPLETED ? S3_PUT_CONFIRM : S3_PUT_LOOK;
}

static enum s3_put_state fail(struct s3_put *self, int code, const char *what)
{
    error_set(&self->err, code, true, "'%.300s' in bucket '%.100s': %s", self->request->key,
              self->session.config.bucket, what);
    return end(self);
}

static enum s3_put_state after_absence(struct s3_put *self)
{
    switch (self->reason) {
    case S3_PUT_FIRST:
        return begin(self);
    case S3_PUT_REFUSED:
        if (self->single && ++self->refusals < MAX_REFUSALS)
            return begin(self);
        self->spoiled = true; /* S3: after a refused completion all parts are to be sent again */
        return fail(self, ERROR_CONFLICT,
                    "the store refuses it as if something stood there, but nothing does");
    case S3_PUT_LOST:
        if (self->restarts++ < MAX_RESTARTS)
            return begin(self);
        self->forget_wanted = self->request->save != NULL;
        return fail(self, ERROR_NOT_FOUND, "the store forgot the multipart upload while it was under way");
    case S3_PUT_COMPLETED:
        break;
    }
    self->spoiled = true;
    return fail(self, ERROR_CORRUPT, "the store took it, but it isn't there");
}

/* What stands there is not what it should be. It goes only if this very attempt made it. */
static enum s3_put_state refuse_standing(struct s3_put *self, bool damaged)
{
    const struct s3_standing *standing = &self->standing;
    bool ours = standing->ours || (self->completed && standing->taken_up);
    bool wrong = damaged || (self->reason == S3_PUT_COMPLETED && ours);
    self->remove_wanted = wrong && ours;
    if (wrong)
        error_set(&self->err, ERROR_CORRUPT, self->remove_wanted,
                  "'%.300s' in bucket '%.100s' is not what was sent: the store has %" PRIu64
                  " bytes with SHA-256 %s, sent were %" PRIu64 " bytes with SHA-256 %s; %s",
                  self->request->key, self->session.config.bucket, standing->size,
                  *standing->sha256 ? standing->sha256 : "unknown", self->request->size,
                  self->request->sha256,
                  self->remove_wanted ? "it is removed" : "another attempt made it, so it is left alone");
    else
        s3_put_conflict(self, &self->err);
    self->spoiled = true;
    return end(self);
}

static enum s3_put_state after_look(struct s3_put *self)
{
    switch (self->standing.kind) {
    case S3_STANDING_NONE:
        return after_absence(self);
    case S3_STANDING_EQUAL:
        self->existed = self->reason != S3_PUT_COMPLETED;
        return self->session.config.read_back ? S3_PUT_READ : end(self);
    case S3_STANDING_UNKNOWN:
        self->existed = self->reason != S3_PUT_COMPLETED;
        return S3_PUT_READ;
    case S3_STANDING_DIFFERENT:
        return refuse_standing(self, false);
    case S3_STANDING_DAMAGED:
        break;
    }
    return refuse_standing(self, true);
}

static enum s3_put_state after_read(struct s3_put *self)
{
    if (strcmp(self->read_sha256, self->request->sha256) == 0)
        return end(self);
    bool claimed = self->standing.kind == S3_STANDING_EQUAL;
    memcpy(self->standing.sha256, self->read_sha256, sizeof self->read_sha256);
    return refuse_standing(self, claimed);
}

static bool looks_first(const struct s3_put *self)
{
    return !self->session.config.conditional_write || !self->single || self->request->resume_state;
}

static enum s3_put_state next_state(struct s3_put *self)
{
    if (self->ending)
        return tidy(self);
    if (self->err.code)
        return end(self);
    switch (self->state) {
    case S3_PUT_OPEN:
        return looks_first(self) ? look(self, S3_PUT_FIRST) : begin(self);
    case S3_PUT_LOOK:
    case S3_PUT_CONFIRM:
        return after_look(self);
    case S3_PUT_READ:
        return after_read(self);
    case S3_PUT_STRAYS:
    case S3_PUT_ABORT:
        return begin(self);
    case S3_PUT_SUMS:
        return S3_PUT_SINGLE;
    case S3_PUT_SINGLE:
        if (self->refused)
            return look(self, S3_PUT_REFUSED);
        return self->proven && !self->session.config.read_back ? end(self) : look(self, S3_PUT_COMPLETED);
    case S3_PUT_INTENT:
        return S3_PUT_CREATE;
    case S3_PUT_CREATE:
        return self->upload_id ? S3_PUT_RECORD : begin(self);
    case S3_PUT_LIST:
    case S3_PUT_PARTS:
        if (self->lost) {
            s3_put_forget_upload(self);
            return look(self, S3_PUT_LOST);
        }
        return self->state == S3_PUT_LIST ? S3_PUT_PARTS : S3_PUT_COMPLETE;
    case S3_PUT_RECORD:
        return S3_PUT_PARTS;
    case S3_PUT_COMPLETE:
        if (self->completed)
            return look(self, S3_PUT_COMPLETED);
        if (self->refused)
            return look(self, S3_PUT_REFUSED);
        s3_put_forget_upload(self);
        return look(self, S3_PUT_LOST);
    case S3_PUT_REMOVE:
    case S3_PUT_FORGET:
    case S3_PUT_END:
        break;
    }
    return tidy(self);
}

static void on_open(void *data, const struct error *err)
{
    struct s3_put *self = data;
    self->waiting = false;
    if (err)
        s3_put_fail(self, err);
    s3_put_step(self);
}

static void on_timer(uv_timer_t *timer)
{
    struct s3_put *self = timer->data;
    self->waiting = self->waiting && !self->pausing;
    self->pausing = false;
    if (self->state == S3_PUT_PARTS)
        s3_put_parts_progress(self);
    s3_put_step(self);
}

void s3_put_pause(struct s3_put *self, int64_t ms)
{
    self->waiting = self->pausing = true;
    uv_timer_start(&self->timer, on_timer, (uint64_t)ms, 0);
}

static void enter(struct s3_put *self)
{
    switch (self->state) {
    case S3_PUT_LOOK:
    case S3_PUT_CONFIRM:
        s3_put_look_start(self);
        break;
    case S3_PUT_READ:
        s3_put_read_start(self);
        break;
    case S3_PUT_STRAYS:
        s3_put_strays_start(self);
        break;
    case S3_PUT_ABORT:
        s3_put_abort_start(self);
        break;
    case S3_PUT_LIST:
        s3_put_list_start(self);
        break;
    case S3_PUT_SUMS:
        s3_put_sums_start(self);
        break;
    case S3_PUT_SINGLE:
        s3_put_single_start(self);
        break;
    case S3_PUT_INTENT:
    case S3_PUT_RECORD:
        s3_put_save(self, false);
        break;
    case S3_PUT_CREATE:
        s3_put_create_start(self);
        break;
    case S3_PUT_PARTS:
        uv_timer_start(&self->timer, on_timer, PROGRESS_MS, PROGRESS_MS);
        break;
    case S3_PUT_COMPLETE:
        s3_put_complete_start(self);
        break;
    case S3_PUT_REMOVE:
        s3_put_remove_start(self);
        break;
    case S3_PUT_FORGET:
        self->forget_wanted = false;
        s3_put_save(self, true);
        break;
    case S3_PUT_OPEN:
    case S3_PUT_END:
        break;
    }
}

/* --- life --- */

static void on_closed(uv_handle_t *handle)
{
    struct s3_put *self = handle->data;
    struct storage_put *put = self->request;
    struct storage_put_result result = {.size = put->size, .existed = self->existed};
    struct error err = self->err;
    memcpy(result.sha256, put->sha256, sizeof result.sha256);
    s3_put_forget_upload(self);
    for (int i = 0; i < self->n_doomed; i++)
        free(self->doomed[i]);
    s3_resume_deinit(&self->old);
    digest_free(self->whole);
    free(self->parts);
    free(self->etags);
    free(self->complete_body);
    free(self);
    if (err.code == 0)
        atomic_store(&put->bytes_done, put->size);
    put->done(put, err.code ? NULL : &result, err.code ? &err : NULL);
}

/* Whether the state's own work goes on. */
static bool busy(struct s3_put *self)
{
    if (self->waiting)
        return true;
    if (self->state == S3_PUT_PARTS)
        return !s3_put_parts_step(self);
    bool saves = self->state == S3_PUT_INTENT || self->state == S3_PUT_RECORD || self->state == S3_PUT_FORGET;
    return saves && (self->saving || self->save_wanted);
}

void s3_put_step(struct s3_put *self)
{
    while (self->state != S3_PUT_END && !busy(self)) {
        enum s3_put_state next = next_state(self);
        if (next == S3_PUT_END && (self->saving || self->save_wanted))
            return;
        if (self->state == S3_PUT_PARTS)
            uv_timer_stop(&self->timer);
        self->state = next;
        enter(self);
    }
    if (self->state == S3_PUT_END && !uv_is_closing((uv_handle_t *)&self->timer)) {
        object_session_deinit(&self->session.base);
        uv_close((uv_handle_t *)&self->timer, on_closed);
    }
}

/* Stops what runs. In tidying up: the rest of it is left to the next attempt, or the sweep. */
static void cancel(struct object_op *op)
{
    struct s3_put *self = (struct s3_put *)op;
    struct error err;
    error_set(&err, ERROR_CANCELLED, true, "upload of '%.300s' was cancelled", self->request->key);
    s3_put_fail(self, &err);
    if (self->ending) {
        self->remove_wanted = self->strays_wanted = self->forget_wanted = false;
        while (self->n_doomed > 0)
            free(self->doomed[--self->n_doomed]);
    }
    if (self->call)
        object_call_cancel(self->call);
    if (self->sub)
        storage_op_cancel(self->sub);
    if (self->waiting && self->state == S3_PUT_SUMS)
        range_digest_cancel(&self->sums);
    if (self->state == S3_PUT_PARTS)
        s3_put_parts_cancel(self);
    if (self->pausing || self->state == S3_PUT_OPEN) /* OPEN: step ends the session, on_open will not run */
        s3_put_pause(self, 0);
}

static int check_request(const struct storage_put *put, struct error *err)
{
    unsigned char digest[DIGEST_SHA256_BYTES];
    struct stat st;
    int rc = object_key_check(put->key, err);
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

int s3_put_start(struct storage_put *put, struct storage_op **ret_op, struct error *err)
{
    int rc = check_request(put, err);
    if (rc)
        return rc;
    struct s3_put *self = calloc(1, sizeof *self);
    if (self == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    self->request = put;
    self->op.base.driver = &storage_s3;
    self->op.cancel = cancel;
    rc = object_session_init(&self->session.base, &s3_protocol, put->loop, &put->location, err);
    if (rc == 0)
        rc = s3_put_upload_init(self, err);
    if (rc == 0)
        rc = object_session_open(&self->session.base, on_open, self, err);
    if (rc) {
        object_session_deinit(&self->session.base);
        s3_resume_deinit(&self->old);
        digest_free(self->whole);
        free(self->upload_id);
        free(self->parts);
        free(self->etags);
        free(self);
        return rc;
    }
    self->waiting = true;
    uv_timer_init(put->loop, &self->timer);
    self->timer.data = self;
    atomic_store(&put->bytes_done, 0);
    *ret_op = &self->op.base;
    return 0;
}
