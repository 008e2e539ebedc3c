/*
 * One PutObject.
 *
 * Its answer can spare the HEAD that would confirm it. The rule is that size and checksum are
 * confirmed with the store before `completed`; here the store itself has said both:
 *   - it took exactly Content-Length bytes, and refused them unless their SHA-256 was the signed one and
 * their CRC32C or MD5 the header's;
 *   - its answer repeats the digest that it computed of what it stored: x-amz-checksum-crc32c, or the MD5 as
 *     ETag (which it is for a single PUT without KMS or SSE-C).
 * A HEAD afterwards would repeat the same stored value. Where the answer holds neither (checksum "none",
 * encrypted ETags, stores that ignore x-amz-checksum), or the configuration asks for a reading back, the HEAD
 * is made. For files of 64 KiB it would be a third to a half of all requests.
 */
#include <stdio.h>
#include <string.h>

#include "storage/s3/put.h"

static unsigned wanted_sums(const struct s3_put *self)
{
    if (s3_put_wants_md5(self))
        return RANGE_MD5;
    return s3_put_wants_crc32c(self) && !self->digests_fit ? RANGE_CRC32C : 0;
}

bool s3_put_single_needs_sums(const struct s3_put *self)
{
    return wanted_sums(self) != 0;
}

static void on_sums(void *data, const struct range_sums *sums, const struct error *err)
{
    struct s3_put *self = data;
    self->waiting = false;
    if (err) {
        s3_put_fail(self, err);
    } else {
        self->ready = *sums;
        self->has_sums = true;
    }
    s3_put_step(self);
}

void s3_put_sums_start(struct s3_put *self)
{
    struct error err = {0};
    self->sums = (struct range_digest){.loop = self->request->loop,
                                       .fd = self->request->source_fd,
                                       .size = self->request->size,
                                       .wanted = wanted_sums(self),
                                       .done = on_sums,
                                       .data = self};
    if (range_digest_start(&self->sums, &err))
        s3_put_fail(self, &err);
    else
        self->waiting = true;
}

/* The store's own word for what it stored. */
static bool proves(const struct s3_put *self, const struct object_answer *answer)
{
    const struct http_response *response = answer->response;
    char ours[S3_PUT_BASE64_SIZE];
    uint32_t crc;
    const char *crc32c = response->header(response, "x-amz-checksum-crc32c");
    if (crc32c && s3_put_crc32c(self, &crc)) {
        s3_put_base64_crc32c(crc, ours);
        return strcmp(crc32c, ours) == 0;
    }
    const char *etag = response->header(response, "ETag");
    if (etag == NULL || !self->has_sums || !(self->sums.wanted & RANGE_MD5))
        return false;
    for (size_t i = 0; i < RANGE_MD5_BYTES; i++)
        snprintf(ours + 2 * i, 3, "%02x", self->ready.md5[i]);
    size_t n = strlen(etag);
    return n == 2 * RANGE_MD5_BYTES + 2 && etag[0] == '"' && etag[n - 1] == '"' &&
           memcmp(etag + 1, ours, 2 * RANGE_MD5_BYTES) == 0;
}

static void on_put(void *data, const struct object_answer *answer, const struct error *err)
{
    struct s3_put *self = data;
    struct error own = err ? *err : (struct error){0};
    self->call = NULL;
    self->waiting = false;
    self->refused = s3_put_was(answer, 412, NULL) || s3_put_was(answer, 409, "ConditionalRequestConflict");
    if (own.code == ERROR_CORRUPT)
        error_context(&own, "'%.300s', SHA-256 %s", self->request->key, self->request->sha256);
    if (own.code && !self->refused)
        s3_put_fail(self, &own);
    else if (own.code == 0)
        self->proven = proves(self, answer);
    s3_put_step(self);
}

void s3_put_single_start(struct s3_put *self)
{
    const struct storage_put *put = self->request;
    struct s3_put_headers headers;
    struct error err = {0};
    uint32_t crc = 0;
    if (s3_put_headers_init(&headers, self, &err)) {
        s3_put_fail(self, &err);
        return;
    }
    (void)s3_put_crc32c(self, &crc);
    s3_put_headers_add_sum(&headers, self, crc, self->ready.md5);
    if (self->session.config.conditional_write)
        s3_put_headers_add(&headers, "If-None-Match", "*");
    struct object_ask ask = {.operation = "PutObject",
                             .method = "PUT",
                             .key = put->key,
                             .headers = headers.items,
                             .n_headers = headers.n,
                             .payload_hash = put->sha256,
                             .body_fd = put->source_fd,
                             .body_size = put->size,
                             .customer_key = self->session.customer_key.base64 != NULL,
                             .bytes_sent = &self->request->bytes_done,
                             .done = on_put};
    s3_put_call(self, &ask);
    s3_put_headers_deinit(&headers);
}
