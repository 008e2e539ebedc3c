/*
 * What the parts of the HTTP client share. Internal.
 *
 *   http.c           the client: groups, their first-in-first-out queues, the turn, time bounds, close
 *   http_request.c   one transfer: its easy handle, libcurl's callbacks, the body read by offset
 *   http_response.c  what is kept of an answer: status lines, headers, body
 *   http_error.c     what libcurl says, as struct error
 *   http_socket.c    libcurl's sockets and timer on the loop
 *   http_pace.c      bandwidth limits
 *
 * A request's life:
 *
 *   WAITING (in its group's queue) -> RUNNING (libcurl has it) -> ENDED (told in the next turn, then freed)
 *
 * Handles are added to libcurl and removed from it in the turn only (an idle callback), never within one of
 * libcurl's own callbacks; `done` runs there too. Everything else that ends a request (an answer, a bound, a
 * cancel, a close) moves it to ENDED and asks for a turn.
 */
#pragma once

#include <curl/curl.h>

#include "base/strbuf.h"
#include "loop/http.h"

enum http_direction { HTTP_RECEIVE, HTTP_SEND };
enum { HTTP_DIRECTIONS = 2 };

/* -- lists -- */

struct http_list {
    struct http_request *head;
    struct http_request *tail;
};

void http_list_push(struct http_list *list, struct http_request *request);
void http_list_remove(struct http_list *list, struct http_request *request);

/* -- sockets and bandwidth -- */

/* One socket that libcurl wants watched. */
struct http_watch {
    uv_poll_t poll;
    struct http_client *client;
    struct http_watch *previous, *next; /* in client->watches */
    struct http_request *request;       /* whose bytes go through it now; NULL: nobody's */
    int wanted;                         /* by libcurl: UV_READABLE, UV_WRITABLE */
    int watched;
};

/* One direction of a group under a bandwidth limit: what was earned and not used, and who waits for more. */
struct http_flow {
    int64_t credit; /* thousandths of a byte; negative when more was moved than earned */
    int64_t at_ms;
    struct http_request *head, *tail;
};

struct http_group {
    struct http_client *client;
    struct http_group *next;
    struct http_group *next_ready;
    bool ready; /* in client->ready: something waits and may start */
    char *name;
    int max_active;
    int active;
    int64_t bytes_per_second;
    struct http_list waiting;
    struct http_flow flows[HTTP_DIRECTIONS];
    struct http_group *next_paced;
    bool paced; /* in client->paced: requests wait in its flows */
};

/* May a chunk be moved now? If not, the request waits from now on until it may. */
bool http_pace_may(struct http_request *request, enum http_direction direction);
/* Bytes were moved. */
void http_pace_take(struct http_group *group, enum http_direction direction, size_t n);
/* The most that one call should send; the size of libcurl's receive buffer. */
size_t http_pace_chunk(const struct http_group *group, size_t n);
size_t http_pace_buffer(const struct http_group *group);
/* The request waits for nothing any more. */
void http_pace_forget(struct http_request *request);
/* A limit was changed: who may go on does so soon. */
void http_pace_changed(struct http_client *client);

/* -- the client -- */

struct http_client {
    uv_loop_t *loop;
    CURLM *multi;
    char *user_agent;
    int64_t connect_timeout_ms;
    int64_t stall_timeout_ms;
    struct http_group ungrouped;
    struct http_group *groups;
    int n_groups;
    struct http_group *ready;
    struct http_group *paced;
    struct http_request *requests; /* all of them */
    struct http_list running;
    struct http_list ended;
    struct http_watch *watches;
    uv_idle_t turn;
    uv_timer_t curl_timer;  /* libcurl's */
    uv_timer_t bound_timer; /* ours: stalled, out of time */
    uv_timer_t pace_timer;
    int64_t bound_due; /* when bound_timer fires; INT64_MAX: it does not run */
    bool poke;         /* libcurl asked for a call as soon as possible */
    bool closing;
    bool closed; /* handles are closing, nothing else is left */
    int n_handles;
    void (*on_closed)(void *data);
    void *closed_data;
};

int64_t http_now_ms(const struct http_client *client);
void http_kick(struct http_client *client);
/* No bound is over before; starts or shortens the timer. */
void http_bound_arm(struct http_client *client, int64_t due);
void http_release_handle(struct http_client *client);

/* Tells libcurl what happened on a socket (CURL_SOCKET_TIMEOUT: its timer), and ends what has ended by it. */
void http_curl_action(struct http_client *client, curl_socket_t fd, int events);
/* What the request's sockets are watched for may have changed. */
void http_watch_request(struct http_request *request);
void http_watch_drop(struct http_watch *watch);
int http_socket_set_up(struct http_client *client, struct error *err);

/* -- one request -- */

enum http_state { HTTP_WAITING, HTTP_RUNNING, HTTP_ENDED };

struct http_kept {
    struct strbuf headers; /* of the last status line: "name\0value\0" ... */
    struct strbuf body;
    uint64_t received;
    int n_interim; /* status lines 1xx */
    bool in_headers;
};

struct http_request {
    struct http_client *client;
    struct http_group *group;
    struct http_request *all_previous, *all_next; /* in client->requests */
    struct http_request *previous, *next;         /* in the list of its state */
    enum http_state state;
    struct http_ask ask; /* strings below */
    char *method, *url, *ca_file;
    char *origin; /* "https://host:443", for messages */
    struct curl_slist *headers;
    CURL *easy;
    bool added;    /* libcurl has it */
    bool repeat;   /* ENDED, to be begun once more */
    bool repeated; /* it was */
    bool counted;  /* in its group's active ones */
    char curl_error[CURL_ERROR_SIZE];
    uint64_t position;   /* in the body: next byte to be read */
    uint64_t read_ahead; /* the kernel was told up to here */
    uint64_t body_sent;
    bool connected;                /* once: from then on the stall bound holds */
    bool sending;                  /* body bytes have begun to flow */
    bool sent;                     /* the whole request was, at least once */
    bool held[HTTP_DIRECTIONS];    /* waits in its group's flow */
    bool granted[HTTP_DIRECTIONS]; /* the next chunk passes */
    struct http_request *next_held[HTTP_DIRECTIONS];
    int64_t held_at;
    struct http_watch *watch; /* its connection's, once it has one */
    int64_t active_at;        /* last byte in either direction */
    int64_t answer_due; /* an answer that is kept in memory must be complete; INT64_MAX: none has begun */
    int64_t total_due;  /* INT64_MAX: no bound */
    struct http_kept kept;
    int status;
    struct error err;
};

int http_request_new(struct http_client *client, const struct http_ask *ask,
                     struct http_request **ret_request, struct error *err);
int http_request_open(struct http_request *request, struct error *err);
/* libcurl is through with it. */
void http_request_finish(struct http_request *request, CURLcode code);
/* Moves to ENDED; the first error stays. err NULL: none. */
void http_request_end(struct http_request *request, const struct error *err);
/* Ends this try; the next turn begins another one, on a fresh connection. */
void http_request_repeat(struct http_request *request);
/* Frees what a transfer needs; libcurl must have let go. */
void http_request_shut(struct http_request *request);
void http_request_free(struct http_request *request);
/* Something moved. */
void http_request_touch(struct http_request *request);
/* When to look again whether a bound is over; fills err and returns true when one is. */
bool http_request_overdue(const struct http_request *request, int64_t now, int64_t *ret_due,
                          struct error *err);

/* -- answers -- */

/* One header line as libcurl gives it. Fills err on a bound. */
int http_kept_line(struct http_kept *kept, const char *line, size_t size, struct error *err);
/* How long a whole answer that is kept may take from its first byte on. */
int64_t http_kept_allowance_ms(size_t response_max, int64_t stall_timeout_ms);
const char *http_kept_header(const struct http_response *response, const char *name);

/* -- errors -- */

void http_error_from_curl(struct error *err, const struct http_request *request, CURLcode code);
