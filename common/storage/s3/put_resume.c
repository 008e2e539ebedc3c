/* What earlier attempts left at the store: parts of this upload, uploads that nobody knows the id of. */
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xml.h"
#include "storage/s3/put.h"

/* --- open uploads of the key --- */

static bool on_upload(struct storage_list *list, const struct storage_entry *entry)
{
    struct s3_put *self = list->data;
    if (strcmp(entry->key, self->request->key) == 0 && entry->upload_id)
        s3_put_doom(self, entry->upload_id);
    return self->n_doomed < S3_PUT_MAX_DOOMED;
}

/* Best effort: a key that may not list, and stores that can't, must be able to upload all the same. */
static void on_listed_uploads(struct storage_list *list, const struct error *err)
{
    struct s3_put *self = list->data;
    self->sub = NULL;
    self->waiting = false;
    if (err && err->retryable)
        s3_put_fail(self, err);
    s3_put_step(self);
}

void s3_put_strays_start(struct s3_put *self)
{
    struct error err = {0};
    self->strays_wanted = false;
    self->list = (struct storage_list){.loop = self->request->loop,
                                       .location = self->request->location,
                                       .prefix = self->request->key,
                                       .kind = STORAGE_LIST_UPLOADS,
                                       .on_entry = on_upload,
                                       .done = on_listed_uploads,
                                       .data = self};
    if (s3_list_start(&self->list, &self->sub, &err))
        s3_put_fail(self, &err);
    else
        self->waiting = true;
}

/* --- ListParts --- */

struct listed_part {
    uint64_t number, size;
    char etag[S3_ETAG_MAX + 1];
    char crc32c[S3_PUT_BASE64_SIZE];
};

struct page {
    struct s3_put *put;
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

/* Its size, and an ETag that the store gave us for these very bytes, or a CRC32C that is ours: done. An ETag
 * that may be an MD5: hashed before it is believed. Anything else is sent again. */
static void take_part(struct s3_put *self, const struct listed_part *listed)
{
    if (listed->number < 1 || listed->number > self->plan.count || *listed->etag == '\0')
        return;
    uint32_t number = (uint32_t)listed->number;
    struct s3_part *part = &self->parts[number - 1];
    if (part->state != S3_PART_MISSING || listed->size != part_plan_size(&self->plan, number))
        return;
    const char *recorded = s3_resume_etag(&self->old, number);
    const struct part_digest *digest =
        self->digests_fit ? &self->request->part_digests->parts[number - 1] : NULL;
    uint32_t crc = 0;
    bool told = read_crc32c(listed->crc32c, &crc);
    bool known = recorded && same_etag(recorded, listed->etag);
    if (digest && told)
        known = digest->crc32c == crc;
    part->crc32c = digest ? digest->crc32c : crc;
    if (known)
        s3_put_part_done(self, number, listed->etag);
    else if (!(digest && told) && read_md5(listed->etag, part->md5))
        part->state = S3_PART_LISTED;
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
    *page = (struct page){.put = self};
    int rc = xml_parse(response->body, response->body_size, response->body_size, &events, page, err);
    if (rc == 0 && page->truncated &&
        (page->next_marker <= self->marker || page->next_marker > PART_PLAN_MAX_PARTS))
        rc = error_set(err, ERROR_PROTOCOL, true, "the pages don't advance");
    if (rc)
        error_context(err, "ListParts in bucket '%.100s'", self->session.config.bucket);
    return rc;
}

static void on_listed_parts(void *data, const struct object_answer *answer, const struct error *err)
{
    struct s3_put *self = data;
    struct error own = err ? *err : (struct error){0};
    struct page page = {0};
    self->call = NULL;
    self->waiting = false;
    /* Ceph's gateway says NoSuchKey of an upload that is gone */
    if (s3_put_was(answer, 404, NULL) && *answer->code && strcmp(answer->code, "NoSuchBucket") != 0)
        self->lost = true;
    else if (own.code || read_page(self, answer, &page, &own))
        s3_put_fail(self, &own);
    if (page.truncated && !own.code && !self->err.code) {
        self->marker = (uint32_t)page.next_marker;
        s3_put_list_start(self);
        if (self->waiting)
            return;
    }
    s3_put_step(self);
}

void s3_put_list_start(struct s3_put *self)
{
    char marker[16];
    snprintf(marker, sizeof marker, "%" PRIu32, self->marker);
    const struct object_query query[] = {
        {"max-parts", "1000"}, {"part-number-marker", marker}, {"uploadId", self->upload_id}};
    struct object_ask ask = {.operation = "ListParts",
                             .method = "GET",
                             .key = self->request->key,
                             .query = query,
                             .n_query = 3,
                             .body_fd = -1,
                             /* S3 wants the key here where the upload has checksums */
                             .customer_key = self->session.customer_key.base64 && s3_put_wants_crc32c(self),
                             .expect_root = "ListPartsResult",
                             .done = on_listed_parts};
    s3_put_call(self, &ask);
}
