/*
 * HTTP on the loop: libmicrohttpd without threads, its epoll descriptor watched by libuv.
 *
 * A request's headers are checked (framing, size, path) and given to `begin`, which refuses it through
 * http_reply... or calls http_accept, at once or later. Then its body is taken in, and `serve` answers
 * through http_reply..., at once or later; until then the connection sleeps. Both run on the loop's thread;
 * so must every call here. TLS and names are a reverse proxy's business.
 *
 * Bounds, see README.md: the request's line, its headers, its body, all bodies together, the time it takes to
 * arrive, the time an answer takes to be taken, connections, streams.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "base/error.h"

#define HTTP_BODY_MAX ((size_t)1 << 20)

struct http_server;
struct http_request;

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_METHODS,
    HTTP_OTHER = HTTP_METHODS,
};

const char *http_method_name(enum http_method method); /* "" for HTTP_OTHER */

struct http_app {
    /* The headers are in. http_accept or http_reply... must follow, exactly one of them, once. */
    void (*begin)(void *data, struct http_request *request);
    /* Accepted, and its body is in. http_reply... must follow, exactly once. */
    void (*serve)(void *data, struct http_request *request);
    void *data;
};

/* How long a client may take. The defaults are what backup-api uses; tests take shorter ones. */
struct http_limits {
    int64_t
        arrive_ms;   /* a request, from its first line to its last byte; also a connection's first request */
    int64_t idle_ms; /* between an answer and the next request's first line */
    int64_t answer_ms;  /* an answer that is not a stream, until it has been taken whole */
    int64_t linger_ms;  /* after a refusal, until what is still being sent is reset */
    unsigned stall_s;   /* no byte moves */
    size_t bodies_max;  /* bytes of all bodies together */
    size_t answers_max; /* bytes of all answers together that are not taken yet; streams aside */
    unsigned streams_max;
};
extern const struct http_limits http_limits_default;

/* listen_fd becomes the server's, in case of failure too. app and limits are copied. */
int http_server_new(uv_loop_t *loop, int listen_fd, const struct http_app *app,
                    const struct http_limits *limits, struct http_server **ret_server, struct error *err);

/* Requests that have arrived, also on connections nobody has accepted yet, are served; then it stops
 * listening, closes connections without a request, ends streams of unknown length, and lets answers under way
 * be taken for at most grace_ms. The caller sees to it that every request it holds is replied to soon.
 * on_idle runs from the loop with app.data, never before return, when no answer is under way or the time is
 * over. */
void http_server_drain(struct http_server *server, int64_t grace_ms, void (*on_idle)(void *data));

/* Every request must have been replied to; streams are ended, their `closed` runs before return. The memory
 * goes when the loop has closed the handles. NULL does nothing. */
void http_server_free(struct http_server *server);

/* -- what was asked. Texts are valid until the request has been replied to. */

enum http_method http_request_method(const struct http_request *request);

/* As many requests wait for their answers as there may be: begin replies with 503 to what can't be answered
 * at once. */
bool http_is_crowded(const struct http_request *request);

/* As it came, not decoded, beginning with '/', without the query; and the query, "" when there is none. */
const char *http_request_path(const struct http_request *request);
const char *http_request_query(const struct http_request *request);

/* The first of that name; NULL when absent. Names without regard to case. */
const char *http_header(const struct http_request *request, const char *name);
/* The last of that name: of X-Forwarded-For what the nearest proxy added. */
const char *http_header_last(const struct http_request *request, const char *name);
const char *http_cookie(const struct http_request *request, const char *name);

/* The peer's address without port, "unix" on a unix socket. Behind a reverse proxy: that of the proxy. */
const char *http_remote_address(const struct http_request *request);

/* Not NUL-terminated; size 0 and an empty text when there is none. From `serve` on. */
const char *http_body(const struct http_request *request, size_t *ret_size);

/* The length that the client declared, -1 when it declared none. */
int64_t http_body_declared(const struct http_request *request);

/* -- what belongs to a request */

/* The app's own context, NULL until set. */
void *http_context(const struct http_request *request);
void http_set_context(struct http_request *request, void *context);

/* Calls release(object) when the request is over: after the answer has been taken or the client has gone.
 * False: memory is out, and object has been released. NULL object: false. */
bool http_keep(struct http_request *request, void *object, void (*release)(void *object));

/* -- answers */

/* `begin`'s yes: the body may come, then serve runs (never before return when it does so later). */
void http_accept(struct http_request *request);

/*
 * A header of the answer that is to come, whichever it is; before http_reply... . Replaces an earlier one of
 * that name, except Set-Cookie and Vary, which add up. Both are copied; control characters, or more than 24
 * headers, are refused: false, and the answer becomes a 500. Cache-Control, Content-Security-Policy and
 * Referrer-Policy stand there already unless set (no-store; nothing may be loaded, nobody may frame it;
 * no-referrer), nosniff always. Never Content-Length, Content-Encoding, Connection, Date.
 */
bool http_set_header(struct http_request *request, const char *name, const char *value);

/* http_set_header has been called with that name. */
bool http_has_header(const struct http_request *request, const char *name);

/* From now on the answer to GET and HEAD, if its status is 200, carries an ETag made of its bytes,
 * If-None-Match is answered with 304, and Cache-Control is "private, no-cache" unless set. Not for streams.
 */
void http_use_etag(struct http_request *request);

/* If-Match: absent, or it names the ETag that body has as the answer to a GET with http_use_etag (compared
 * weakly: a proxy may have weakened it), or is "*". */
bool http_matches(const struct http_request *request, const json_t *body);

/* Takes over body (NULL: memory is out; a 500 is sent). application/json, problem documents by problem.h. */
void http_reply(struct http_request *request, unsigned status, json_t *body);

/* Takes over bytes (malloc'ed, may be NULL when size is 0). content_type NULL: the answer has no content.
 * Text, JSON, JavaScript and SVG above 1 KiB are compressed for clients that say they take gzip. A 503 is
 * sent instead of a large answer to GET or HEAD when limits.answers_max bytes wait to be taken already. */
void http_reply_bytes(struct http_request *request, unsigned status, const char *content_type, char *bytes,
                      size_t size);

/*
 * Bytes that many answers share, however slowly each client takes them: made once, with their ETag and, of
 * what can be compressed, their compressed form. bytes: malloc'ed, taken over, in case of failure too.
 * content_type must stay. NULL: memory is out. Free it after the server.
 */
struct http_fixed;
struct http_fixed *http_fixed_new(const char *content_type, char *bytes, size_t size);
void http_fixed_free(struct http_fixed *fixed); /* NULL is fine */
/* 200, or 304 for a client that has it already. Always with an ETag. */
void http_reply_fixed(struct http_request *request, const struct http_fixed *fixed);

/* 204, or any other status without content. */
void http_reply_empty(struct http_request *request, unsigned status);

#define HTTP_STREAM_WAIT (-1)
#define HTTP_STREAM_END (-2)
#define HTTP_STREAM_FAILED (-3)

struct http_stream {
    /*
     * Puts up to size (>= 1) bytes into buffer and returns their count (>= 1), or one of
     * HTTP_STREAM_WAIT    nothing now; http_stream_wake will be called when there is something
     * HTTP_STREAM_END     that was all (length unknown only)
     * HTTP_STREAM_FAILED  there will be no more: the connection is closed, so that the client sees it is cut
     * Must not block, nor call anything here.
     */
    ssize_t (*read)(void *data, char *buffer, size_t size);
    /* Last call, always: the whole answer went out, or it did not (client gone, failed, server ends). The
     * request must not be used any more. From the loop or http_server_free; must not call anything here. */
    void (*closed)(void *data, bool whole);
    void *data;
};

/*
 * A body that `stream->read` gives in pieces, sent as fast as the client takes it. length: its bytes, or -1
 * when unknown (chunked; ends with HTTP_STREAM_END). Never compressed. Status 200 or 206; the caller sets
 * Content-Range, Accept-Ranges and Content-Disposition (ranges: http_range). stream is copied. HEAD: closed
 * runs without any read. The request is valid until `closed`. A departed client is noticed when bytes are
 * sent: a stream that may be silent sends something (an SSE comment) every 15 s. Above the limit of streams a
 * 503 is sent instead, and closed runs with false.
 */
void http_reply_stream(struct http_request *request, unsigned status, const char *content_type,
                       int64_t length, const struct http_stream *stream);

/* There is something to read. At any time between http_reply_stream and closed, also when nobody waits. */
void http_stream_wake(struct http_request *request);

enum http_range_result { HTTP_RANGE_WHOLE, HTTP_RANGE_PART, HTTP_RANGE_UNSATISFIABLE };

/*
 * The one range that the Range header asks of size bytes (RFC 9110, 14): [*ret_first, *ret_first +
 * *ret_length). WHOLE, with the whole in both: no header, several ranges, another unit, nonsense, or an
 * If-Range that is not etag (NULL: no ETag). PART: answer 206 with the Content-Range that http_content_range
 * writes. UNSATISFIABLE: answer 416 with the one for length 0.
 */
enum http_range_result http_range(const struct http_request *request, int64_t size, const char *etag,
                                  int64_t *ret_first, int64_t *ret_length);

/* "bytes 0-99/1234"; with length 0 what a 416 needs: the size alone. */
#define HTTP_CONTENT_RANGE_SIZE 80
void http_content_range(char text[HTTP_CONTENT_RANGE_SIZE], int64_t first, int64_t length, int64_t size);
