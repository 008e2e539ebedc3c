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

/* The store's own word for what it stored. */
static bool proves(const struct object_put *put, const struct object_answer *answer)
{
    const struct http_response *response = answer->response;
    char ours[S3_PUT_BASE64_SIZE];
    uint32_t crc;
    const char *crc32c = response->header(response, "x-amz-checksum-crc32c");
    if (crc32c && object_put_crc32c(put, &crc)) {
        s3_put_base64_crc32c(crc, ours);
        return strcmp(crc32c, ours) == 0;
    }
    const char *etag = response->header(response, "ETag");
    if (etag == NULL || !(put->first_known & RANGE_MD5))
        return false;
    for (size_t i = 0; i < RANGE_MD5_BYTES; i++)
        snprintf(ours + 2 * i, 3, "%02x", put->first_sums.md5[i]);
    size_t n = strlen(etag);
    return n == 2 * RANGE_MD5_BYTES + 2 && etag[0] == '"' && etag[n - 1] == '"' &&
           memcmp(etag + 1, ours, 2 * RANGE_MD5_BYTES) == 0;
}

static void on_put(void *data, const struct object_answer *answer, const struct error *err)
{
    struct object_put *put = data;
    if (s3_put_was(answer, 412, NULL) || s3_put_was(answer, 409, "ConditionalRequestConflict")) {
        object_put_answered(put, OBJECT_PUT_REFUSED, NULL);
    } else if (err) {
        struct error own = *err;
        if (own.code == ERROR_CORRUPT)
            error_context(&own, "'%.300s', SHA-256 %s", put->request->key, put->request->sha256);
        object_put_answered(put, OBJECT_PUT_FAILED, &own);
    } else {
        object_put_answered(put, proves(put, answer) ? OBJECT_PUT_PROVEN : OBJECT_PUT_OK, NULL);
    }
}

int s3_put_single(struct object_put *put, struct error *err)
{
    const struct storage_put *request = put->request;
    struct s3_put_headers headers;
    uint32_t crc = 0;
    int rc = s3_put_headers_init(&headers, put, err);
    if (rc)
        return rc;
    (void)object_put_crc32c(put, &crc);
    s3_put_headers_add_sum(&headers, put, crc, put->first_sums.md5);
    if (put->conditional)
        s3_put_headers_add(&headers, "If-None-Match", "*");
    struct object_ask ask = {.operation = "PutObject",
                             .method = "PUT",
                             .key = request->key,
                             .headers = headers.items,
                             .n_headers = headers.n,
                             .payload_hash = request->sha256,
                             .body_fd = request->source_fd,
                             .body_size = request->size,
                             .customer_key = s3_put_has_key(put),
                             .bytes_sent = &put->request->bytes_done,
                             .done = on_put};
    rc = object_put_call(put, &ask, err);
    s3_put_headers_deinit(&headers);
    return rc;
}
