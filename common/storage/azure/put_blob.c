/* A blob in one request, what is said of any blob that is written, what stands at its name. */
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "storage/azure/errors.h"
#include "storage/azure/put.h"
#include "storage/object/stat.h"

#define TAGS_MAX ((size_t)16 << 10)
#define DAY_MS (INT64_C(24) * 3600 * 1000)

void azure_put_base64_md5(const unsigned char md5[RANGE_MD5_BYTES], char ret[AZURE_BASE64_SIZE])
{
    EVP_EncodeBlock((unsigned char *)ret, md5, RANGE_MD5_BYTES);
}

/* --- what is said of a blob --- */

int azure_put_describe_init(struct azure_put *self, struct error *err)
{
    const struct storage_put *request = self->base.request;
    const struct azure_config *config = azure_put_config(&self->base);
    snprintf(self->row_id, sizeof self->row_id, "%" PRId64, request->row_id);
    snprintf(self->fence, sizeof self->fence, "%" PRId64, request->fence);
    snprintf(self->backup_id, sizeof self->backup_id, "%" PRId64, request->backup_id);
    if (config->immutability_days)
        azure_http_date(clock_wall_ms() + config->immutability_days * DAY_MS, self->until);
    return object_tags_encode(config->tags, TAGS_MAX, &self->tags, err);
}

void azure_put_describe_deinit(struct azure_put *self)
{
    free(self->tags);
    self->tags = NULL;
}

void azure_put_describe(struct azure_put *self, struct object_draft *draft)
{
    const struct storage_put *request = self->base.request;
    const struct azure_config *config = azure_put_config(&self->base);
    object_draft_header(draft, "x-ms-blob-content-type", "application/octet-stream");
    object_draft_header(draft, "x-ms-meta-sha256", request->sha256);
    object_draft_header(draft, "x-ms-meta-rowid", self->row_id);
    object_draft_header(draft, "x-ms-meta-fence", self->fence);
    object_draft_header(draft, "x-ms-meta-backupid", request->backup_id ? self->backup_id : NULL);
    object_draft_header(draft, "x-ms-access-tier", config->tier);
    object_draft_header(draft, "x-ms-tags", self->tags);
    object_draft_header(draft, "x-ms-encryption-scope", config->encryption_scope);
    if (config->immutability_mode) {
        bool locked = strcmp(config->immutability_mode, "locked") == 0;
        object_draft_header(draft, "x-ms-immutability-policy-mode", locked ? "Locked" : "Unlocked");
        object_draft_header(draft, "x-ms-immutability-policy-until-date", self->until);
    }
    object_draft_header(draft, "x-ms-legal-hold", config->legal_hold ? "true" : NULL);
    object_draft_header(draft, "If-None-Match", "*");
}

enum object_put_outcome azure_put_refusal(const struct object_answer *answer)
{
    return answer && azure_error_is_standing(answer->status, answer->code) ? OBJECT_PUT_REFUSED
                                                                           : OBJECT_PUT_FAILED;
}

/* --- Put Blob --- */

static void on_put(void *data, const struct object_answer *answer, const struct error *err)
{
    struct object_put *put = data;
    enum object_put_outcome outcome = err ? azure_put_refusal(answer) : OBJECT_PUT_OK;
    struct error own = err ? *err : (struct error){0};
    if (own.code == ERROR_CORRUPT)
        error_context(&own, "'%.300s', SHA-256 %s", put->request->key, put->request->sha256);
    object_put_answered(put, outcome, outcome == OBJECT_PUT_FAILED ? &own : NULL);
}

int azure_put_single(struct object_put *put, struct error *err)
{
    struct azure_put *self = azure_put_of(put);
    struct object_draft draft;
    unsigned char md5[RANGE_MD5_BYTES];
    azure_blob_draft(put->session, &draft, "Put Blob", "PUT", put->request->key);
    object_draft_header(&draft, "x-ms-blob-type", "BlockBlob");
    azure_put_describe(self, &draft);
    if (self->checksum != AZURE_CHECKSUM_NONE && object_put_md5(put, md5)) {
        azure_put_base64_md5(md5, self->md5);
        object_draft_header(&draft, "Content-MD5", self->md5);
    }
    draft.ask.body_fd = put->request->source_fd;
    draft.ask.body_size = put->request->size;
    draft.ask.bytes_sent = &put->request->bytes_done;
    draft.ask.done = on_put;
    return object_put_call(put, &draft.ask, err);
}

/* --- what stands there --- */

static const char *header(const struct object_answer *answer, const char *name)
{
    return answer->response->header(answer->response, name);
}

/* The MD5 that the store keeps of it, against ours. What was just written must have one: it was sent along.
 * Where a customer's key encrypts, the service needs not tell. */
static int compare_md5(const struct object_put *put, const struct object_answer *answer, bool *ret_differs,
                       struct error *err)
{
    unsigned char md5[RANGE_MD5_BYTES];
    char ours[AZURE_BASE64_SIZE];
    const char *told = header(answer, "Content-MD5");
    *ret_differs = false;
    if (azure_put_of(put)->checksum == AZURE_CHECKSUM_NONE || !object_put_md5(put, md5))
        return 0;
    azure_put_base64_md5(md5, ours);
    if (told)
        *ret_differs = strcmp(told, ours) != 0;
    else if (put->reason == OBJECT_PUT_AFTER_WRITE && !azure_put_config(put)->customer_key_ref)
        return error_set(err, ERROR_PROTOCOL, true,
                         "'%.300s' in container '%.100s': the store doesn't tell the MD5 that it was given",
                         put->request->key, azure_put_config(put)->container);
    return 0;
}

/* Neither blob nor container: a missing container has a code of its own. */
static bool is_absent(const struct object_answer *answer, const struct error *err)
{
    return answer && answer->status == 404 && !err->retryable &&
           (*answer->code == '\0' || strcmp(answer->code, "BlobNotFound") == 0);
}

/* A SAS that may write and not read: the create-only condition guards what is there. What goes in blocks is
 * looked at in the end, and better fails now. */
static bool may_go_on(const struct object_put *put, const struct object_answer *answer)
{
    return answer && answer->status == 403 && put->single && put->reason == OBJECT_PUT_BEFORE;
}

static void tell_standing(struct object_put *put, const struct object_answer *answer)
{
    struct object_put_seen seen = {.sha256 = header(answer, "x-ms-meta-sha256"),
                                   .row_id = header(answer, "x-ms-meta-rowid"),
                                   .fence = header(answer, "x-ms-meta-fence")};
    struct azure_put *self = azure_put_of(put);
    struct error err = {0};
    snprintf(self->etag, sizeof self->etag, "%s", header(answer, "ETag"));
    int rc = object_stat_content_length(answer, &seen.size, &err);
    if (rc == 0)
        rc = compare_md5(put, answer, &seen.checksum_differs, &err);
    if (rc < 0)
        object_put_answered(put, OBJECT_PUT_FAILED, &err);
    else
        object_put_looked(put, &seen);
}

static void on_looked(void *data, const struct object_answer *answer, const struct error *err)
{
    struct object_put *put = data;
    if (put->reason == OBJECT_PUT_BEFORE)
        azure_put_settle(azure_put_of(put));
    if (err == NULL)
        tell_standing(put, answer);
    else if (is_absent(answer, err) || may_go_on(put, answer))
        object_put_looked(put, NULL);
    else
        object_put_answered(put, OBJECT_PUT_FAILED, err);
}

int azure_put_look(struct object_put *put, struct error *err)
{
    struct object_draft draft;
    azure_blob_draft(put->session, &draft, "Get Blob Properties", "HEAD", put->request->key);
    draft.ask.done = on_looked;
    return object_put_call(put, &draft.ask, err);
}

static void on_removed(void *data, const struct object_answer *answer, const struct error *err)
{
    (void)answer;
    object_put_answered(data, err ? OBJECT_PUT_FAILED : OBJECT_PUT_OK, err);
}

int azure_put_remove(struct object_put *put, struct error *err)
{
    struct azure_put *self = azure_put_of(put);
    struct object_draft draft;
    object_draft_init(&draft, "Delete Blob", "DELETE", put->request->key);
    object_draft_header(&draft, "If-Match", *self->etag ? self->etag : NULL);
    draft.ask.done = on_removed;
    return object_put_call(put, &draft.ask, err);
}
