/*
 * Azure Blob Storage, path style: /account/container/blob. The blocks of a blob that haven't been committed
 * are one upload of its path; a block list is taken for all of them.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "answer.h"

static void refuse(struct answer *answer, int status, const char *reason, const char *code)
{
    answer_status(answer, status, reason);
    answer_header(answer, "x-ms-error-code: %s\r\n", code);
}

static void created(struct answer *answer, struct object *object)
{
    static atomic_ullong last;
    answer_status(answer, 201, "Created");
    if (object == NULL)
        return;
    snprintf(object->etag, sizeof object->etag, "0x8DB%013llX", atomic_fetch_add(&last, 1) + 1);
    answer_header(answer, "ETag: \"%s\"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n", object->etag);
}

/* What HEAD gives back; the MD5 is the service's where it came with the bytes, else the client's word. */
static void keep(const struct wire_request *request, char headers[OBJECTS_HEADERS_MAX])
{
    const char *md5 = wire_header(request, "x-ms-blob-content-md5");
    if (md5)
        snprintf(headers, OBJECTS_HEADERS_MAX, "Content-MD5: %s\r\n", md5);
    else if (query_parameter(request->query, "comp") == NULL)
        keep_headers(request, "content-md5", headers);
    keep_headers(request, "x-ms-meta-", headers);
}

static enum kind put_blob(const struct wire_request *request, struct answer *answer)
{
    struct object object = {.size = request->body_size};
    keep(request, object.headers);
    created(answer, &object);
    keep_headers(request, "content-md5", answer->headers);
    objects_put(request->path, &object);
    return PUT_OBJECT;
}

static enum kind put_block(const struct wire_request *request, struct answer *answer)
{
    created(answer, NULL);
    keep_headers(request, "content-md5", answer->headers);
    keep_headers(request, "x-ms-content-crc64", answer->headers);
    if (!uploads_part(uploads_of(request->path), 0, request->body_size))
        refuse(answer, 409, "Conflict", "BlockCountExceedsLimit");
    return UPLOAD_PART;
}

static enum kind put_block_list(const struct wire_request *request, struct answer *answer)
{
    struct object object = {0};
    char headers[OBJECTS_HEADERS_MAX] = "";
    keep(request, headers);
    uploads_complete(uploads_of(request->path), headers, &object);
    created(answer, &object);
    objects_put(request->path, &object);
    return COMPLETE_UPLOAD;
}

static enum kind put(const struct wire_request *request, struct answer *answer)
{
    const char *comp = query_parameter(request->query, "comp");
    if (query_parameter(request->query, "restype")) {
        created(answer, NULL);
        return BUCKET;
    }
    if (comp == NULL)
        return put_blob(request, answer);
    return strncmp(comp, "blocklist", 9) == 0 ? put_block_list(request, answer) : put_block(request, answer);
}

static enum kind head(const struct wire_request *request, struct answer *answer)
{
    struct object object;
    if (query_parameter(request->query, "restype"))
        return BUCKET;
    if (objects_get(request->path, &object))
        answer_header(answer,
                      "ETag: \"%s\"\r\nContent-Length: %" PRIu64
                      "\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nx-ms-blob-type: BlockBlob\r\n"
                      "Content-Type: application/octet-stream\r\n%s",
                      object.etag, object.size, object.headers);
    else
        refuse(answer, 404, "Not Found", "BlobNotFound");
    return HEAD_OBJECT;
}

enum kind azure_judge(const struct wire_request *request, struct answer *answer)
{
    answer->content_type = "application/xml";
    answer_header(answer, "x-ms-request-id: 0\r\nx-ms-version: %s\r\n", wire_header(request, "x-ms-version"));
    if (strcmp(request->method, "PUT") == 0)
        return put(request, answer);
    if (strcmp(request->method, "HEAD") == 0)
        return head(request, answer);
    if (strcmp(request->method, "GET") == 0 && query_parameter(request->query, "restype")) {
        answer_body(answer, "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults><Blobs/>"
                            "<NextMarker/></EnumerationResults>");
        return LIST;
    }
    if (strcmp(request->method, "DELETE") == 0) {
        objects_delete(request->path);
        answer_status(answer, 202, "Accepted");
        return DELETE_OBJECT;
    }
    refuse(answer, 501, "Not Implemented", "UnsupportedHttpVerb");
    return OTHER;
}
