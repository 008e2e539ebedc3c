/* What PutObject and CreateMultipartUpload say of the object to be. */
#include <assert.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/base64.h"
#include "auth/sigv4.h"
#include "base/clock.h"
#include "storage/s3/put.h"

#define TAGS_MAX ((size_t)8192)
#define DAY_MS (INT64_C(24) * 3600 * 1000)

void s3_put_base64(const void *data, size_t size, char out[S3_PUT_BASE64_SIZE])
{
    assert((size + 2) / 3 * 4 < S3_PUT_BASE64_SIZE);
    EVP_EncodeBlock((unsigned char *)out, data, (int)size);
}

void s3_put_base64_crc32c(uint32_t crc32c, char out[S3_PUT_BASE64_SIZE])
{
    unsigned char bytes[] = {(unsigned char)(crc32c >> 24), (unsigned char)(crc32c >> 16),
                             (unsigned char)(crc32c >> 8), (unsigned char)crc32c};
    s3_put_base64(bytes, sizeof bytes, out);
}

void s3_put_headers_add(struct s3_put_headers *headers, const char *name, const char *value)
{
    if (value == NULL)
        return;
    assert(headers->n < (int)(sizeof headers->items / sizeof *headers->items));
    headers->items[headers->n++] = (struct object_header){name, value};
}

void s3_put_headers_add_sum(struct s3_put_headers *headers, const struct object_put *put, uint32_t crc32c,
                            const unsigned char *md5)
{
    if (s3_put_wants_crc32c(put)) {
        s3_put_base64_crc32c(crc32c, headers->sum);
        s3_put_headers_add(headers, "x-amz-checksum-crc32c", headers->sum);
    } else if (s3_put_wants_md5(put)) {
        s3_put_base64(md5, RANGE_MD5_BYTES, headers->sum);
        s3_put_headers_add(headers, "Content-MD5", headers->sum);
    }
}

/* Ours, by which a later attempt, a repair or a person knows what it is. */
static void add_metadata(struct s3_put_headers *headers, const struct storage_put *put)
{
    s3_put_headers_add(headers, "Content-Type", "application/octet-stream");
    s3_put_headers_add(headers, "x-amz-meta-sha256", put->sha256);
    snprintf(headers->row_id, sizeof headers->row_id, "%" PRId64, put->row_id);
    s3_put_headers_add(headers, "x-amz-meta-row-id", headers->row_id);
    snprintf(headers->fence, sizeof headers->fence, "%" PRId64, put->fence);
    s3_put_headers_add(headers, "x-amz-meta-fence", headers->fence);
    snprintf(headers->backup_id, sizeof headers->backup_id, "%" PRId64, put->backup_id);
    if (put->backup_id)
        s3_put_headers_add(headers, "x-amz-meta-backup-id", headers->backup_id);
}

static int add_encryption(struct s3_put_headers *headers, const struct s3_config *config, struct error *err)
{
    if (config->sse == NULL || strcmp(config->sse, "customer") == 0) /* its headers are the call's */
        return 0;
    s3_put_headers_add(headers, "x-amz-server-side-encryption", config->sse);
    s3_put_headers_add(headers, "x-amz-server-side-encryption-aws-kms-key-id", config->sse_kms_key_id);
    if (config->sse_bucket_key)
        s3_put_headers_add(headers, "x-amz-server-side-encryption-bucket-key-enabled", "true");
    if (config->sse_kms_context == NULL)
        return 0;
    char *text = json_dumps(config->sse_kms_context, JSON_COMPACT);
    headers->context = text ? base64_encode((const unsigned char *)text, strlen(text)) : NULL;
    free(text);
    if (headers->context == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    s3_put_headers_add(headers, "x-amz-server-side-encryption-context", headers->context);
    return 0;
}

static void add_lock(struct s3_put_headers *headers, const struct s3_config *config)
{
    if (config->object_lock_mode) {
        clock_iso8601(clock_wall_ms() + config->object_lock_days * DAY_MS, headers->until);
        s3_put_headers_add(headers, "x-amz-object-lock-mode", config->object_lock_mode);
        s3_put_headers_add(headers, "x-amz-object-lock-retain-until-date", headers->until);
    }
    if (config->object_lock_legal_hold)
        s3_put_headers_add(headers, "x-amz-object-lock-legal-hold", "ON");
}

static int add_tags(struct s3_put_headers *headers, const json_t *tags, struct error *err)
{
    struct strbuf text;
    const char *name;
    json_t *value;
    if (json_object_size(tags) == 0)
        return 0;
    strbuf_init(&text, TAGS_MAX);
    json_object_foreach((json_t *)(uintptr_t)tags, name, value)
    {
        if (text.size)
            strbuf_putc(&text, '&');
        sigv4_encode(&text, name, false);
        strbuf_putc(&text, '=');
        sigv4_encode(&text, json_string_value(value), false);
    }
    headers->tags = text.failed ? NULL : strdup(strbuf_cstr(&text));
    strbuf_deinit(&text);
    if (headers->tags == NULL)
        return error_set(err, ERROR_LIMIT, false, "storage_config: \"tags\" are longer than %zu bytes",
                         TAGS_MAX);
    s3_put_headers_add(headers, "x-amz-tagging", headers->tags);
    return 0;
}

int s3_put_headers_init(struct s3_put_headers *headers, const struct object_put *put, struct error *err)
{
    const struct s3_config *config = s3_config_of(put->session);
    *headers = (struct s3_put_headers){0};
    add_metadata(headers, put->request);
    s3_put_headers_add(headers, "x-amz-storage-class", config->storage_class);
    add_lock(headers, config);
    int rc = add_encryption(headers, config, err);
    if (rc == 0)
        rc = add_tags(headers, config->tags, err);
    if (rc)
        s3_put_headers_deinit(headers);
    return rc;
}

void s3_put_headers_deinit(struct s3_put_headers *headers)
{
    free(headers->context);
    free(headers->tags);
    headers->context = headers->tags = NULL;
}
