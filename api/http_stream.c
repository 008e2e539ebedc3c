/*
 * Answers in pieces. libmicrohttpd asks for bytes when the client takes some; a stream that has none suspends
 * the connection, or libmicrohttpd would ask again and again.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "http_fields.h"
#include "http_internal.h"
#include "problem.h"

/* libmicrohttpd keeps one such block for each stream: events are small, downloads are not. */
#define BLOCK_EVENTS ((size_t)4 << 10)
#define BLOCK_FILE ((size_t)64 << 10)

static ssize_t on_read(void *data, uint64_t position, char *buffer, size_t size)
{
    struct http_request *request = data;
    (void)position;
    bool endless = request->stream_length < 0;
    if (endless && (request->server->draining || request->server->ending))
        return MHD_CONTENT_READER_END_OF_STREAM;
    ssize_t n = request->stream.read(request->stream.data, buffer, size);
    assert(n <= (ssize_t)size);
    if (n > 0)
        return n;
    if (n == HTTP_STREAM_WAIT) {
        request->stream_waits = true;
        http_sleep(request);
        return 0;
    }
    return n == HTTP_STREAM_END && endless ? MHD_CONTENT_READER_END_OF_STREAM
                                           : MHD_CONTENT_READER_END_WITH_ERROR;
}

void http_stream_wake(struct http_request *request)
{
    if (!request->stream_waits)
        return;
    request->stream_waits = false;
    http_wake(request);
}

void http_reply_stream(struct http_request *request, unsigned status, const char *content_type,
                       int64_t length, const struct http_stream *stream)
{
    struct http_server *server = request->server;
    request->stream = *stream;
    request->stream_length = length;
    request->stream_refused = request->header_refused || server->n_streams >= server->limits.streams_max;
    if (request->header_refused) {
        http_reply_empty(request, 500);
        return;
    }
    if (request->stream_refused) {
        problem_reply_later(request, 503, 15, "too many streams and downloads at once; ask again later");
        return;
    }
    if (length == 0) {
        http_reply_bytes(request, status, content_type, NULL, 0);
        return;
    }
    server->n_streams++;
    request->stream_counted = true;
    request->answer.status = status;
    snprintf(request->answer.content_type, sizeof request->answer.content_type, "%s", content_type);
    http_answer(request, MHD_create_response_from_callback(length < 0 ? MHD_SIZE_UNKNOWN : (uint64_t)length,
                                                           length < 0 ? BLOCK_EVENTS : BLOCK_FILE, on_read,
                                                           request, NULL));
}

enum http_range_result http_range(const struct http_request *request, int64_t size, const char *etag,
                                  int64_t *ret_first, int64_t *ret_length)
{
    const char *range = http_header(request, MHD_HTTP_HEADER_RANGE);
    const char *condition = http_header(request, MHD_HTTP_HEADER_IF_RANGE);
    if (request->method != HTTP_GET) /* RFC 9110, 14.2 */
        range = NULL;
    if (condition && (etag == NULL || strcmp(condition, etag) != 0))
        range = NULL;
    switch (fields_range(range, size, ret_first, ret_length)) {
    case FIELDS_RANGE_PART:
        return HTTP_RANGE_PART;
    case FIELDS_RANGE_UNSATISFIABLE:
        return HTTP_RANGE_UNSATISFIABLE;
    case FIELDS_RANGE_WHOLE:
        break;
    }
    return HTTP_RANGE_WHOLE;
}

void http_content_range(char text[HTTP_CONTENT_RANGE_SIZE], int64_t first, int64_t length, int64_t size)
{
    if (length > 0)
        snprintf(text, HTTP_CONTENT_RANGE_SIZE, "bytes %lld-%lld/%lld", (long long)first,
                 (long long)(first + length - 1), (long long)size);
    else
        snprintf(text, HTTP_CONTENT_RANGE_SIZE, "bytes */%lld", (long long)size);
}
