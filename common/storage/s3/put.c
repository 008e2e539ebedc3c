/*
 * How an artifact goes to S3: the table that storage/object/put.c works with, what is decided before anything
 * is sent, and what is remembered of a multipart upload.
 */
#include "storage/s3/put.h"

#include <stdlib.h>
#include <string.h>

bool s3_put_has_key(const struct object_put *put)
{
    return ((const struct s3_session *)put->session)->customer_key.base64 != NULL;
}

bool s3_put_was(const struct object_answer *answer, int status, const char *code)
{
    return answer && answer->status == status && (code == NULL || strcmp(answer->code, code) == 0);
}

bool s3_put_wants_crc32c(const struct object_put *put)
{
    return s3_config_of(put->session)->checksum == S3_CHECKSUM_CRC32C;
}

/* A write with a lock needs one of the two; SHA-256 in the signature is not enough for S3. */
bool s3_put_wants_md5(const struct object_put *put)
{
    const struct s3_config *config = s3_config_of(put->session);
    bool locked = config->object_lock_mode || config->object_lock_legal_hold;
    return config->checksum == S3_CHECKSUM_MD5 || (config->checksum == S3_CHECKSUM_NONE && locked);
}

/* --- before anything is sent --- */

static unsigned wanted_sum(const struct object_put *put)
{
    if (s3_put_wants_md5(put))
        return RANGE_MD5;
    return s3_put_wants_crc32c(put) && !put->digests_fit ? RANGE_CRC32C : 0;
}

static int plan(struct s3_put *self, struct error *err)
{
    struct object_put *put = &self->put;
    const struct s3_config *config = s3_config_of(put->session);
    put->single = put->request->size == 0 || (put->request->size <= config->multipart_threshold &&
                                              put->request->size <= config->preset->single_max);
    if (put->single) {
        put->first_wanted = wanted_sum(put);
        return 0;
    }
    int rc = object_put_plan_parts(put, config->part_size, config->max_parts, config->preset->part_min,
                                   config->preset->part_max, err);
    if (rc)
        return rc;
    /* Hashing each part for its signature is spared where TLS guards the way and the store checks a sum. */
    bool summed = s3_put_wants_crc32c(put) || s3_put_wants_md5(put);
    self->payload_signed = put->digests_fit || !config->https || !summed;
    put->part_sums = wanted_sum(put);
    if (self->payload_signed && !put->digests_fit)
        put->part_sums |= RANGE_SHA256;
    return 0;
}

/* An older state: taken up when it is of the same upload, else what it left is aborted first. */
static int take_up(struct s3_put *self, struct error *err)
{
    struct object_put *put = &self->put;
    const struct s3_resume *old = &self->old;
    if (put->request->resume_state == NULL || *put->request->resume_state == '\0')
        return 0;
    if (s3_resume_parse(put->request->resume_state, &self->old, NULL)) {
        put->strays_wanted = true; /* whatever it was, the store knows */
        return 0;
    }
    if (!s3_resume_same_bucket(&self->now, old))
        return 0; /* out of reach; the old place's own rule for incomplete uploads ends it */
    if (old->upload_id == NULL)
        put->strays_wanted = strcmp(old->key, put->request->key) == 0;
    else if (!put->single && s3_resume_same(&self->now, old))
        return object_put_take_up(put, old->upload_id, old->fence, err);
    else
        object_put_doom(put, old->upload_id);
    return 0;
}

static const char *checksum_name(const struct object_put *put)
{
    return s3_put_wants_crc32c(put) ? "crc32c" : s3_put_wants_md5(put) ? "md5" : "none";
}

static int init(struct object_put *put, struct error *err)
{
    struct s3_put *self = (struct s3_put *)put;
    const struct s3_config *config = s3_config_of(put->session);
    put->conditional = config->conditional_write;
    put->read_back = config->read_back;
    put->parallel = config->parallel_parts;
    int rc = plan(self, err);
    if (rc)
        return rc;
    self->now = (struct s3_resume){.endpoint = config->endpoint,
                                   .bucket = config->bucket,
                                   .key = put->request->key,
                                   .sha256 = put->request->sha256,
                                   .checksum = checksum_name(put),
                                   .size = put->request->size,
                                   .part_size = put->plan.fixed_size};
    return take_up(self, err);
}

static void deinit(struct object_put *put)
{
    struct s3_put *self = (struct s3_put *)put;
    s3_resume_deinit(&self->old);
    free(self->complete_body);
    self->complete_body = NULL;
}

/* --- what is remembered --- */

static char *encode(const struct object_put *put)
{
    struct s3_resume now = ((const struct s3_put *)put)->now;
    now.upload_id = put->upload_id;
    now.fence = put->begun_fence;
    if (put->upload_id == NULL)
        return s3_resume_text(&now, NULL, 0);
    const char **etags = calloc(put->plan.count, sizeof *etags);
    if (etags == NULL)
        return NULL;
    for (uint32_t i = 0; i < put->plan.count; i++)
        etags[i] = put->parts[i].state == OBJECT_PART_DONE ? put->parts[i].tag : NULL;
    char *text = s3_resume_text(&now, etags, put->plan.count);
    free(etags);
    return text;
}

static const struct object_put_protocol protocol = {
    .store = &s3_protocol,
    .size = sizeof(struct s3_put),
    .init = init,
    .deinit = deinit,
    .look = s3_put_look,
    .single = s3_put_single,
    .remove = s3_put_remove,
    .encode = encode,
    .create = s3_put_create,
    .list = s3_put_list,
    .abort = s3_put_abort,
    .finds_strays = true,
    .records_parts = true,
    .part = s3_put_part,
    .complete = s3_put_complete,
};

int s3_put_start(struct storage_put *put, struct storage_op **ret_op, struct error *err)
{
    return object_put_start(&protocol, put, ret_op, err);
}
