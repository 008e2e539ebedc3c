/* A blob in blocks: names, what an earlier attempt left, the blocks themselves, the list that makes a blob.
 */
#include <endian.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "storage/azure/block_id.h"
#include "storage/azure/block_list.h"
#include "storage/azure/put.h"

#define LIST_BODY_MAX ((size_t)4 << 20) /* 50,000 names take 2.5 MB */

char *azure_put_encode(const struct object_put *put)
{
    struct azure_resume resume = azure_put_of(put)->now;
    resume.session = put->upload_id;
    return azure_resume_text(&resume);
}

int azure_put_name(struct object_put *put, struct error *err)
{
    char session[AZURE_SESSION_SIZE];
    azure_session_draw(session);
    return object_put_set_upload(put, session, err);
}

/* --- Get Block List --- */

static void on_block(void *data, const struct azure_block *block)
{
    struct object_put *put = data;
    uint32_t number, crc32c;
    if (!azure_block_id_parse(block->id, put->upload_id, &number, &crc32c))
        return;
    const struct object_part_listed listed = {
        .number = number, .size = block->size, .tag = block->id, .told = RANGE_CRC32C, .crc32c = crc32c};
    object_put_part_listed(put, &listed);
}

static void on_listed(void *data, const struct object_answer *answer, const struct error *err)
{
    struct object_put *put = data;
    struct error own = err ? *err : (struct error){0};
    /* Nothing at all is at the name: no block had been sent, or a week has passed. */
    bool nothing = answer && answer->status == 404 && strcmp(answer->code, "BlobNotFound") == 0;
    if (err == NULL &&
        azure_block_list_read(answer->response->body, answer->response->body_size, on_block, put, &own))
        error_context(&own, "Get Block List in container '%.100s'", azure_put_config(put)->container);
    if (own.code && !nothing)
        object_put_answered(put, OBJECT_PUT_FAILED, &own);
    else
        object_put_answered(put, OBJECT_PUT_OK, NULL);
}

int azure_put_list(struct object_put *put, struct error *err)
{
    struct object_draft draft;
    object_draft_init(&draft, "Get Block List", "GET", put->request->key);
    object_draft_query(&draft, "comp", "blocklist");
    object_draft_query(&draft, "blocklisttype", "uncommitted");
    draft.ask.expect_root = "BlockList";
    draft.ask.response_max = AZURE_BLOCK_LIST_MAX;
    draft.ask.done = on_listed;
    return object_put_call(put, &draft.ask, err);
}

/* --- Put Block --- */

static void on_sent(void *data, const struct object_answer *answer, const struct error *err)
{
    struct object_put_sender *sender = data;
    char id[AZURE_BLOCK_ID_SIZE];
    (void)answer;
    azure_block_id(sender->put->upload_id, sender->number, sender->crc32c, id);
    if (err)
        object_put_part_answered(sender, OBJECT_PUT_FAILED, NULL, err);
    else
        object_put_part_answered(sender, OBJECT_PUT_OK, id, NULL);
}

/* Azure's is little-endian. */
static void base64_crc64(uint64_t crc64, char ret[AZURE_BASE64_SIZE])
{
    uint64_t bytes = htole64(crc64);
    EVP_EncodeBlock((unsigned char *)ret, (const unsigned char *)&bytes, sizeof bytes);
}

int azure_put_part(struct object_put_sender *sender, const struct object_put_part_sums *sums,
                   struct error *err)
{
    struct object_put *put = sender->put;
    enum azure_checksum checksum = azure_put_of(put)->checksum;
    struct object_draft draft;
    char id[AZURE_BLOCK_ID_SIZE], sum[AZURE_BASE64_SIZE];
    sender->crc32c = sums->sums.crc32c;
    azure_block_id(put->upload_id, sender->number, sender->crc32c, id);
    object_draft_init(&draft, "Put Block", "PUT", put->request->key);
    object_draft_query(&draft, "comp", "block");
    object_draft_query(&draft, "blockid", id);
    object_draft_header(&draft, "x-ms-encryption-scope", azure_put_config(put)->encryption_scope);
    if (checksum == AZURE_CHECKSUM_MD5 && (sums->known & RANGE_MD5)) {
        azure_put_base64_md5(sums->sums.md5, sum);
        object_draft_header(&draft, "Content-MD5", sum);
    } else if (checksum == AZURE_CHECKSUM_CRC64 && (sums->known & RANGE_CRC64)) {
        base64_crc64(sums->sums.crc64, sum);
        object_draft_header(&draft, "x-ms-content-crc64", sum);
    }
    draft.ask.customer_key = azure_session_of(put->session)->customer_key.base64 != NULL;
    draft.ask.body_fd = put->request->source_fd;
    draft.ask.body_offset = sender->offset;
    draft.ask.body_size = sender->size;
    draft.ask.done = on_sent;
    return object_put_call_part(sender, &draft.ask, err);
}

/* --- Put Block List --- */

static void on_completed(void *data, const struct object_answer *answer, const struct error *err)
{
    struct object_put *put = data;
    struct azure_put *self = azure_put_of(put);
    free(self->list_body);
    self->list_body = NULL;
    if (err == NULL)
        object_put_answered(put, OBJECT_PUT_OK, NULL);
    else if (answer && strcmp(answer->code, "InvalidBlockList") == 0)
        object_put_answered(put, OBJECT_PUT_LOST, err);
    else if (azure_put_refusal(answer) == OBJECT_PUT_REFUSED)
        object_put_answered(put, OBJECT_PUT_REFUSED, NULL);
    else
        object_put_answered(put, OBJECT_PUT_FAILED, err);
}

static int write_list(struct azure_put *self, size_t *ret_size, struct error *err)
{
    const struct object_put *put = &self->base;
    struct strbuf body;
    strbuf_init(&body, LIST_BODY_MAX);
    strbuf_puts(&body, "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
    for (uint32_t i = 0; i < put->plan.count; i++)
        strbuf_printf(&body, "<Latest>%s</Latest>", put->parts[i].tag); /* base64: nothing to escape */
    strbuf_puts(&body, "</BlockList>");
    if (body.failed) {
        strbuf_deinit(&body);
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    free(self->list_body);
    self->list_body = body.data; /* the buffer's memory changes hands */
    *ret_size = body.size;
    return 0;
}

int azure_put_complete(struct object_put *put, struct error *err)
{
    struct azure_put *self = azure_put_of(put);
    struct object_draft draft;
    unsigned char md5[RANGE_MD5_BYTES];
    size_t size = 0;
    int rc = write_list(self, &size, err);
    if (rc < 0)
        return rc;
    azure_blob_draft(put->session, &draft, "Put Block List", "PUT", put->request->key);
    object_draft_query(&draft, "comp", "blocklist");
    object_draft_header(&draft, "Content-Type", "application/xml");
    azure_put_describe(self, &draft);
    if (self->checksum != AZURE_CHECKSUM_NONE && object_put_md5(put, md5)) {
        azure_put_base64_md5(md5, self->md5);
        object_draft_header(&draft, "x-ms-blob-content-md5", self->md5);
    }
    draft.ask.body = self->list_body;
    draft.ask.body_size = size;
    draft.ask.done = on_completed;
    return object_put_call(put, &draft.ask, err);
}
