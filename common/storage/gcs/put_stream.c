/*
 * A resumable upload: one session, one stream of bytes.
 *
 *   create ──► transfer ──┬─► send what is missing ──┬─ the resource: done
 *      list ─────┘        │            ▲             ├─ 308: so many are kept ──────────┐
 *   (how many are kept)   │            └─────────────┼──────────────────────────────────┘
 *                         └─► ask how many are kept ◄┴─ broken off, 5xx, no clear answer: after a pause
 *
 * All that is left goes in one request, unless storage_config has a chunk_size: Google keeps what arrives, in
 * units of 256 KiB, also of a request that breaks off, and each request more costs a pause in which nothing
 * flows. The file is read by offset, so that no byte is held until it is kept.
 *
 * The session's URL is a secret: who has it can write the object. It stands in no message, and encrypted in
 * the resume state (seal.h). To the engine an upload is called by what is recorded of it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/secret.h"
#include "base/log.h"
#include "storage/gcs/put.h"
#include "storage/gcs/seal.h"
#include "storage/gcs/upload_url.h"

#define METADATA_MAX ((size_t)64 << 10)
#define MAX_BREAKS 6

static const struct gcs_session *session_of(const struct object_put *put)
{
    return (const struct gcs_session *)put->session;
}

/* --- a session is begun --- */

/* What the upload is called from now on: its session, encrypted, or that it can't be recorded. */
static int name_upload(struct gcs_put *self, struct error *err)
{
    struct object_put *put = &self->put;
    char *sealed = NULL;
    int rc = gcs_seal(session_of(put), put->request->key, self->url, &sealed, err);
    if (rc)
        return rc;
    put->unrecorded = sealed == NULL;
    if (sealed == NULL)
        log_debug(
            "'%s': the upload won't be taken up if it breaks off: its session is a secret, and there is "
            "no key to record it with (BM_ENCRYPTION_KEY_REF)",
            put->request->key);
    rc = object_put_set_upload(put, sealed ? sealed : GCS_UNRECORDED, err);
    free(sealed);
    return rc;
}

static void on_created(void *data, const struct object_answer *answer, const struct error *err)
{
    struct object_put *put = data;
    struct gcs_put *self = data;
    struct error own = {0};
    if (gcs_put_was_refused(answer, err)) {
        object_put_answered(put, OBJECT_PUT_REFUSED, NULL);
        return;
    }
    if (err) {
        own = *err;
    } else {
        const char *location = answer->response->header(answer->response, "location");
        secret_free(self->url);
        self->url = NULL;
        self->offset = 0;
        self->unclear = false;
        self->breaks = 0;
        if (gcs_session_url(gcs_put_config(put), location, &self->url, &own))
            error_context(&own, "objects.insert in bucket '%s'", put->session->container);
        else
            name_upload(self, &own);
    }
    object_put_answered(put, own.code ? OBJECT_PUT_FAILED : OBJECT_PUT_OK, own.code ? &own : NULL);
}

int gcs_put_create(struct object_put *put, struct error *err)
{
    struct gcs_put *self = (struct gcs_put *)put;
    char size[24];
    struct object_draft draft;
    strbuf_deinit(&self->head);
    strbuf_init(&self->head, METADATA_MAX);
    gcs_put_write_metadata(put, &self->head);
    if (self->head.failed)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    snprintf(size, sizeof size, "%" PRIu64, put->request->size);
    gcs_put_draft_insert(put, "resumable", &draft);
    object_draft_header(&draft, "Content-Type", "application/json; charset=UTF-8");
    object_draft_header(&draft, "X-Upload-Content-Type", "application/octet-stream");
    object_draft_header(&draft, "X-Upload-Content-Length", size);
    draft.ask.flags |= GCS_WANT_SESSION;
    draft.ask.body = self->head.data;
    draft.ask.body_size = self->head.size;
    draft.ask.done = on_created;
    return object_put_call(put, &draft.ask, err);
}

/* --- what the store says of it --- */

static enum object_put_outcome spoil(const struct object_put *put, const char *what, struct error *err)
{
    error_set(err, ERROR_PROTOCOL, true, "bucket '%s': %s", put->session->container, what);
    return OBJECT_PUT_SPOILED;
}

/* 308. */
static enum object_put_outcome take_kept(struct gcs_put *self, const struct object_answer *answer,
                                         struct error *err)
{
    uint64_t kept, before = self->offset;
    const struct object_put *put = &self->put;
    if (!gcs_kept_bytes(answer->response->header(answer->response, "range"), &kept))
        return spoil(put, "the store's \"Range\" of an upload makes no sense", err);
    if (kept > (self->unclear ? put->request->size : self->end))
        return spoil(put, "the store has more bytes of an upload than were sent", err);
    bool all = kept == put->request->size;
    self->offset = kept;
    if (kept > before)
        self->breaks = 0;
    else if (all || !self->unclear)
        self->breaks++;
    self->unclear = all; /* and yet it isn't complete: asked once more, it will be, or says why not */
    return OBJECT_PUT_AGAIN;
}

static enum object_put_outcome take_resource(const struct object_put *put, const struct object_answer *answer)
{
    struct gcs_resource resource = {0};
    gcs_resource_read(answer->response->body, answer->response->body_size, &resource);
    return gcs_put_proves(put, &resource) ? OBJECT_PUT_PROVEN : OBJECT_PUT_OK;
}

/* The session is no more, or not for us. */
static bool is_lost(const struct object_answer *answer, const struct error *err)
{
    return answer && !err->retryable &&
           (answer->status == 404 || answer->status == 410 || answer->status == 401);
}

static enum object_put_outcome take_error(struct gcs_put *self, const struct object_answer *answer,
                                          struct error *err)
{
    const struct object_put *put = &self->put;
    if (gcs_put_was_refused(answer, err))
        return OBJECT_PUT_REFUSED;
    if (is_lost(answer, err))
        return OBJECT_PUT_LOST;
    if (answer && err->code == ERROR_CORRUPT) { /* what it has isn't what was promised */
        error_context(err, "'%.300s', SHA-256 %s", put->request->key, put->request->sha256);
        return OBJECT_PUT_SPOILED;
    }
    return OBJECT_PUT_FAILED;
}

static void answer_with(struct object_put *put, enum object_put_outcome outcome, const struct error *err)
{
    bool failed = outcome == OBJECT_PUT_FAILED || outcome == OBJECT_PUT_SPOILED;
    object_put_answered(put, outcome, failed ? err : NULL);
}

/* --- it is asked --- */

static void on_asked(void *data, const struct object_answer *answer, const struct error *err)
{
    struct gcs_put *self = data;
    struct object_put *put = data;
    struct error own = err ? *err : (struct error){0};
    enum object_put_outcome outcome;
    if (err)
        outcome = take_error(self, answer, &own);
    else if (answer->status == 308)
        outcome = take_kept(self, answer, &own);
    else
        outcome = take_resource(put, answer);
    answer_with(put, outcome, &own);
}

static void draft_put(struct gcs_put *self, const char *operation, const char *content_range,
                      struct object_draft *draft)
{
    object_draft_init(draft, operation, "PUT", NULL);
    object_draft_header(draft, "Content-Range", content_range);
    draft->ask.url = self->url;
    draft->ask.customer_key = true;
    draft->ask.flags = GCS_WANT_OBJECT | GCS_TAKE_308;
}

static int ask_kept(struct gcs_put *self,
                    void (*done)(void *data, const struct object_answer *answer, const struct error *err),
                    struct error *err)
{
    char content_range[64];
    struct object_draft draft;
    snprintf(content_range, sizeof content_range, "bytes */%" PRIu64, self->put.request->size);
    draft_put(self, "asking how far an upload is", content_range, &draft);
    self->unclear = true;
    draft.ask.done = done;
    return object_put_call(&self->put, &draft.ask, err);
}

/* --- an earlier attempt's is taken up --- */

static void on_listed(void *data, const struct object_answer *answer, const struct error *err)
{
    struct gcs_put *self = data;
    struct object_put *put = data;
    struct error own = err ? *err : (struct error){0};
    enum object_put_outcome outcome;
    if (err) {
        outcome = take_error(self, answer, &own);
        if (outcome == OBJECT_PUT_REFUSED)
            outcome = OBJECT_PUT_LOST; /* something stands there now: the key is looked at */
    } else if (answer->status == 308) {
        outcome = take_kept(self, answer, &own);
        if (outcome == OBJECT_PUT_AGAIN)
            outcome = OBJECT_PUT_OK;
    } else {
        put->completed = true;
        outcome = OBJECT_PUT_OK;
    }
    answer_with(put, outcome, &own);
}

/* What was recorded, decrypted. */
static int open_session(const struct object_put *put, const char *sealed, char **ret, struct error *err)
{
    char *recorded = NULL;
    int rc = gcs_unseal(session_of(put), put->request->key, sealed, &recorded, err);
    if (rc == 0)
        rc = gcs_session_url(gcs_put_config(put), recorded, ret, err);
    secret_free(recorded);
    return rc;
}

int gcs_put_list(struct object_put *put, struct error *err)
{
    struct gcs_put *self = (struct gcs_put *)put;
    struct error why = {0};
    self->offset = 0;
    self->breaks = 0;
    if (self->url == NULL && open_session(put, put->upload_id, &self->url, &why)) {
        log_debug("'%s': the upload begun by an earlier attempt can't be taken up: %s", put->request->key,
                  why.message);
        object_put_answer_soon(put, OBJECT_PUT_LOST);
        return 0;
    }
    return ask_kept(self, on_listed, err);
}

/* --- sending --- */

/* The end of the next request's bytes: all, or what chunk_size allows, at a boundary that Google wants. */
static uint64_t next_end(const struct gcs_put *self)
{
    uint64_t size = self->put.request->size, chunk = gcs_put_config(&self->put)->chunk_size;
    if (chunk == 0 || size - self->offset <= chunk)
        return size;
    return self->offset + chunk - (self->offset + chunk) % GCS_CHUNK_UNIT;
}

/* Worth asking how many arrived, and going on from there. */
static bool may_go_on(struct gcs_put *self, const struct error *err)
{
    bool theirs = err->code == ERROR_UNREACHABLE || err->code == ERROR_TIMEOUT ||
                  err->code == ERROR_PROTOCOL || err->code == ERROR_LIMIT;
    return theirs && err->retryable && err->retry_after_ms <= OBJECT_CALL_MAX_WAIT_MS &&
           ++self->breaks < MAX_BREAKS;
}

static void on_sent(void *data, const struct object_answer *answer, const struct error *err)
{
    struct gcs_put *self = data;
    struct object_put *put = data;
    struct error own = err ? *err : (struct error){0};
    enum object_put_outcome outcome;
    atomic_store(&self->sent, 0);
    if (err == NULL && answer->status == 308) {
        outcome = take_kept(self, answer, &own);
    } else if (err == NULL) {
        outcome = take_resource(put, answer);
    } else {
        outcome = take_error(self, answer, &own);
        if (outcome == OBJECT_PUT_FAILED && may_go_on(self, err)) {
            self->unclear = true;
            self->wait_ms = object_call_backoff_ms(self->breaks);
            if (self->wait_ms < err->retry_after_ms)
                self->wait_ms = err->retry_after_ms;
            outcome = OBJECT_PUT_AGAIN;
        }
    }
    answer_with(put, outcome, &own);
}

static int send_missing(struct gcs_put *self, struct error *err)
{
    const struct storage_put *request = self->put.request;
    char content_range[80];
    struct object_draft draft;
    self->end = next_end(self);
    snprintf(content_range, sizeof content_range, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, self->offset,
             self->end - 1, request->size);
    draft_put(self, "objects.insert", content_range, &draft);
    draft.ask.body_fd = request->source_fd;
    draft.ask.body_offset = self->offset;
    draft.ask.body_size = self->end - self->offset;
    draft.ask.bytes_sent = &self->sent;
    draft.ask.once = true; /* how many have arrived is asked first */
    draft.ask.done = on_sent;
    return object_put_call(&self->put, &draft.ask, err);
}

int gcs_put_transfer(struct object_put *put, struct error *err)
{
    struct gcs_put *self = (struct gcs_put *)put;
    if (self->wait_ms > 0) {
        object_put_pause(put, self->wait_ms);
        self->wait_ms = 0;
        return 0;
    }
    if (self->breaks >= MAX_BREAKS)
        return error_set(err, ERROR_PROTOCOL, true,
                         "bucket '%s': the store keeps nothing of what it is sent, %d times in a row",
                         put->session->container, MAX_BREAKS);
    return self->unclear ? ask_kept(self, on_asked, err) : send_missing(self, err);
}

uint64_t gcs_put_progress(const struct object_put *put)
{
    const struct gcs_put *self = (const struct gcs_put *)put;
    return self->offset + atomic_load_explicit(&self->sent, memory_order_relaxed);
}

/* --- it is given up --- */

static void on_aborted(void *data, const struct object_answer *answer, const struct error *err)
{
    if (err && is_lost(answer, err))
        object_put_answered(data, OBJECT_PUT_LOST, NULL);
    else
        object_put_answered(data, err ? OBJECT_PUT_FAILED : OBJECT_PUT_OK, err);
}

int gcs_put_abort(struct object_put *put, const char *id, struct error *err)
{
    const struct gcs_put *self = (const struct gcs_put *)put;
    bool current = put->upload_id && strcmp(put->upload_id, id) == 0 && self->url;
    struct error why = {0};
    struct object_draft draft;
    char *opened = NULL;
    if (!current && open_session(put, id, &opened, &why)) { /* nobody can any more; it ends within a week */
        object_put_answer_soon(put, OBJECT_PUT_LOST);
        return 0;
    }
    object_draft_init(&draft, "cancelling an upload", "DELETE", NULL);
    draft.ask.url = current ? self->url : opened;
    draft.ask.flags = GCS_WANT_NOTHING | GCS_TAKE_499;
    draft.ask.done = on_aborted;
    int rc = object_put_call(put, &draft.ask, err);
    secret_free(opened);
    return rc;
}
