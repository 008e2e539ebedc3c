/*
 * HTTP on the loop: libcurl's multi interface over uv_poll and one timer, HTTP/1.1, connections reused.
 * Redirects are never followed, bodies never paused, `Expect: 100-continue` as the request asks. TLS peers
 * are always verified.
 *
 * A request goes to a *group* (a destination, or a metadata service): groups bound how many requests run at
 * once, in the order of arrival, and share one bandwidth limit among them.
 *
 * Time is bounded without a total: connect_timeout_ms until connected (TLS included), stall_timeout_ms
 * without a byte in either direction (the peer's think time after the last byte of a request included).
 * total_timeout_ms is for small questions (metadata, tokens).
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/error.h"

struct http_client;
struct http_group;
struct http_request;

struct http_options {
    const char *user_agent;     /* copied; default "BackupManager/<version>" */
    int64_t connect_timeout_ms; /* default 15000 */
    int64_t stall_timeout_ms;   /* default 60000 */
    int max_connections;        /* kept open in all, default 256 */
};

/* curl_global_init is done here, once per process; SIGPIPE is ignored unless the program handles it. options
 * NULL: the defaults. ERROR_SYSTEM. */
int http_client_new(uv_loop_t *loop, const struct http_options *options, struct http_client **ret_client,
                    struct error *err);
/* Requests under way or waiting get ERROR_CANCELLED from the loop; on_closed (may be NULL) runs from the loop
 * once all handles are closed and the memory is gone. NULL client: on_closed is not run. */
void http_client_close(struct http_client *client, void (*on_closed)(void *data), void *data);

/* The group of that name, made at first use, kept while the client lives (at most 4096 names; beyond that
 * NULL). max_active <= 0: no bound; bytes_per_second 0: no limit. The last call's values hold from now on,
 * for transfers under way too. The limit counts bytes sent and bytes received, each, over all requests of the
 * group. */
struct http_group *http_client_group(struct http_client *client, const char *name, int max_active,
                                     int64_t bytes_per_second);

/* Another stall_timeout_ms for requests to come: a person who waits has less patience than a worker. */
void http_client_set_stall_timeout(struct http_client *client, int64_t stall_timeout_ms);

enum http_proxy {
    HTTP_PROXY_ENVIRONMENT, /* http_proxy, https_proxy, no_proxy */
    HTTP_PROXY_NEVER,       /* metadata addresses */
};

struct http_response {
    int status;
    const char *body; /* what was kept: up to response_max bytes; never NULL, NUL-terminated */
    size_t body_size;
    uint64_t received; /* bytes of the body, kept or given to on_body */
    /* the value of a header (name without case; the last one when repeated), or NULL */
    const char *(*header)(const struct http_response *response, const char *name);
    const void *headers; /* private */
};

/*
 * What to ask. Everything is copied by http_start except body memory, body_fd and the atomics, which stay the
 * caller's and unchanged until `done`.
 *
 * done: response NULL on an error, err NULL otherwise; whatever the HTTP status is, an answer is an answer.
 *
 *   ERROR_UNREACHABLE  resolve, connect, TLS handshake (a certificate that isn't trusted is ERROR_DENIED, not
 *                      retryable, and says what to do: ca_file), connection broken or answer cut short
 *   ERROR_TIMEOUT      one of the three bounds
 *   ERROR_LIMIT        the answer is longer than response_max; retryable: it may be a proxy's
 *   ERROR_PROTOCOL     not HTTP, a header block over 64 KiB, more than 32 answers 1xx; retryable
 *   ERROR_INPUT        ca_file can't be read or holds no certificate; not retryable
 *   ERROR_IO           body_fd can't be read, or ends before body_size (ERROR_CORRUPT)
 *   ERROR_CANCELLED    http_cancel or http_client_close
 *   what on_body returned, ERROR_SYSTEM
 *
 * Messages hold scheme, host and port, never a path, a query, or a header. native "sent" tells that the whole
 * request had been sent when it failed: the peer may have carried it out.
 */
struct http_ask {
    const char *method;         /* "GET", "PUT", ... */
    const char *url;            /* used as it is on the wire: no path normalisation */
    const char *const *headers; /* "Name: value" lines; "Name:" removes one that would be sent */
    int n_headers;
    struct http_group *group; /* NULL: none */

    /* The body: memory, or body_fd >= 0 read by offset (pread, read-ahead; position unused). Content-Length
     * is always sent with PUT and POST. Sent again from its start when a reused connection turns out to be
     * dead. */
    const void *body;
    int body_fd; /* -1 = memory; mind that 0 is a descriptor */
    uint64_t body_offset;
    uint64_t body_size;
    /* Memory in front of the body and behind it, such as the frame of multipart/related: of Content-Length,
     * but neither of body_size nor of bytes_sent. */
    const void *body_head, *body_tail;
    size_t body_head_size, body_tail_size;
    bool expect_continue; /* waits up to 1 s for 100 before the body */
    /* For what must not be carried out twice: over a kept connection that the peer ends without an answer,
     * the request would be sent again. */
    bool fresh_connection;

    /* The answer's body is kept in memory, unless on_body is given and the status is 2xx. on_body runs on the
     * loop; it returns 0, or a negative code with err filled, which ends the request. */
    size_t response_max; /* default 1 MiB */
    int (*on_body)(void *data, const void *bytes, size_t size, struct error *err);

    const char *ca_file; /* PEM, trusted instead of the system's; NULL = the system's. A changed file is seen
                            within a minute */
    enum http_proxy proxy;
    int64_t connect_timeout_ms, stall_timeout_ms, total_timeout_ms; /* 0 = the client's; total: none */

    _Atomic uint64_t *bytes_sent; /* body bytes given to the socket, for progress; may be NULL. Set to the
                                     amount of this request (not added): a body sent again counts from 0 */
    void (*done)(void *data, const struct http_response *response, const struct error *err);
    void *data;
};

/* done runs exactly once from the loop, never before return; or a negative code is returned and done never
 * runs (ERROR_INPUT: a URL that isn't http:// or https://, or holds a user name, a blank, a control character
 * or '#'; a header that isn't "Name: value" or holds CR or LF; a method that isn't upper-case letters.
 * ERROR_SYSTEM. ERROR_CANCELLED: the client is being closed). *ret_request (may be NULL) is valid until done
 * has returned. */
int http_start(struct http_client *client, const struct http_ask *ask, struct http_request **ret_request,
               struct error *err);

/* Ends the request soon: done runs from the loop with ERROR_CANCELLED. From any callback of the loop, on_body
 * and done included; does nothing once it has ended. */
void http_cancel(struct http_request *request);
