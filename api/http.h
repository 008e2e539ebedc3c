/*
 * HTTP on the loop: libmicrohttpd without threads, its epoll descriptor watched by libuv.
 *
 * Only GET and HEAD without a body get as far as `serve`, which answers through http_reply at once or later;
 * until then the connection sleeps. Every answer is JSON. TLS, names and access are a reverse proxy's
 * business.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <uv.h>

#include "base/error.h"

struct http_server;
struct http_request;

/* path: percent-decoded, without the query; valid until the reply. http_reply or http_reply_error must
 * follow, exactly once. */
typedef void (*http_serve_fn)(void *data, struct http_request *request, const char *path);

/* listen_fd becomes the server's, in case of failure too. */
int http_server_new(uv_loop_t *loop, int listen_fd, http_serve_fn serve, void *data,
                    struct http_server **ret_server, struct error *err);

/* Requests that have arrived, also on connections nobody has accepted yet, are served; then it stops
 * listening, closes connections without a request, and lets answers under way be taken for at most grace_ms.
 * The caller sees to it that every request it holds is replied to soon. on_idle runs from the loop, never
 * before return, when no answer is under way or the time is over. */
void http_server_drain(struct http_server *server, int64_t grace_ms, void (*on_idle)(void *data));

/* Every request must have been replied to. The memory goes when the loop has closed the handles. NULL does
 * nothing. */
void http_server_free(struct http_server *server);

/* A query parameter, percent-decoded, NULL when absent; the first of several. Valid until the reply. */
const char *http_query(const struct http_request *request, const char *name);

/* Not from within a libmicrohttpd callback other than `serve`. Takes over body (NULL: memory is out). */
void http_reply(struct http_request *request, unsigned status, json_t *body);

/* {"error": "..."} */
void http_reply_error(struct http_request *request, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
