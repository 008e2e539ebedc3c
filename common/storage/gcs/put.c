/*
 * How an artifact goes to Cloud Storage: the table that storage/object/put.c works with, what is decided
 * before anything is sent, what stands at the key, and what is remembered of an upload.
 */
#include "storage/gcs/put.h"

#include <string.h>

#include "auth/secret.h"
#include "storage/gcs/gcs.h"

/* --- before anything is sent --- */

/* An older state: taken up when it is of the same upload, else what it left is cancelled first. */
static int take_up(struct gcs_put *self, struct error *err)
{
    struct object_put *put = &self->put;
    const struct gcs_resume *old = &self->old;
    if (put->request->resume_state == NULL || *put->request->resume_state == '\0')
        return 0;
    if (gcs_resume_parse(put->request->resume_state, &self->old, NULL) || old->session == NULL ||
        !gcs_resume_same_bucket(&self->now, old))
        return 0; /* nobody can reach it any more: Google ends it within a week */
    if (!put->single && gcs_resume_same(&self->now, old))
        return object_put_take_up(put, old->session, old->fence, err);
    object_put_doom(put, old->session);
    return 0;
}

static int init(struct object_put *put, struct error *err)
{
    struct gcs_put *self = (struct gcs_put *)put;
    const struct gcs_config *config = gcs_put_config(put);
    put->single = put->request->size == 0 || put->request->size <= config->multipart_threshold;
    put->conditional = true;
    put->read_back = config->read_back;
    /* Google checks the CRC32C that it is promised, and knows nothing of our SHA-256. */
    put->first_wanted = put->digests_fit ? 0 : RANGE_SHA256 | RANGE_CRC32C;
    self->now = (struct gcs_resume){.endpoint = config->endpoint,
                                    .bucket = config->bucket,
                                    .key = put->request->key,
                                    .sha256 = put->request->sha256,
                                    .size = put->request->size};
    return take_up(self, err);
}

static void deinit(struct object_put *put)
{
    struct gcs_put *self = (struct gcs_put *)put;
    gcs_resume_deinit(&self->old);
    strbuf_deinit(&self->head);
    secret_free(self->url);
    self->url = NULL;
}

/* --- what stands at the key --- */

bool gcs_put_was_refused(const struct object_answer *answer, const struct error *err)
{
    return answer && answer->status == 412 && err && err->code == ERROR_CONFLICT && !err->retryable;
}

static bool differs(const struct object_put *put, const struct gcs_resource *resource)
{
    uint32_t crc32c;
    return resource->has_crc32c && object_put_crc32c(put, &crc32c) && crc32c != resource->crc32c;
}

bool gcs_put_proves(const struct object_put *put, const struct gcs_resource *resource)
{
    uint32_t crc32c;
    return resource->size == put->request->size && resource->has_crc32c && object_put_crc32c(put, &crc32c) &&
           crc32c == resource->crc32c && strcmp(resource->sha256, put->request->sha256) == 0;
}

/* Who may write only, gets 403. Before anything is sent that does: the write is refused where it must be. */
static bool may_go_on(const struct object_put *put, const struct object_answer *answer)
{
    return put->reason == OBJECT_PUT_BEFORE && answer && answer->status == 403;
}

static void on_looked(void *data, const struct object_answer *answer, const struct error *err)
{
    struct object_put *put = data;
    struct gcs_put *self = data;
    struct gcs_resource resource = {0};
    self->generation[0] = '\0';
    if (err && ((answer && answer->status == 404 && !err->retryable) || may_go_on(put, answer))) {
        object_put_looked(put, NULL);
    } else if (err) {
        object_put_answered(put, OBJECT_PUT_FAILED, err);
    } else {
        gcs_resource_read(answer->response->body, answer->response->body_size, &resource);
        memcpy(self->generation, resource.generation, sizeof self->generation);
        const struct object_put_seen seen = {.size = resource.size,
                                             .sha256 = resource.sha256,
                                             .row_id = resource.row_id,
                                             .fence = resource.fence,
                                             .checksum_differs = differs(put, &resource)};
        object_put_looked(put, &seen);
    }
}

static int look(struct object_put *put, struct error *err)
{
    struct object_draft draft;
    gcs_ask_resource(put->request->key, &draft);
    draft.ask.done = on_looked;
    return object_put_call(put, &draft.ask, err);
}

static void on_removed(void *data, const struct object_answer *answer, const struct error *err)
{
    (void)answer;
    object_put_answered(data, err ? OBJECT_PUT_FAILED : OBJECT_PUT_OK, err);
}

/* For good, also where the bucket keeps versions: it is nobody's copy. */
static int remove_it(struct object_put *put, struct error *err)
{
    const struct gcs_put *self = (const struct gcs_put *)put;
    struct object_draft draft;
    if (*self->generation == '\0')
        return error_set(err, ERROR_PROTOCOL, false, "the store doesn't tell the object's generation");
    object_draft_init(&draft, "objects.delete", "DELETE", put->request->key);
    object_draft_query(&draft, "generation", self->generation);
    draft.ask.flags = GCS_WANT_NOTHING;
    draft.ask.done = on_removed;
    return object_put_call(put, &draft.ask, err);
}

/* --- what is remembered --- */

static char *encode(const struct object_put *put)
{
    struct gcs_resume now = ((const struct gcs_put *)put)->now;
    bool recorded = put->upload_id && strcmp(put->upload_id, GCS_UNRECORDED) != 0;
    now.session = recorded ? put->upload_id : NULL;
    now.fence = put->begun_fence;
    return gcs_resume_text(&now);
}

int gcs_put_start(struct storage_put *put, struct storage_op **ret_op, struct error *err)
{
    static const struct object_put_protocol protocol = {
        .store = &gcs_protocol,
        .size = sizeof(struct gcs_put),
        .init = init,
        .deinit = deinit,
        .look = look,
        .single = gcs_put_single,
        .remove = remove_it,
        .encode = encode,
        .create = gcs_put_create,
        .list = gcs_put_list,
        .abort = gcs_put_abort,
        .transfer = gcs_put_transfer,
        .progress = gcs_put_progress,
    };
    return object_put_start(&protocol, put, ret_op, err);
}
