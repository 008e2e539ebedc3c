/*
 * What Azure's uploads are to object/put.c: Put Blob for what is small, Put Block and Put Block List above.
 *
 * A blob of one request carries Content-MD5, which the service checks and keeps as the blob's. Blocks carry
 * CRC-64/NVME (made in the staging pass for all artifacts) or MD5; the whole's MD5 goes with Put Block List,
 * which keeps it unchecked. It comes from the staging pass, or is made beside the blocks, in their order.
 */
#include "storage/azure/put.h"

#include <stdlib.h>

static bool staged_fits(const struct storage_put *request)
{
    return request->part_digests && request->part_digests->total == request->size;
}

/* What must be made of the bytes before they go, beyond what the staging pass has left. */
static void want_sums(struct azure_put *self)
{
    struct object_put *put = &self->base;
    bool staged = staged_fits(put->request);
    bool has_md5 = staged && put->request->part_digests->has_md5;
    bool none = self->checksum == AZURE_CHECKSUM_NONE;
    /* Azure doesn't check our SHA-256. What the staging pass left says whether these are its bytes: the
     * service holds them against a sum of that pass, or we do. */
    if (none)
        put->first_wanted = staged ? RANGE_CRC32C : RANGE_SHA256;
    else if (!has_md5)
        put->first_wanted = RANGE_MD5 | (staged ? RANGE_CRC32C : RANGE_SHA256);
    put->whole_md5 = !none && !has_md5;
    bool by_staged_crc64 = self->checksum == AZURE_CHECKSUM_CRC64 && put->digests_fit;
    put->part_sums = by_staged_crc64 ? 0 : RANGE_CRC32C;
    if (self->checksum == AZURE_CHECKSUM_MD5)
        put->part_sums |= RANGE_MD5;
    else if (self->checksum == AZURE_CHECKSUM_CRC64 && !put->digests_fit)
        put->part_sums |= RANGE_CRC64;
}

void azure_put_settle(struct azure_put *self)
{
    const struct azure_session *session = azure_session_of(self->base.session);
    self->checksum = session->config.checksum;
    if (self->checksum == AZURE_CHECKSUM_AUTO)
        self->checksum = azure_is_emulator(session) ? AZURE_CHECKSUM_MD5 : AZURE_CHECKSUM_CRC64;
    want_sums(self);
}

static int take_up(struct azure_put *self, struct error *err)
{
    struct object_put *put = &self->base;
    struct azure_resume old;
    if (put->single || put->request->resume_state == NULL || *put->request->resume_state == '\0')
        return 0;
    if (azure_resume_parse(put->request->resume_state, &old, NULL))
        return 0; /* whatever it was, Azure drops it by itself */
    int rc = old.session && azure_resume_same(&self->now, &old)
                 ? object_put_take_up(put, old.session, put->request->fence, err)
                 : 0;
    azure_resume_deinit(&old);
    return rc;
}

static int init(struct object_put *put, struct error *err)
{
    struct azure_put *self = azure_put_of(put);
    const struct azure_config *config = azure_put_config(put);
    const struct storage_put *request = put->request;
    int rc = azure_config_check_key(request->key, err);
    put->single = request->size == 0 ||
                  (request->size <= config->multipart_threshold && request->size <= AZURE_SINGLE_MAX);
    put->conditional = true;
    put->read_back = config->read_back;
    put->parallel = config->parallel_parts;
    if (rc == 0 && !put->single)
        rc = object_put_plan_parts(put, config->part_size, config->max_parts, 1, AZURE_BLOCK_MAX, err);
    if (rc == 0)
        rc = azure_put_describe_init(self, err);
    if (rc < 0)
        return rc;
    azure_put_settle(self);
    self->now = (struct azure_resume){.endpoint = config->endpoint,
                                      .container = config->container,
                                      .key = request->key,
                                      .sha256 = request->sha256,
                                      .size = request->size,
                                      .part_size = put->plan.fixed_size};
    return take_up(self, err);
}

static void deinit(struct object_put *put)
{
    struct azure_put *self = azure_put_of(put);
    azure_put_describe_deinit(self);
    free(self->list_body);
    self->list_body = NULL;
}

static const struct object_put_protocol protocol = {
    .store = &azure_protocol,
    .size = sizeof(struct azure_put),
    .init = init,
    .deinit = deinit,
    .look = azure_put_look,
    .single = azure_put_single,
    .remove = azure_put_remove,
    .encode = azure_put_encode,
    .name = azure_put_name,
    .list = azure_put_list,
    .part = azure_put_part,
    .complete = azure_put_complete,
};

int azure_put_start(struct storage_put *put, struct storage_op **ret_op, struct error *err)
{
    return object_put_start(&protocol, put, ret_op, err);
}
