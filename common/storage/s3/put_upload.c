/* A multipart upload as a whole: begun, completed, aborted. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xml.h"
#include "storage/s3/put.h"

#define COMPLETE_MAX ((size_t)8 << 20)
#define UPLOAD_ID_MAX ((size_t)1024) /* real ones have up to 300 bytes */

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

static void no_answer(struct object_put *put, const char *operation, struct error *err)
{
    error_set(err, ERROR_PROTOCOL, true, "%s in bucket '%.100s': the answer holds no result", operation,
              put->session->container);
}

static void on_created(void *data, const struct object_answer *answer, const struct error *err)
{
    struct object_put *put = data;
    if (err) {
        object_put_answered(put, OBJECT_PUT_FAILED, err);
        return;
    }
    struct error own = {0};
    char *upload_id = text_of(answer, "InitiateMultipartUploadResult/UploadId", false);
    if (upload_id == NULL)
        no_answer(put, "CreateMultipartUpload", &own);
    else
        (void)object_put_set_upload(put, upload_id, &own);
    free(upload_id);
    object_put_answered(put, own.code ? OBJECT_PUT_FAILED : OBJECT_PUT_OK, own.code ? &own : NULL);
}

int s3_put_create(struct object_put *put, struct error *err)
{
    static const struct object_query query = {"uploads", NULL};
    struct s3_put_headers headers;
    int rc = s3_put_headers_init(&headers, put, err);
    if (rc)
        return rc;
    if (s3_put_wants_crc32c(put)) {
        s3_put_headers_add(&headers, "x-amz-checksum-algorithm", "CRC32C");
        s3_put_headers_add(&headers, "x-amz-checksum-type", "FULL_OBJECT");
    }
    struct object_ask ask = {.operation = "CreateMultipartUpload",
                             .method = "POST",
                             .key = put->request->key,
                             .query = &query,
                             .n_query = 1,
                             .headers = headers.items,
                             .n_headers = headers.n,
                             .body_fd = -1,
                             .customer_key = s3_put_has_key(put),
                             .expect_root = "InitiateMultipartUploadResult",
                             .once = true,
                             .fresh_connection = true,
                             .done = on_created};
    rc = object_put_call(put, &ask, err);
    s3_put_headers_deinit(&headers);
    return rc;
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

static void append_parts(struct strbuf *body, const struct object_put *put)
{
    strbuf_puts(body, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (uint32_t i = 0; i < put->plan.count; i++) {
        char crc[S3_PUT_BASE64_SIZE];
        strbuf_printf(body, "<Part><PartNumber>%" PRIu32 "</PartNumber><ETag>", i + 1);
        append_escaped(body, put->parts[i].tag);
        strbuf_puts(body, "</ETag>");
        if (s3_put_wants_crc32c(put)) {
            s3_put_base64_crc32c(put->parts[i].crc32c, crc);
            strbuf_printf(body, "<ChecksumCRC32C>%s</ChecksumCRC32C>", crc);
        }
        strbuf_puts(body, "</Part>");
    }
    strbuf_puts(body, "</CompleteMultipartUpload>");
}

static void refuse_completion(struct object_put *put, const struct object_answer *answer,
                              const struct error *err)
{
    bool exists = !err->retryable && (s3_put_was(answer, 412, NULL) || s3_put_was(answer, 409, NULL));
    if (exists || s3_put_was(answer, 404, "NoSuchUpload")) {
        object_put_answered(put, exists ? OBJECT_PUT_REFUSED : OBJECT_PUT_LOST, NULL);
        return;
    }
    /* The parts that stand there don't make the object: the next attempt sends them anew. */
    struct error own = *err;
    bool spoiled = s3_put_was(answer, 400, "InvalidPart") || s3_put_was(answer, 400, "InvalidPartOrder") ||
                   err->code == ERROR_CORRUPT;
    own.retryable = own.retryable || spoiled;
    object_put_answered(put, spoiled ? OBJECT_PUT_SPOILED : OBJECT_PUT_FAILED, &own);
}

static void on_completed(void *data, const struct object_answer *answer, const struct error *err)
{
    struct object_put *put = data;
    struct s3_put *self = data;
    free(self->complete_body);
    self->complete_body = NULL;
    if (err) {
        refuse_completion(put, answer, err);
        return;
    }
    /* Ceph's gateway leaves it empty; CONFIRM looks at what stands there in any case */
    struct error own = {0};
    char *etag = text_of(answer, "CompleteMultipartUploadResult/ETag", true);
    if (etag == NULL)
        no_answer(put, "CompleteMultipartUpload", &own);
    free(etag);
    object_put_answered(put, own.code ? OBJECT_PUT_FAILED : OBJECT_PUT_OK, own.code ? &own : NULL);
}

static void add_whole_sum(struct s3_put_headers *headers, const struct object_put *put, char size[24])
{
    uint32_t crc;
    if (!s3_put_wants_crc32c(put) || !object_put_crc32c(put, &crc))
        return;
    snprintf(size, 24, "%" PRIu64, put->request->size);
    s3_put_headers_add_sum(headers, put, crc, NULL);
    s3_put_headers_add(headers, "x-amz-checksum-type", "FULL_OBJECT");
    s3_put_headers_add(headers, "x-amz-mp-object-size", size);
}

int s3_put_complete(struct object_put *put, struct error *err)
{
    const struct object_query query = {"uploadId", put->upload_id};
    struct s3_put *self = (struct s3_put *)put;
    struct s3_put_headers headers = {0};
    struct strbuf body;
    char size[24];
    strbuf_init(&body, COMPLETE_MAX);
    append_parts(&body, put);
    if (body.failed) {
        strbuf_deinit(&body);
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    free(self->complete_body);
    self->complete_body = body.data;
    s3_put_headers_add(&headers, "Content-Type", "application/xml");
    add_whole_sum(&headers, put, size);
    if (put->conditional)
        s3_put_headers_add(&headers, "If-None-Match", "*");
    struct object_ask ask = {.operation = "CompleteMultipartUpload",
                             .method = "POST",
                             .key = put->request->key,
                             .query = &query,
                             .n_query = 1,
                             .headers = headers.items,
                             .n_headers = headers.n,
                             .body = self->complete_body,
                             .body_fd = -1,
                             .body_size = body.size,
                             /* S3 wants the key here where the upload has checksums */
                             .customer_key = s3_put_has_key(put) && s3_put_wants_crc32c(put),
                             .expect_root = "CompleteMultipartUploadResult",
                             .done = on_completed};
    return object_put_call(put, &ask, err);
}

/* --- AbortMultipartUpload --- */

static void on_aborted(void *data, const struct object_answer *answer, const struct error *err)
{
    if (err && s3_put_was(answer, 404, NULL) && *answer->code)
        object_put_answered(data, OBJECT_PUT_LOST, NULL);
    else
        object_put_answered(data, err ? OBJECT_PUT_FAILED : OBJECT_PUT_OK, err);
}

int s3_put_abort(struct object_put *put, const char *id, struct error *err)
{
    const struct s3_resume *of = &((const struct s3_put *)put)->old;
    const struct object_query query = {"uploadId", id};
    bool old = of->upload_id && strcmp(of->upload_id, id) == 0;
    struct object_ask ask = {.operation = "AbortMultipartUpload",
                             .method = "DELETE",
                             .key = old ? of->key : put->request->key,
                             .query = &query,
                             .n_query = 1,
                             .body_fd = -1,
                             .done = on_aborted};
    return object_put_call(put, &ask, err);
}
