/*
 * What goes out: bytes with their ETag, perhaps compressed, or "304 Not Modified", or a stream; and the
 * headers.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/digest.h"
#include "base/log.h"
#include "http_fields.h"
#include "http_internal.h"
#include "problem.h"

#define COMPRESS_ABOVE 1024
#define LARGE ((size_t)64 << 10)

static void add(struct MHD_Response *response, const char *name, const char *value)
{
    if (MHD_add_response_header(response, name, value) != MHD_YES)
        log_error("http: the header %s can't be sent", name);
}

bool http_has_header(const struct http_request *request, const char *name)
{
    for (unsigned i = 0; i < request->n_headers; i++)
        if (strcasecmp(request->headers[i].name, name) == 0)
            return true;
    return false;
}

static void add_unless_set(struct http_request *request, struct MHD_Response *response, const char *name,
                           const char *value)
{
    if (!http_has_header(request, name))
        add(response, name, value);
}

/* Two representations, two strong ETags. */
static void write_etag(const char *digest, bool gzip, char etag[64])
{
    snprintf(etag, 64, "\"%s%s\"", digest, gzip ? "-gzip" : "");
}

static void add_headers(struct http_request *request, struct MHD_Response *response)
{
    bool kept = request->answer.digest[0] != '\0';
    for (unsigned i = 0; i < request->n_headers; i++)
        add(response, request->headers[i].name, request->headers[i].value);
    if (request->answer.content_type[0])
        add(response, MHD_HTTP_HEADER_CONTENT_TYPE, request->answer.content_type);
    if (kept) {
        char etag[64];
        write_etag(request->answer.digest, request->answer.gzip, etag);
        add(response, MHD_HTTP_HEADER_ETAG, etag);
    }
    if (request->answer.varies)
        add(response, MHD_HTTP_HEADER_VARY, MHD_HTTP_HEADER_ACCEPT_ENCODING);
    if (request->answer.gzip && request->answer.status != MHD_HTTP_NOT_MODIFIED)
        add(response, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
    add_unless_set(request, response, MHD_HTTP_HEADER_CACHE_CONTROL, kept ? "private, no-cache" : "no-store");
    add_unless_set(request, response, "Content-Security-Policy",
                   "default-src 'none'; frame-ancestors 'none'");
    add_unless_set(request, response, "Referrer-Policy", "no-referrer");
    add(response, "X-Content-Type-Options", "nosniff");
}

void http_answer(struct http_request *request, struct MHD_Response *response)
{
    assert(request->state == HTTP_DECIDING || request->state == HTTP_SERVING ||
           request->state == HTTP_COMPRESSING);
    if (response)
        add_headers(request, response);
    request->response = response;
    request->state = HTTP_REPLIED;
    request->server->n_held--;
    http_wake(request);
}

void http_answer_bytes(struct http_request *request, char *bytes, size_t size)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        size, size ? bytes : (char *)"", size ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
    if (response == NULL || size == 0)
        free(bytes);
    else
        request->answer_size = size;
    request->server->answers += request->answer_size;
    http_answer(request, response);
}

enum MHD_Result http_queue_response(struct http_request *request)
{
    if (request->response == NULL)
        return MHD_NO;
    if (request->must_close || request->server->draining)
        add(request->response, MHD_HTTP_HEADER_CONNECTION, "close");
    request->connection->refused = request->must_close;
    if (request->stream_counted)
        http_deadline_clear(request->connection);
    else
        http_deadline_set(request->connection, HTTP_ANSWERING);
    enum MHD_Result result = MHD_queue_response(request->handle, request->answer.status, request->response);
    MHD_destroy_response(request->response);
    request->response = NULL;
    return result;
}

static void drop_headers(struct http_request *request)
{
    for (unsigned i = 0; i < request->n_headers; i++) {
        free(request->headers[i].name);
        free(request->headers[i].value);
    }
    request->n_headers = 0;
}

void http_answer_deinit(struct http_request *request)
{
    request->server->answers -= request->answer_size;
    request->answer_size = 0;
    drop_headers(request);
    if (request->response)
        MHD_destroy_response(request->response);
    request->response = NULL;
}

static bool is_token(const char *text)
{
    return *text &&
           text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")] == '\0';
}

static bool is_value(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if (*p < 0x20 || *p == 0x7f)
            return false;
    return *text != '\0';
}

static struct http_answer_header *header_for(struct http_request *request, const char *name)
{
    bool adds_up =
        strcasecmp(name, MHD_HTTP_HEADER_SET_COOKIE) == 0 || strcasecmp(name, MHD_HTTP_HEADER_VARY) == 0;
    for (unsigned i = 0; i < request->n_headers && !adds_up; i++)
        if (strcasecmp(request->headers[i].name, name) == 0)
            return &request->headers[i];
    return request->n_headers < HTTP_HEADERS_MAX ? &request->headers[request->n_headers] : NULL;
}

bool http_set_header(struct http_request *request, const char *name, const char *value)
{
    struct http_answer_header *header = is_token(name) && is_value(value) ? header_for(request, name) : NULL;
    char *name_copy = header ? strdup(name) : NULL;
    char *value_copy = header ? strdup(value) : NULL;
    if (name_copy == NULL || value_copy == NULL) {
        log_error("http: the header %s of an answer can't be sent", is_token(name) ? name : "?");
        free(name_copy);
        free(value_copy);
        request->header_refused = true;
        return false;
    }
    if (header == &request->headers[request->n_headers]) {
        request->n_headers++;
    } else {
        free(header->name);
        free(header->value);
    }
    *header = (struct http_answer_header){name_copy, value_copy};
    return true;
}

void http_use_etag(struct http_request *request)
{
    request->use_etag = true;
}

bool http_header_was_refused(struct http_request *request)
{
    if (!request->header_refused)
        return false;
    request->header_refused = false;
    drop_headers(request);
    problem_reply(request, 500, "the answer can't be written; see the log");
    return true;
}

void http_digest(const char *bytes, size_t size, char digest[HTTP_DIGEST_SIZE])
{
    char hex[DIGEST_SHA256_SIZE];
    struct digest *sum = digest_new();
    if (sum == NULL)
        return;
    digest_update(sum, bytes, size);
    digest_final(sum, hex);
    digest_free(sum);
    snprintf(digest, HTTP_DIGEST_SIZE, "%.32s", hex);
}

/* field: If-None-Match or If-Match; either form will do. */
static bool names_digest(const char *field, const char *digest)
{
    char plain[64], gzip[64];
    write_etag(digest, false, plain);
    write_etag(digest, true, gzip);
    return fields_match_etag(field, plain) || fields_match_etag(field, gzip);
}

static bool has_not_changed(const struct http_request *request)
{
    return names_digest(http_header(request, MHD_HTTP_HEADER_IF_NONE_MATCH), request->answer.digest);
}

bool http_matches(const struct http_request *request, const json_t *body)
{
    const char *wanted = http_header(request, MHD_HTTP_HEADER_IF_MATCH);
    char digest[HTTP_DIGEST_SIZE] = "";
    char *text = wanted ? json_dumps(body, JSON_COMPACT) : NULL;
    if (text)
        http_digest(text, strlen(text), digest);
    free(text);
    return wanted == NULL || (digest[0] && names_digest(wanted, digest));
}

/* libmicrohttpd writes Content-Length, which must be that of a 200 (RFC 9110, 8.6): so the bytes stay, and
 * are compressed; it does not send them. */
void http_answer_not_modified(struct http_request *request)
{
    if (!has_not_changed(request))
        return;
    request->answer.status = MHD_HTTP_NOT_MODIFIED;
    request->answer.content_type[0] = '\0';
}

static bool reads(const struct http_request *request)
{
    return request->method == HTTP_GET || request->method == HTTP_HEAD;
}

/* Of what was changed the client is told in any case. */
static bool is_too_much(const struct http_request *request, size_t size)
{
    const struct http_server *server = request->server;
    return size > LARGE && reads(request) && server->answers + size > server->limits.answers_max;
}

void http_reply_bytes(struct http_request *request, unsigned status, const char *content_type, char *bytes,
                      size_t size)
{
    if (http_header_was_refused(request)) {
        free(bytes);
        return;
    }
    if (is_too_much(request, size)) {
        free(bytes);
        problem_reply_later(request, 503, 5,
                            "too many answers wait for clients to take them; ask again later");
        return;
    }
    request->answer.status = status;
    snprintf(request->answer.content_type, sizeof request->answer.content_type, "%s",
             content_type ? content_type : "");
    request->answer.varies = content_type && size > COMPRESS_ABOVE && fields_compressible(content_type);
    request->answer.gzip =
        request->answer.varies && fields_accept_gzip(http_header(request, MHD_HTTP_HEADER_ACCEPT_ENCODING));
    if (request->use_etag && status == 200 && reads(request)) {
        http_digest(bytes ? bytes : "", size, request->answer.digest);
        if (request->answer.digest[0])
            http_answer_not_modified(request);
    }
    if (request->answer.gzip)
        http_deflate(request, bytes, size);
    else
        http_answer_bytes(request, bytes, size);
}

void http_reply(struct http_request *request, unsigned status, json_t *body)
{
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    if (text)
        http_reply_bytes(request, status, "application/json", text, strlen(text));
    else
        problem_reply(request, 500, "the answer can't be made: out of memory, or text that is not UTF-8");
}

void http_reply_empty(struct http_request *request, unsigned status)
{
    http_reply_bytes(request, status, NULL, NULL, 0);
}
