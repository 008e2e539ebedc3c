/* A multipart upload as a whole: how it is cut, begun, completed, aborted. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/random.h"
#include "base/xml.h"
#include "storage/s3/put.h"

#define COMPLETE_MAX ((size_t)8 << 20)
#define UPLOAD_ID_MAX ((size_t)1024) /* real ones have up to 300 bytes */
#define MAX_CREATES 3
#define CREATE_BASE_MS 500
#define CREATE_CAP_MS 8000

static const char *checksum_name(const struct s3_put *self)
{
    return s3_put_wants_crc32c(self) ? "crc32c" : s3_put_wants_md5(self) ? "md5" : "none";
}

/* An older state: taken up when it is of the same upload, else what it left is aborted first. */
static void take_up(struct s3_put *self)
{
    if (self->request->resume_state == NULL || *self->request->resume_state == '\0')
        return;
    self->recorded = true;
    if (s3_resume_parse(self->request->resume_state, &self->old, NULL)) {
        self->strays_wanted = true; /* whatever it was, the store knows */
        return;
    }
    if (!s3_resume_same_bucket(&self->now, &self->old))
        return; /* out of reach; the old place's own rule for incomplete uploads ends it */
    if (self->old.upload_id == NULL)
        self->strays_wanted = strcmp(self->old.key, self->request->key) == 0;
    else if (!self->single && s3_resume_same(&self->now, &self->old)) {
        self->upload_id = strdup(self->old.upload_id);
        self->now.fence = self->old.fence;
    } else
        s3_put_doom(self, self->old.upload_id);
    self->now.upload_id = self->upload_id;
}

static uint64_t part_size_of_tests;

void s3_put_set_part_size(uint64_t bytes)
{
    part_size_of_tests = bytes;
}

static int plan_parts(struct s3_put *self, struct error *err)
{
    const struct s3_config *config = &self->session.config;
    const struct storage_put *put = self->request;
    uint64_t part_size = part_size_of_tests ? part_size_of_tests : config->part_size;
    uint64_t part_min = part_size_of_tests ? 1 : config->preset->part_min;
    int rc = part_plan_make(put->size, part_size, config->max_parts, part_min, config->preset->part_max,
                            &self->plan, err);
    if (rc) {
        error_context(err, "'%.300s' in bucket '%.100s'", put->key, config->bucket);
        return rc;
    }
    self->parts = calloc(self->plan.count, sizeof *self->parts);
    self->etags = calloc(self->plan.count, sizeof *self->etags);
    self->digests_fit = put->part_digests && put->part_digests->total == put->size &&
                        put->part_digests->count == self->plan.count && part_plan_is_default(&self->plan);
    self->whole = self->digests_fit ? NULL : digest_new();
    if (self->parts == NULL || self->etags == NULL || (!self->digests_fit && self->whole == NULL))
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    /* Hashing each part for its signature is spared where TLS guards the way and the store checks a sum. */
    bool summed = s3_put_wants_crc32c(self) || s3_put_wants_md5(self);
    self->payload_signed = self->digests_fit || !config->https || !summed;
    if (s3_put_wants_md5(self))
        self->part_sums |= RANGE_MD5;
    if (s3_put_wants_crc32c(self) && !self->digests_fit)
        self->part_sums |= RANGE_CRC32C;
    if (self->payload_signed && !self->digests_fit)
        self->part_sums |= RANGE_SHA256;
    return 0;
}

int s3_put_upload_init(struct s3_put *self, struct error *err)
{
    const struct s3_config *config = &self->session.config;
    const struct storage_put *put = self->request;
    self->single = put->size == 0 ||
                   (put->size <= config->multipart_threshold && put->size <= config->preset->single_max);
    self->digests_fit = put->part_digests && put->part_digests->total == put->size;
    self->next = 1;
    int rc = self->single ? 0 : plan_parts(self, err);
    if (rc)
        return rc;
    self->now = (struct s3_resume){.endpoint = config->endpoint,
                                   .bucket = config->bucket,
                                   .key = put->key,
                                   .sha256 = put->sha256,
                                   .checksum = checksum_name(self),
                                   .size = put->size,
                                   .part_size = self->plan.fixed_size,
                                   .fence = put->fence};
    take_up(self);
    return 0;
}

/* --- CreateMultipartUpload --- */

struct text_of {
    const char *path; /* wanted */
    bool empty_too;
    char *found; /* malloc'ed */
};

static int on_text(void *data, const char *path, const char *text, size_t size, struct error *err)
{
    struct text_of *of = data;
    if (strcmp(path, of->path) != 0 || of->found || (size == 0 && !of->empty_too))
        return 0;
    of->found = size <= UPLOAD_ID_MAX ? strdup(text) : NULL;
    return of->found ? 0 : error_set(err, ERROR_PROTOCOL, true, "its answer can't be read");
}

/* malloc'ed; NULL when the document hasn't got it. */
static char *text_of(const struct object_answer *answer, const char *path, bool empty_too)
{
    static const struct xml_events events = {.on_text = on_text};
    const struct http_response *response = answer->response;
    struct text_of of = {.path = path, .empty_too = empty_too};
    if (xml_parse(response->body, response->body_size, response->body_size, &events, &of, NULL)) {
        free(of.found);
        return NULL;
    }
    return of.found;
}

static void no_answer(struct s3_put *self, const char *operation)
{
    struct error err;
    error_set(&err, ERROR_PROTOCOL, true, "%s in bucket '%.100s': the answer holds no result", operation,
              self->session.config.bucket);
    s3_put_fail(self, &err);
}

/* Tried again here, not by the call: an answer that got lost leaves an upload which is to be found first. */
static bool create_again(struct s3_put *self, const struct error *err)
{
    if (!err->retryable || err->code == ERROR_CANCELLED || ++self->creates >= MAX_CREATES ||
        err->retry_after_ms > OBJECT_CALL_MAX_WAIT_MS)
        return false;
    int64_t ms = backoff_ms(self->creates, CREATE_BASE_MS, CREATE_CAP_MS, random_u64());
    self->strays_wanted = true;
    s3_put_pause(self, ms > err->retry_after_ms ? ms : err->retry_after_ms);
    return true;
}

static void on_created(void *data, const struct object_answer *answer, const struct error *err)
{
    struct s3_put *self = data;
    self->call = NULL;
    self->waiting = false;
    if (err && create_again(self, err))
        return;
    if (err)
        s3_put_fail(self, err);
    else if ((self->upload_id = text_of(answer, "InitiateMultipartUploadResult/UploadId", false)) == NULL)
        no_answer(self, "CreateMultipartUpload");
    self->now.upload_id = self->upload_id;
    s3_put_step(self);
}

void s3_put_create_start(struct s3_put *self)
{
    static const struct object_query query = {"uploads", NULL};
    struct s3_put_headers headers;
    struct error err = {0};
    if (s3_put_headers_init(&headers, self, &err)) {
        s3_put_fail(self, &err);
        return;
    }
    if (s3_put_wants_crc32c(self)) {
        s3_put_headers_add(&headers, "x-amz-checksum-algorithm", "CRC32C");
        s3_put_headers_add(&headers, "x-amz-checksum-type", "FULL_OBJECT");
    }
    struct object_ask ask = {.operation = "CreateMultipartUpload",
                             .method = "POST",
                             .key = self->request->key,
                             .query = &query,
                             .n_query = 1,
                             .headers = headers.items,
                             .n_headers = headers.n,
                             .body_fd = -1,
                             .customer_key = self->session.customer_key.base64 != NULL,
                             .expect_root = "InitiateMultipartUploadResult",
                             .once = true,
                             .fresh_connection = true,
                             .done = on_created};
    s3_put_call(self, &ask);
    s3_put_headers_deinit(&headers);
}

/* --- CompleteMultipartUpload --- */

static void append_escaped(struct strbuf *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&':
            strbuf_puts(out, "&amp;");
            break;
        case '<':
            strbuf_puts(out, "&lt;");
            break;
        case '>':
            strbuf_puts(out, "&gt;");
            break;
        case '"':
            strbuf_puts(out, "&quot;");
            break;
        default:
            strbuf_putc(out, *text);
        }
    }
}

static void append_parts(struct strbuf *body, const struct s3_put *self)
{
    strbuf_puts(body, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (uint32_t i = 0; i < self->plan.count; i++) {
        char crc[S3_PUT_BASE64_SIZE];
        strbuf_printf(body, "<Part><PartNumber>%" PRIu32 "</PartNumber><ETag>", i + 1);
        append_escaped(body, self->etags[i]);
        strbuf_puts(body, "</ETag>");
        if (s3_put_wants_crc32c(self)) {
            s3_put_base64_crc32c(self->parts[i].crc32c, crc);
            strbuf_printf(body, "<ChecksumCRC32C>%s</ChecksumCRC32C>", crc);
        }
        strbuf_puts(body, "</Part>");
    }
    strbuf_puts(body, "</CompleteMultipartUpload>");
}

static void refuse_completion(struct s3_put *self, const struct object_answer *answer, struct error *err)
{
    self->lost = s3_put_was(answer, 404, "NoSuchUpload");
    self->refused = !err->retryable && (s3_put_was(answer, 412, NULL) || s3_put_was(answer, 409, NULL));
    if (self->lost || self->refused)
        return;
    /* The parts that stand there don't make the object: the next attempt sends them anew. */
    if (s3_put_was(answer, 400, "InvalidPart") || s3_put_was(answer, 400, "InvalidPartOrder") ||
        err->code == ERROR_CORRUPT) {
        err->retryable = true;
        self->spoiled = true;
    }
    s3_put_fail(self, err);
}

static void on_completed(void *data, const struct object_answer *answer, const struct error *err)
{
    struct s3_put *self = data;
    struct error own = err ? *err : (struct error){0};
    self->call = NULL;
    self->waiting = false;
    self->lost = self->refused = false;
    free(self->complete_body);
    self->complete_body = NULL;
    if (own.code) {
        refuse_completion(self, answer, &own);
    } else {
        /* Ceph's gateway leaves it empty; CONFIRM looks at what stands there in any case */
        char *etag = text_of(answer, "CompleteMultipartUploadResult/ETag", true);
        self->completed = etag != NULL;
        if (etag == NULL)
            no_answer(self, "CompleteMultipartUpload");
        free(etag);
    }
    s3_put_step(self);
}

void s3_put_complete_start(struct s3_put *self)
{
    const struct object_query query = {"uploadId", self->upload_id};
    struct s3_put_headers headers = {0};
    struct error err = {0};
    struct strbuf body;
    char size[24];
    uint32_t crc;
    strbuf_init(&body, COMPLETE_MAX);
    append_parts(&body, self);
    if (body.failed) {
        strbuf_deinit(&body);
        error_set(&err, ERROR_SYSTEM, true, "out of memory");
        s3_put_fail(self, &err);
        return;
    }
    self->complete_body = body.data;
    s3_put_headers_add(&headers, "Content-Type", "application/xml");
    if (s3_put_wants_crc32c(self) && s3_put_crc32c(self, &crc)) {
        snprintf(size, sizeof size, "%" PRIu64, self->request->size);
        s3_put_headers_add_sum(&headers, self, crc, NULL);
        s3_put_headers_add(&headers, "x-amz-checksum-type", "FULL_OBJECT");
        s3_put_headers_add(&headers, "x-amz-mp-object-size", size);
    }
    if (self->session.config.conditional_write)
        s3_put_headers_add(&headers, "If-None-Match", "*");
    struct object_ask ask = {.operation = "CompleteMultipartUpload",
                             .method = "POST",
                             .key = self->request->key,
                             .query = &query,
                             .n_query = 1,
                             .headers = headers.items,
                             .n_headers = headers.n,
                             .body = self->complete_body,
                             .body_fd = -1,
                             .body_size = body.size,
                             /* S3 wants the key here where the upload has checksums */
                             .customer_key = self->session.customer_key.base64 && s3_put_wants_crc32c(self),
                             .expect_root = "CompleteMultipartUploadResult",
                             .done = on_completed};
    s3_put_call(self, &ask);
}

/* --- AbortMultipartUpload --- */

static void on_aborted(void *data, const struct object_answer *answer, const struct error *err)
{
    struct s3_put *self = data;
    bool gone = err == NULL || (s3_put_was(answer, 404, NULL) && *answer->code);
    self->call = NULL;
    self->waiting = false;
    if (self->n_doomed > 0) /* a cancel has emptied the list */
        free(self->doomed[--self->n_doomed]);
    self->abort_failed = self->abort_failed || !gone;
    if (!gone && err->retryable)
        s3_put_fail(self, err); /* before the upload: its state stands, the next attempt does it */
    s3_put_step(self);
}

void s3_put_abort_start(struct s3_put *self)
{
    const char *id = self->doomed[self->n_doomed - 1];
    const struct object_query query = {"uploadId", id};
    bool old = self->old.upload_id && strcmp(self->old.upload_id, id) == 0;
    struct object_ask ask = {.operation = "AbortMultipartUpload",
                             .method = "DELETE",
                             .key = old ? self->old.key : self->request->key,
                             .query = &query,
                             .n_query = 1,
                             .body_fd = -1,
                             .done = on_aborted};
    s3_put_call(self, &ask);
    if (!self->waiting) { /* it couldn't be started */
        free(self->doomed[--self->n_doomed]);
        self->abort_failed = true;
    }
}
