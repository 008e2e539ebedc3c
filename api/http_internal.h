/* What the files of http*.c share. */
#pragma once

#include <microhttpd.h>
#include <sys/queue.h>

#include "http.h"

#define HTTP_HEADERS_MAX 24
#define HTTP_DIGEST_SIZE 33

struct http_connection;
TAILQ_HEAD(http_connections, http_connection);

/* What a connection's deadline is for. */
enum http_phase { HTTP_ARRIVING, HTTP_IDLE, HTTP_ANSWERING, HTTP_PHASES, HTTP_NO_DEADLINE = HTTP_PHASES };

struct http_connection {
    struct http_server *server;
    struct MHD_Connection *handle;
    struct http_request *request; /* not completed yet */
    enum http_phase phase;
    bool refused; /* answered while the client may still be sending */
    bool late;    /* its deadline is over */
    int64_t due_ms;
    TAILQ_ENTRY(http_connection) link; /* while it has a deadline: in deadlines[phase] */
};

struct http_server {
    uv_loop_t *loop;
    struct MHD_Daemon *daemon;
    struct http_app app;
    struct http_limits limits;
    uv_poll_t poll;
    uv_timer_t timer;    /* libmicrohttpd's own time-outs; and 0 to have it run soon */
    uv_timer_t deadline; /* the earliest of deadlines */
    uv_timer_t look;     /* whether clients have left */
    uv_timer_t grace;
    int handles;
    struct http_connections deadlines[HTTP_PHASES]; /* each in order: the earliest first */
    LIST_HEAD(, http_request) requests;             /* their first line is in; not completed */
    int n_requests;                                 /* those of them whose headers are in */
    LIST_HEAD(, http_lingering) lingering;
    unsigned n_lingering;
    int n_held; /* those of them that the app has seen and nobody has replied to */
    unsigned n_streams;
    size_t bodies;   /* bytes of memory that bodies hold */
    size_t answers;  /* and answers */
    bool has_closed; /* a connection, since libmicrohttpd began to run */
    bool draining;
    bool ending; /* no request is served any more */
    void (*on_idle)(void *data);
};

/*
 *   NEW -- the headers are in --> DECIDING: begin() has it
 *    |                               |  +-- http_accept --> ACCEPTED: the body comes in --> SERVING: serve()
 * has |                               |                                                        it
 *    +-- refused by http itself --+  |                                                        |
 *                                 v  v                                                        v
 *                                REPLIED <----- (COMPRESSING, in the thread pool) <------- http_reply...
 *
 * Who is DECIDING, SERVING or COMPRESSING when libmicrohttpd's callback returns sleeps: the connection is
 * suspended; libmicrohttpd neither reads it nor times it out, nor can it end.
 */
enum http_state {
    HTTP_NEW,
    HTTP_DECIDING,
    HTTP_ACCEPTED,
    HTTP_SERVING,
    HTTP_COMPRESSING,
    HTTP_REPLIED,
};

struct http_kept {
    void *object;
    void (*release)(void *object);
    struct http_kept *next;
};

struct http_answer_header {
    char *name, *value;
};

struct http_request {
    struct http_server *server;
    struct http_connection *connection;
    struct MHD_Connection *handle;
    enum http_state state;
    bool asleep;
    bool headers_done; /* libmicrohttpd goes on to the body */
    bool must_close;   /* what follows on this connection can't be trusted */
    bool body_refused; /* too many bodies at once */
    bool use_etag;
    bool header_refused;
    LIST_ENTRY(http_request) link;

    enum http_method method;
    char *target; /* as it came, cut into path and query */
    const char *path;
    const char *query;
    char remote[48];
    int64_t declared; /* Content-Length, -1: none */
    char *body;
    size_t body_size;
    size_t body_capacity;
    void *context;
    struct http_kept *kept;

    struct {
        unsigned status;
        char content_type[128];        /* "": no content */
        char digest[HTTP_DIGEST_SIZE]; /* of the bytes, before they are compressed; "": no ETag */
        bool varies;                   /* would be compressed for others */
        bool gzip;
    } answer;
    struct http_answer_header headers[HTTP_HEADERS_MAX];
    unsigned n_headers;
    size_t answer_size; /* of server->answers */
    struct MHD_Response *response;
    struct http_deflate *deflate; /* while COMPRESSING */
    struct http_stream stream;    /* read == NULL: none */
    int64_t stream_length;
    bool stream_counted;
    bool stream_refused; /* something else is sent instead */
    bool stream_waits;
};

/* -- http.c */

/* Has libmicrohttpd run in this turn of the loop or the next. */
void http_run_soon(struct http_server *server);
void http_sleep(struct http_request *request);
/* Nothing when it does not sleep. */
void http_wake(struct http_request *request);

/* -- http_deadline.c */

void http_deadline_set(struct http_connection *connection, enum http_phase phase);
void http_deadline_clear(struct http_connection *connection);
void http_deadline_on_timer(uv_timer_t *timer);
/* The server drains: connections that wait for a request end, now and from now on. */
void http_deadline_end_idle(struct http_server *server);

/* -- http_linger.c */

/* libmicrohttpd is about to close the connection's descriptor. */
void http_linger(struct http_connection *connection);
void http_linger_end_all(struct http_server *server);

/* -- http_request.c: libmicrohttpd's callbacks; data is the server */

void *http_on_target(void *data, const char *target, struct MHD_Connection *handle);
enum MHD_Result http_on_request(void *data, struct MHD_Connection *handle, const char *url,
                                const char *method, const char *version, const char *upload_data,
                                size_t *upload_data_size, void **state);
void http_on_completed(void *data, struct MHD_Connection *handle, void **state,
                       enum MHD_RequestTerminationCode why);
/* After an error of its own libmicrohttpd may forget a request. Nothing when there is none. */
void http_request_forgotten(struct http_connection *connection);

/* -- http_framing.c */

/* method, url and version as libmicrohttpd gives them. Looks at the target and the headers; sets path, query,
 * declared and remote. True: fine. False: has been replied to, must_close set where the request's end is not
 * known for sure. */
bool http_framing_check(struct http_request *request, const char *method, const char *url,
                        const char *version);

/* -- http_answer.c */

/* Without a response (memory) the connection is closed. */
enum MHD_Result http_queue_response(struct http_request *request);
/* The request is replied to with what request->answer says and `bytes` (taken over), and wakes. */
void http_answer_bytes(struct http_request *request, char *bytes, size_t size);
/* The request is replied to with `response` (taken over, NULL: memory; without headers yet), and wakes. */
void http_answer(struct http_request *request, struct MHD_Response *response);
void http_answer_deinit(struct http_request *request);
/* True: an answer without the header would say something else, another one was given. */
bool http_header_was_refused(struct http_request *request);
/* An ETag's text; "" when memory is out: an answer without one is as good. */
void http_digest(const char *bytes, size_t size, char digest[HTTP_DIGEST_SIZE]);
/* The answer becomes a 304 when the client names its digest. */
void http_answer_not_modified(struct http_request *request);

/* -- http_deflate.c */

/* gzip; malloc'ed. NULL: memory is out, or the bytes are too many. */
char *http_pack(const char *bytes, size_t size, int level, size_t *ret_size);
/* http_answer_bytes with the bytes (taken over) compressed, at once or from the thread pool. */
void http_deflate(struct http_request *request, char *bytes, size_t size);
/* The server ends: the request is replied to without an answer; a thread may still read the bytes. */
void http_deflate_abandon(struct http_request *request);
