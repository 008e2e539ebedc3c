/* A large upload as a whole: how it is cut, what is recorded of it, what earlier attempts left, its end. */
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/random.h"
#include "storage/object/protocol.h"
#include "storage/object/put_flow.h"

#define MAX_CREATES 3
#define CREATE_BASE_MS 500
#define CREATE_CAP_MS 8000

static uint64_t part_size_of_tests;

void object_put_set_part_size(uint64_t bytes)
{
    part_size_of_tests = bytes;
}

int object_put_plan_parts(struct object_put *self, uint64_t part_size, uint32_t max_parts, uint64_t min_size,
                          uint64_t max_size, struct error *err)
{
    const struct storage_put *put = self->request;
    int rc = part_plan_make(put->size, part_size_of_tests ? part_size_of_tests : part_size, max_parts,
                            part_size_of_tests ? 1 : min_size, max_size, &self->plan, err);
    if (rc) {
        error_context(err, "'%.300s' in %s '%.100s'", put->key, self->protocol->store->container_word,
                      self->session->container);
        return rc;
    }
    self->digests_fit = self->digests_fit && put->part_digests->count == self->plan.count &&
                        part_plan_is_default(&self->plan);
    self->parts = calloc(self->plan.count, sizeof *self->parts);
    return self->parts ? 0 : error_set(err, ERROR_SYSTEM, true, "out of memory");
}

/* --- its name --- */

int object_put_set_upload(struct object_put *self, const char *upload_id, struct error *err)
{
    char *copy = strdup(upload_id);
    if (copy == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    free(self->upload_id);
    self->upload_id = copy;
    return 0;
}

int object_put_take_up(struct object_put *self, const char *upload_id, int64_t fence, struct error *err)
{
    self->begun_fence = fence;
    return object_put_set_upload(self, upload_id, err);
}

void object_put_forget_upload(struct object_put *self)
{
    for (uint32_t i = 0; self->parts && i < self->plan.count; i++) {
        free(self->parts[i].tag);
        self->parts[i] = (struct object_part){0};
    }
    free(self->upload_id);
    self->upload_id = NULL;
    self->begun_fence = self->request->fence;
    self->n_done = self->n_saved = 0;
    self->done_bytes = 0;
    self->lost = self->has_ready = self->unrecorded = false;
    self->next = 1;
}

/* Tried again here, not by the call: an answer that got lost leaves an upload which is to be found first. */
bool object_put_create_again(struct object_put *self, const struct error *err)
{
    if (!self->protocol->finds_strays || !err->retryable || err->code == ERROR_CANCELLED ||
        ++self->creates >= MAX_CREATES || err->retry_after_ms > OBJECT_CALL_MAX_WAIT_MS)
        return false;
    int64_t ms = backoff_ms(self->creates, CREATE_BASE_MS, CREATE_CAP_MS, random_u64());
    self->strays_wanted = true;
    object_put_wait(self, ms > err->retry_after_ms ? ms : err->retry_after_ms);
    return true;
}

/* --- the resume state --- */

static void save_now(struct object_put *self);

static void on_saved(void *arg, bool ours)
{
    struct object_put *self = arg;
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
    object_put_step(self);
}

static void save_now(struct object_put *self)
{
    if (self->saving || !self->save_wanted)
        return;
    self->save_wanted = false;
    if (self->request->save == NULL || self->stale)
        return;
    char *text = self->save_null ? NULL : self->protocol->encode(self);
    if (text == NULL && !self->save_null) {
        struct error err;
        error_set(&err, ERROR_SYSTEM, true, "out of memory");
        object_put_fail(self, &err);
        return;
    }
    self->saving = true;
    self->recorded = true;
    self->n_saved = self->n_done;
    self->request->save(self->request, text, on_saved, self);
    free(text);
}

void object_put_save(struct object_put *self, bool null)
{
    self->save_wanted = true;
    self->save_null = null;
    save_now(self);
}

/* --- open uploads that are to go --- */

void object_put_doom(struct object_put *self, const char *upload_id)
{
    bool room = self->protocol->abort && self->n_doomed < OBJECT_PUT_MAX_DOOMED;
    char *copy = room ? strdup(upload_id) : NULL;
    if (copy)
        self->doomed[self->n_doomed++] = copy;
}

void object_put_undoom(struct object_put *self)
{
    while (self->n_doomed > 0)
        free(self->doomed[--self->n_doomed]);
}

static bool on_upload(struct storage_list *list, const struct storage_entry *entry)
{
    struct object_put *self = list->data;
    if (strcmp(entry->key, self->request->key) == 0 && entry->upload_id)
        object_put_doom(self, entry->upload_id);
    return self->n_doomed < OBJECT_PUT_MAX_DOOMED;
}

/* Best effort: a key that may not list, and stores that can't, must be able to upload all the same. */
static void on_listed_uploads(struct storage_list *list, const struct error *err)
{
    struct object_put *self = list->data;
    self->sub = NULL;
    self->waiting = false;
    if (err && err->retryable)
        object_put_fail(self, err);
    object_put_step(self);
}

int object_put_strays_start(struct object_put *self, struct error *err)
{
    self->strays_wanted = false;
    self->list = (struct storage_list){.loop = self->request->loop,
                                       .location = self->request->location,
                                       .prefix = self->request->key,
                                       .kind = STORAGE_LIST_UPLOADS,
                                       .on_entry = on_upload,
                                       .done = on_listed_uploads,
                                       .data = self};
    return self->op.base.driver->list_start(&self->list, &self->sub, err);
}

int object_put_abort_start(struct object_put *self, struct error *err)
{
    int rc = self->protocol->abort(self, self->doomed[self->n_doomed - 1], err);
    if (rc) {
        free(self->doomed[--self->n_doomed]);
        self->abort_failed = true;
    }
    return rc;
}

void object_put_aborted(struct object_put *self, enum object_put_outcome outcome, const struct error *err)
{
    bool gone = outcome == OBJECT_PUT_OK || outcome == OBJECT_PUT_LOST;
    if (self->n_doomed > 0) /* a cancel has emptied the list */
        free(self->doomed[--self->n_doomed]);
    self->abort_failed = self->abort_failed || !gone;
    if (!gone && err->retryable)
        object_put_fail(self, err); /* before the upload: its state stands, the next attempt does it */
}
