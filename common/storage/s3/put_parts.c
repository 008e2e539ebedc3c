/* The parts of a multipart upload: those that earlier attempts left, and those that are sent. */
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xml.h"
#include "storage/s3/put.h"

/* --- ListParts --- */

struct listed_part {
    uint64_t number, size;
    char etag[S3_ETAG_MAX + 1];
    char crc32c[S3_PUT_BASE64_SIZE];
};

struct page {
    struct object_put *put;
    struct listed_part part;
    bool truncated;
    uint64_t next_marker;
};

static bool same_etag(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    if (n >= 2 && *a == '"' && a[n - 1] == '"') {
        a++;
        n -= 2;
    }
    if (m >= 2 && *b == '"' && b[m - 1] == '"') {
        b++;
        m -= 2;
    }
    return n == m && memcmp(a, b, n) == 0;
}

static bool read_crc32c(const char *base64, uint32_t *ret)
{
    unsigned char bytes[6];
    if (strlen(base64) != 8 || EVP_DecodeBlock(bytes, (const unsigned char *)base64, 8) != 6)
        return false;
    *ret = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
    return true;
}

static bool read_md5(const char *etag, unsigned char md5[RANGE_MD5_BYTES])
{
    char text[2 * RANGE_MD5_BYTES + 1] = "";
    int n = -1;
    (void)sscanf(etag, "\"%32[0-9a-f]\"%n", text, &n);
    if (n != (int)strlen(etag) || n != 2 * RANGE_MD5_BYTES + 2)
        return false;
    for (size_t i = 0; i < RANGE_MD5_BYTES; i++) {
        const char hex[] = {text[2 * i], text[2 * i + 1], '\0'};
        md5[i] = (unsigned char)strtoul(hex, NULL, 16);
    }
    return true;
}

/* An ETag that the store gave us for these very bytes, a CRC32C, or what may be an MD5. */
static void take_part(struct object_put *put, const struct listed_part *part)
{
    const struct s3_put *self = (const struct s3_put *)put;
    if (part->number < 1 || part->number > put->plan.count || *part->etag == '\0')
        return;
    const char *recorded = s3_resume_etag(&self->old, (uint32_t)part->number);
    struct object_part_listed listed = {.number = part->number,
                                        .size = part->size,
                                        .tag = part->etag,
                                        .recorded = recorded && same_etag(recorded, part->etag)};
    if (read_crc32c(part->crc32c, &listed.crc32c) && put->digests_fit)
        listed.told |= RANGE_CRC32C;
    if (read_md5(part->etag, listed.md5))
        listed.told |= RANGE_MD5;
    object_put_part_listed(put, &listed);
}

static int on_start(void *data, const char *path, struct error *err)
{
    struct page *page = data;
    (void)err;
    if (strcmp(path, "ListPartsResult/Part") == 0)
        page->part = (struct listed_part){0};
    return 0;
}

static int on_text(void *data, const char *path, const char *text, size_t size, struct error *err)
{
    struct page *page = data;
    (void)size, (void)err;
    if (strcmp(path, "ListPartsResult/Part/PartNumber") == 0)
        page->part.number = strtoull(text, NULL, 10);
    else if (strcmp(path, "ListPartsResult/Part/Size") == 0)
        page->part.size = strtoull(text, NULL, 10);
    else if (strcmp(path, "ListPartsResult/Part/ETag") == 0 && size <= S3_ETAG_MAX)
        memcpy(page->part.etag, text, size + 1);
    else if (strcmp(path, "ListPartsResult/Part/ChecksumCRC32C") == 0)
        snprintf(page->part.crc32c, sizeof page->part.crc32c, "%s", text);
    else if (strcmp(path, "ListPartsResult/IsTruncated") == 0)
        page->truncated = strcmp(text, "true") == 0;
    else if (strcmp(path, "ListPartsResult/NextPartNumberMarker") == 0)
        page->next_marker = strtoull(text, NULL, 10);
    return 0;
}

static int on_end(void *data, const char *path, struct error *err)
{
    struct page *page = data;
    (void)err;
    if (strcmp(path, "ListPartsResult/Part") == 0)
        take_part(page->put, &page->part);
    return 0;
}

static int read_page(struct s3_put *self, const struct object_answer *answer, struct page *page,
                     struct error *err)
{
    static const struct xml_events events = {.on_start = on_start, .on_text = on_text, .on_end = on_end};
    const struct http_response *response = answer->response;
    *page = (struct page){.put = &self->put};
    int rc = xml_parse(response->body, response->body_size, response->body_size, &events, page, err);
    if (rc == 0 && page->truncated &&
        (page->next_marker <= self->marker || page->next_marker > PART_PLAN_MAX_PARTS))
        rc = error_set(err, ERROR_PROTOCOL, true, "the pages don't advance");
    if (rc)
        error_context(err, "ListParts in bucket '%.100s'", self->put.session->container);
    return rc;
}

static void on_listed(void *data, const struct object_answer *answer, const struct error *err)
{
    struct object_put *put = data;
    struct s3_put *self = data;
    struct error own = err ? *err : (struct error){0};
    struct page page = {0};
    /* Ceph's gateway says NoSuchKey of an upload that is gone */
    bool lost = s3_put_was(answer, 404, NULL) && *answer->code && strcmp(answer->code, "NoSuchBucket") != 0;
    if (!lost && own.code == 0)
        (void)read_page(self, answer, &page, &own);
    self->marker = page.truncated && own.code == 0 ? (uint32_t)page.next_marker : 0;
    if (lost)
        object_put_answered(put, OBJECT_PUT_LOST, NULL);
    else if (own.code)
        object_put_answered(put, OBJECT_PUT_FAILED, &own);
    else
        object_put_answered(put, self->marker ? OBJECT_PUT_AGAIN : OBJECT_PUT_OK, NULL);
}

int s3_put_list(struct object_put *put, struct error *err)
{
    char marker[16];
    snprintf(marker, sizeof marker, "%" PRIu32, ((const struct s3_put *)put)->marker);
    const struct object_query query[] = {
        {"max-parts", "1000"}, {"part-number-marker", marker}, {"uploadId", put->upload_id}};
    struct object_ask ask = {.operation = "ListParts",
                             .method = "GET",
                             .key = put->request->key,
                             .query = query,
                             .n_query = 3,
                             .body_fd = -1,
                             /* S3 wants the key here where the upload has checksums */
                             .customer_key = s3_put_has_key(put) && s3_put_wants_crc32c(put),
                             .expect_root = "ListPartsResult",
                             .done = on_listed};
    return object_put_call(put, &ask, err);
}

/* --- UploadPart --- */

static void on_sent(void *data, const struct object_answer *answer, const struct error *err)
{
    struct object_put_sender *sender = data;
    const char *etag = err ? NULL : answer->response->header(answer->response, "ETag");
    struct error own;
    if (s3_put_was(answer, 404, "NoSuchUpload")) {
        object_put_part_answered(sender, OBJECT_PUT_LOST, NULL, NULL);
    } else if (err) {
        object_put_part_answered(sender, OBJECT_PUT_FAILED, NULL, err);
    } else if (etag == NULL || *etag == '\0' || strlen(etag) > S3_ETAG_MAX) {
        error_set(&own, ERROR_PROTOCOL, true, "UploadPart: the answer holds no ETag");
        object_put_part_answered(sender, OBJECT_PUT_FAILED, NULL, &own);
    } else {
        object_put_part_answered(sender, OBJECT_PUT_OK, etag, NULL);
    }
}

int s3_put_part(struct object_put_sender *sender, const struct object_put_part_sums *sums, struct error *err)
{
    const struct object_put *put = sender->put;
    bool is_signed = ((const struct s3_put *)put)->payload_signed;
    char number[16], sha256[DIGEST_SHA256_SIZE];
    struct s3_put_headers headers = {0};
    if (is_signed)
        digest_to_hex(sums->sums.sha256, sha256);
    snprintf(number, sizeof number, "%" PRIu32, sender->number);
    const struct object_query query[] = {{"partNumber", number}, {"uploadId", put->upload_id}};
    s3_put_headers_add_sum(&headers, put, sums->sums.crc32c, sums->sums.md5);
    struct object_ask ask = {.operation = "UploadPart",
                             .method = "PUT",
                             .key = put->request->key,
                             .query = query,
                             .n_query = 2,
                             .headers = headers.items,
                             .n_headers = headers.n,
                             .payload_hash = is_signed ? sha256 : S3_UNSIGNED,
                             .customer_key = s3_put_has_key(put),
                             .done = on_sent};
    return object_put_call_part(sender, &ask, err);
}
