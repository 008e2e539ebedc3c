/*
 * Google Cloud Storage's JSON API. An object's resource is the one that the client sent, checksum and
 * metadata included, with the server's own members in front: in a struct object it stands where the headers
 * of other stores do.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"

static void refuse(struct answer *answer, int status, const char *reason)
{
    answer_status(answer, status, reason);
    answer_body(answer, "{\"error\":{\"code\":%d,\"message\":\"%s\"}}", status, reason);
}

static void tell_object(struct answer *answer, const struct object *object)
{
    answer_body(answer,
                "{\"kind\":\"storage#object\",\"generation\":\"1\",\"size\":\"%" PRIu64
                "\",\"updated\":\"2026-01-01T00:00:00.000Z\",%s",
                object->size, object->headers + 1);
}

/* The path that the object is asked for at. */
static void path_of(const struct wire_request *request, char *out, size_t room)
{
    const char *name = query_parameter(request->query, "name");
    snprintf(out, room, "%s/%.*s", request->path + strlen("/upload"), name ? (int)strcspn(name, "&") : 0,
             name);
}

/* multipart/related: the resource, then the bytes. */
static enum kind insert(const struct wire_request *request, struct answer *answer, const char *path)
{
    const char *type = wire_header(request, "content-type");
    const char *boundary = type ? strstr(type, "boundary=") : NULL;
    const char *json = strstr(request->start, "\r\n\r\n");
    const char *json_end = json ? strstr(json + 4, "\r\n--") : NULL;
    const char *bytes = json_end ? strstr(json_end, "\r\n\r\n") : NULL;
    struct object object = {0};
    if (boundary == NULL || bytes == NULL || json[4] != '{') {
        refuse(answer, 400, "Bad Request");
        return OTHER;
    }
    size_t tail = strlen("\r\n----\r\n") + strlen(boundary) - strlen("boundary=");
    object.size = request->body_size - (uint64_t)(bytes + 4 - request->start) - tail;
    snprintf(object.headers, sizeof object.headers, "%.*s", (int)(json_end - json - 4), json + 4);
    objects_put(path, &object);
    tell_object(answer, &object);
    return PUT_OBJECT;
}

static enum kind post(const struct wire_request *request, struct answer *answer)
{
    const char *type = query_parameter(request->query, "uploadType");
    char path[2048];
    path_of(request, path, sizeof path);
    if (type && strncmp(type, "multipart", 9) == 0)
        return insert(request, answer, path);
    if (request->start[0] != '{') {
        refuse(answer, 400, "Bad Request");
        return OTHER;
    }
    const char *host = wire_header(request, "host");
    answer_header(answer, "Location: %s://%s%s?upload_id=%" PRIu64 "\r\n", request->tls ? "https" : "http",
                  host ? host : "", request->path, uploads_begin(path, request->start));
    return CREATE_UPLOAD;
}

/* Bytes of a resumable upload, or none and only how many there are in all, which the last request says. */
static enum kind take_bytes(const struct wire_request *request, struct answer *answer)
{
    const char *id_text = query_parameter(request->query, "upload_id");
    const char *range = wire_header(request, "content-range");
    const char *total = range ? strchr(range, '/') : NULL;
    uint64_t id = id_text ? strtoull(id_text, NULL, 10) : 0, size;
    struct object object;
    if (total == NULL || (request->body_size > 0 && !uploads_part(id, 0, request->body_size)) ||
        !uploads_size(id, &size)) {
        refuse(answer, 404, "Not Found");
    } else if (strtoull(total + 1, NULL, 10) != size) {
        if (wire_header(request, "x-guploader-no-308")) /* Google's clients in Go */
            answer_header(answer, "X-Http-Status-Code-Override: 308\r\n");
        else
            answer_status(answer, 308, "Resume Incomplete");
        if (size > 0)
            answer_header(answer, "Range: bytes=0-%" PRIu64 "\r\n", size - 1);
    } else if (uploads_complete(id, "", &object)) {
        tell_object(answer, &object);
        return COMPLETE_UPLOAD;
    }
    return UPLOAD_PART;
}

static enum kind get(const struct wire_request *request, struct answer *answer)
{
    struct object object;
    const char *objects = strchr(request->path + strlen("/storage/v1/b/"), '/');
    if (objects && objects[2] == '/') {
        if (objects_get(request->path, &object))
            tell_object(answer, &object);
        else
            refuse(answer, 404, "Not Found");
        return HEAD_OBJECT;
    }
    answer_body(answer, objects ? "{\"kind\":\"storage#objects\"}" : "{\"kind\":\"storage#bucket\"}");
    return objects ? LIST : BUCKET;
}

static enum kind remove_it(const struct wire_request *request, struct answer *answer)
{
    const char *id = query_parameter(request->query, "upload_id");
    if (id == NULL) {
        objects_delete(request->path);
        answer_status(answer, 204, "No Content");
        return DELETE_OBJECT;
    }
    if (uploads_abort(strtoull(id, NULL, 10)))
        answer_status(answer, 499, "Client Closed Request");
    else
        refuse(answer, 404, "Not Found");
    return ABORT_UPLOAD;
}

enum kind gcs_judge(const struct wire_request *request, struct answer *answer)
{
    answer->content_type = "application/json";
    answer_header(answer, "X-GUploader-UploadID: 0\r\n");
    if (strcmp(request->method, "GET") == 0)
        return get(request, answer);
    if (strcmp(request->method, "DELETE") == 0)
        return remove_it(request, answer);
    if (query_parameter(request->query, "upload_id"))
        return take_bytes(request, answer);
    if (strcmp(request->method, "POST") == 0)
        return post(request, answer);
    refuse(answer, 501, "Not Implemented");
    return OTHER;
}
