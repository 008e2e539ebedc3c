/* S3: an ETag is the Content-MD5 that came with the request, or a number, which no client takes for an MD5.
 */
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"

#define XML "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define XMLNS "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""

static void refuse(struct answer *answer, int status, const char *reason, const char *code)
{
    answer_status(answer, status, reason);
    answer_body(answer, XML "<Error><Code>%s</Code><Message>%s</Message></Error>", code, reason);
}

static enum kind not_implemented(struct answer *answer)
{
    refuse(answer, 501, "Not Implemented", "NotImplemented");
    return OTHER;
}

/* What HEAD gives back. */
static void keep(const struct wire_request *request, char headers[OBJECTS_HEADERS_MAX])
{
    headers[0] = '\0';
    keep_headers(request, "x-amz-meta-", headers);
    keep_headers(request, "x-amz-checksum-", headers);
    keep_headers(request, "content-type", headers);
}

static void make_etag(const struct wire_request *request, char etag[OBJECTS_ETAG_MAX])
{
    static atomic_ullong last;
    const char *md5 = wire_header(request, "content-md5");
    unsigned char raw[32];
    if (md5 && strlen(md5) == 24 && EVP_DecodeBlock(raw, (const unsigned char *)md5, 24) == 18) {
        for (int i = 0; i < 16; i++)
            snprintf(etag + (size_t)2 * (size_t)i, 3, "%02x", raw[i]);
        return;
    }
    snprintf(etag, OBJECTS_ETAG_MAX, "%016llx", atomic_fetch_add(&last, 1) + 1);
}

static enum kind put(const struct wire_request *request, struct answer *answer)
{
    const char *number = query_parameter(request->query, "partNumber");
    struct object object = {.size = request->body_size};
    make_etag(request, object.etag);
    keep_headers(request, "x-amz-checksum-", answer->headers);
    answer_header(answer, "ETag: \"%s\"\r\n", object.etag);
    if (number == NULL) {
        keep(request, object.headers);
        objects_put(request->path, &object);
        return PUT_OBJECT;
    }
    const char *id = query_parameter(request->query, "uploadId");
    if (id == NULL ||
        !uploads_part(strtoull(id, NULL, 10), (uint32_t)strtoul(number, NULL, 10), request->body_size))
        refuse(answer, 404, "Not Found", "NoSuchUpload");
    return UPLOAD_PART;
}

static enum kind post(const struct wire_request *request, struct answer *answer)
{
    char headers[OBJECTS_HEADERS_MAX];
    keep(request, headers);
    if (query_parameter(request->query, "uploads")) {
        answer_body(answer,
                    XML "<InitiateMultipartUploadResult " XMLNS
                        "><Bucket>b</Bucket><Key>k</Key><UploadId>%" PRIu64
                        "</UploadId></InitiateMultipartUploadResult>",
                    uploads_begin(request->path, headers));
        return CREATE_UPLOAD;
    }
    const char *id = query_parameter(request->query, "uploadId");
    struct object object;
    if (id == NULL)
        return not_implemented(answer);
    if (uploads_complete(strtoull(id, NULL, 10), headers, &object))
        answer_body(answer,
                    XML "<CompleteMultipartUploadResult " XMLNS "><Location>l</Location><Bucket>b</Bucket>"
                        "<Key>k</Key><ETag>&quot;%s&quot;</ETag></CompleteMultipartUploadResult>",
                    object.etag);
    else
        refuse(answer, 404, "Not Found", "NoSuchUpload");
    return COMPLETE_UPLOAD;
}

static enum kind head(const struct wire_request *request, struct answer *answer)
{
    struct object object;
    if (objects_get(request->path, &object))
        answer_header(answer,
                      "ETag: \"%s\"\r\nContent-Length: %" PRIu64
                      "\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nAccept-Ranges: bytes\r\n%s",
                      object.etag, object.size, object.headers);
    else
        refuse(answer, 404, "Not Found", "NoSuchKey");
    return HEAD_OBJECT;
}

static enum kind get(const struct wire_request *request, struct answer *answer, bool is_bucket)
{
    if (!is_bucket)
        return not_implemented(answer);
    if (query_parameter(request->query, "uploads"))
        answer_body(answer, XML "<ListMultipartUploadsResult " XMLNS
                                "><Bucket>b</Bucket><IsTruncated>false</IsTruncated>"
                                "</ListMultipartUploadsResult>");
    else if (query_parameter(request->query, "location"))
        answer_body(answer, XML "<LocationConstraint " XMLNS "/>");
    else
        answer_body(answer, XML "<ListBucketResult " XMLNS
                                "><Name>b</Name><KeyCount>0</KeyCount><MaxKeys>1000</MaxKeys>"
                                "<IsTruncated>false</IsTruncated></ListBucketResult>");
    return LIST;
}

static enum kind remove_it(const struct wire_request *request, struct answer *answer)
{
    const char *id = query_parameter(request->query, "uploadId");
    answer_status(answer, 204, "No Content");
    if (id == NULL) {
        objects_delete(request->path);
        return DELETE_OBJECT;
    }
    if (!uploads_abort(strtoull(id, NULL, 10)))
        refuse(answer, 404, "Not Found", "NoSuchUpload");
    return ABORT_UPLOAD;
}

enum kind s3_judge(const struct wire_request *request, struct answer *answer)
{
    const char *slash = strchr(request->path + 1, '/');
    bool is_bucket = slash == NULL || slash[1] == '\0';
    answer->content_type = "application/xml";
    answer_header(answer, "x-amz-request-id: 0\r\n");
    if (strcmp(request->method, "GET") == 0)
        return get(request, answer, is_bucket);
    if (is_bucket)
        return BUCKET;
    if (strcmp(request->method, "PUT") == 0)
        return put(request, answer);
    if (strcmp(request->method, "HEAD") == 0)
        return head(request, answer);
    if (strcmp(request->method, "POST") == 0)
        return post(request, answer);
    if (strcmp(request->method, "DELETE") == 0)
        return remove_it(request, answer);
    return not_implemented(answer);
}
