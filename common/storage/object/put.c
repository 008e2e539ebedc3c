/*
 * One artifact to one key.
 *
 *   OPEN ──► LOOK ──┬─ nothing there ──► STRAYS, ABORT ──┬─ small ──► SUMS ──► SINGLE ───────────┐
 *                   │                    (old uploads)   │                                       │
 *                   │                                    ├─ begun ──► LIST ──┐                   ▼
 *                   │                                    └─ large ──► INTENT │                CONFIRM
 *                   │                                        CREATE, RECORD ─┼► PARTS            │ ▲
 *                   │                                                        │   └──► COMPLETE ──┼─┤
 *                   │                                                        └► TRANSFER ────────┼─┘
 *                   ├─ READ: what stands there can be told by its bytes only ────────────────────┤
 *                   ▼                                                                            ▼
 *                   └── equal: done. Different: conflict ──► REMOVE, ABORT, FORGET (where due) ──► END
 *
 * - OPEN: what the session needs, such as a customer's key
 * - LOOK: at the key. Before a large upload, to fail before hours of sending; when resuming; and before a
 *   single write only where the store has no conditional one. Also when a conditional write was refused, and
 *   when the store doesn't know the upload any more: it may have been completed, the answer lost
 * - STRAYS: the last attempt died between INTENT and RECORD; uploads of this key are listed
 * - ABORT: uploads of another artifact or plan, strays; at the end our own where it can't be taken up again
 * - SUMS: digests of the whole that the store is to get with it; also before a stream
 * - LIST: what an earlier attempt left: parts, or how far a stream is
 * - INTENT, RECORD, FORGET: the resume state is written and waited for. INTENT only where an upload that was
 *   begun can be found by its key, or has a name before it begins: then no CREATE and RECORD follow
 * - PARTS: child operations (put_parts.c), and COMPLETE makes them one object. TRANSFER: the protocol's own
 *   way to send a large object as one stream
 * - CONFIRM: as LOOK: size, SHA-256 in the metadata, checksum where the store tells it. Spared after a write
 *   whose answer holds the store's digest of the bytes that it took
 * - READ: read back, also where the configuration asks for it
 *
 * Endings: a failure that may pass, and a cancel, leave the upload open: the next attempt takes it up. Any
 * other failure aborts it (once, with the call's own tries) and forgets it. A stale attempt, told by a save,
 * touches nothing any more. On success the resume state is left as it is: the row's last UPDATE ends it.
 */
#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "storage/object/protocol.h"
#include "storage/object/put_flow.h"

#define MAX_REFUSALS 3 /* something stands there, and then it doesn't */
#define MAX_RESTARTS 1 /* of an upload that the store forgot */

void object_put_fail(struct object_put *self, const struct error *err)
{
    if (self->err.code == 0 && !self->ending)
        self->err = *err;
}

/* --- how it ends --- */

static void decide_failure(struct object_put *self)
{
    bool open = self->upload_id && !self->completed;
    bool keep = self->err.retryable && !self->spoiled && self->request->save && !(open && self->unrecorded);
    if (self->stale)
        return;
    if (keep) {
        object_put_undoom(self); /* the state that names them stands */
        if (open && self->protocol->records_parts && self->n_done > self->n_saved)
            object_put_save(self, false);
        return;
    }
    if (open)
        object_put_doom(self, self->upload_id);
    self->forget_wanted = self->recorded && self->request->save;
}

static void decide_success(struct object_put *self)
{
    if (self->upload_id && !self->completed) /* an equal object stands there without it */
        object_put_doom(self, self->upload_id);
    self->existed = self->existed && !self->standing.ours;
}

static enum object_put_state tidy(struct object_put *self)
{
    if (!self->stale) {
        if (self->remove_wanted)
            return OBJECT_PUT_REMOVE;
        if (self->strays_wanted && self->err.code == 0)
            return OBJECT_PUT_STRAYS;
        if (self->n_doomed > 0)
            return OBJECT_PUT_ABORT;
        if (self->forget_wanted && !self->abort_failed)
            return OBJECT_PUT_FORGET;
    }
    return OBJECT_PUT_END;
}

static enum object_put_state end(struct object_put *self)
{
    if (self->err.code)
        decide_failure(self);
    else
        decide_success(self);
    self->ending = true;
    return tidy(self);
}

/* --- what comes next --- */

static enum object_put_state begin(struct object_put *self)
{
    const struct object_put_protocol *protocol = self->protocol;
    if (self->strays_wanted)
        return OBJECT_PUT_STRAYS;
    if (self->n_doomed > 0)
        return OBJECT_PUT_ABORT;
    if ((self->single || protocol->transfer) && (self->first_wanted & ~self->first_known))
        return OBJECT_PUT_SUMS;
    if (self->single)
        return OBJECT_PUT_SINGLE;
    if (self->upload_id)
        return OBJECT_PUT_LIST;
    return protocol->name || protocol->finds_strays ? OBJECT_PUT_INTENT : OBJECT_PUT_CREATE;
}

static enum object_put_state send_state(const struct object_put *self)
{
    return self->protocol->transfer ? OBJECT_PUT_TRANSFER : OBJECT_PUT_PARTS;
}

static enum object_put_state look(struct object_put *self, enum object_put_reason reason)
{
    self->reason = reason;
    return reason == OBJECT_PUT_AFTER_WRITE ? OBJECT_PUT_CONFIRM : OBJECT_PUT_LOOK;
}

static enum object_put_state fail(struct object_put *self, int code, const char *what)
{
    error_set(&self->err, code, true, "'%.300s' in %s '%.100s': %s", self->request->key,
              self->protocol->store->container_word, self->session->container, what);
    return end(self);
}

static enum object_put_state after_absence(struct object_put *self)
{
    switch (self->reason) {
    case OBJECT_PUT_BEFORE:
        return begin(self);
    case OBJECT_PUT_AFTER_REFUSAL:
        if (self->single && ++self->refusals < MAX_REFUSALS)
            return begin(self);
        self->spoiled = true; /* after a refused completion S3 wants all parts again */
        return fail(self, ERROR_CONFLICT,
                    "the store refuses it as if something stood there, but nothing does");
    case OBJECT_PUT_AFTER_LOSS:
        if (self->restarts++ < MAX_RESTARTS)
            return begin(self);
        self->forget_wanted = self->request->save != NULL;
        return fail(self, ERROR_NOT_FOUND, "the store forgot the upload while it was under way");
    case OBJECT_PUT_AFTER_WRITE:
        break;
    }
    self->spoiled = true;
    return fail(self, ERROR_CORRUPT, "the store took it, but it isn't there");
}

/* What stands there is not what it should be. It goes only if this very attempt made it. */
static enum object_put_state refuse_standing(struct object_put *self, bool damaged)
{
    const struct object_standing *standing = &self->standing;
    bool ours = standing->ours || (self->completed && standing->taken_up);
    bool wrong = damaged || (self->reason == OBJECT_PUT_AFTER_WRITE && ours);
    self->remove_wanted = wrong && ours;
    if (wrong)
        error_set(&self->err, ERROR_CORRUPT, self->remove_wanted,
                  "'%.300s' in %s '%.100s' is not what was sent: the store has %" PRIu64
                  " bytes with SHA-256 %s, sent were %" PRIu64 " bytes with SHA-256 %s; %s",
                  self->request->key, self->protocol->store->container_word, self->session->container,
                  standing->size, *standing->sha256 ? standing->sha256 : "unknown", self->request->size,
                  self->request->sha256,
                  self->remove_wanted ? "it is removed" : "another attempt made it, so it is left alone");
    else
        object_put_conflict(self, &self->err);
    self->spoiled = true;
    return end(self);
}

static enum object_put_state after_look(struct object_put *self)
{
    switch (self->standing.kind) {
    case OBJECT_STANDING_NONE:
        return after_absence(self);
    case OBJECT_STANDING_EQUAL:
        self->existed = self->reason != OBJECT_PUT_AFTER_WRITE;
        return self->read_back ? OBJECT_PUT_READ : end(self);
    case OBJECT_STANDING_UNKNOWN:
        self->existed = self->reason != OBJECT_PUT_AFTER_WRITE;
        return OBJECT_PUT_READ;
    case OBJECT_STANDING_DIFFERENT:
        return refuse_standing(self, false);
    case OBJECT_STANDING_DAMAGED:
        break;
    }
    return refuse_standing(self, true);
}

static enum object_put_state after_read(struct object_put *self)
{
    if (strcmp(self->read_sha256, self->request->sha256) == 0)
        return end(self);
    bool claimed = self->standing.kind == OBJECT_STANDING_EQUAL;
    memcpy(self->standing.sha256, self->read_sha256, sizeof self->read_sha256);
    return refuse_standing(self, claimed);
}

static bool looks_first(const struct object_put *self)
{
    return !self->conditional || !self->single || self->request->resume_state;
}

/* The store has taken the whole, or says why it hasn't. */
static enum object_put_state after_write(struct object_put *self)
{
    if (self->completed)
        return self->proven && !self->read_back ? end(self) : look(self, OBJECT_PUT_AFTER_WRITE);
    if (self->refused)
        return look(self, OBJECT_PUT_AFTER_REFUSAL);
    assert(self->lost);
    object_put_forget_upload(self);
    return look(self, OBJECT_PUT_AFTER_LOSS);
}

enum object_put_state object_put_next(struct object_put *self)
{
    if (self->ending)
        return tidy(self);
    if (self->err.code)
        return end(self);
    switch (self->state) {
    case OBJECT_PUT_OPEN:
        return looks_first(self) ? look(self, OBJECT_PUT_BEFORE) : begin(self);
    case OBJECT_PUT_LOOK:
    case OBJECT_PUT_CONFIRM:
        return after_look(self);
    case OBJECT_PUT_READ:
        return after_read(self);
    case OBJECT_PUT_STRAYS:
    case OBJECT_PUT_ABORT:
    case OBJECT_PUT_SUMS:
        return begin(self);
    case OBJECT_PUT_INTENT:
        return self->protocol->name ? send_state(self) : OBJECT_PUT_CREATE;
    case OBJECT_PUT_CREATE:
        if (self->refused)
            return after_write(self);
        return self->upload_id ? OBJECT_PUT_RECORD : begin(self);
    case OBJECT_PUT_RECORD:
        return send_state(self);
    case OBJECT_PUT_LIST:
        return self->completed || self->lost ? after_write(self) : send_state(self);
    case OBJECT_PUT_PARTS:
        return self->lost ? after_write(self) : OBJECT_PUT_COMPLETE;
    case OBJECT_PUT_SINGLE:
    case OBJECT_PUT_COMPLETE:
    case OBJECT_PUT_TRANSFER:
        return after_write(self);
    case OBJECT_PUT_REMOVE:
    case OBJECT_PUT_FORGET:
    case OBJECT_PUT_END:
        break;
    }
    return tidy(self);
}
