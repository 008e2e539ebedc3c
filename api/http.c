/*
 * A request's life:
 *
 *   NEW -- first call of on_request: headers are in; refused there, or
 *    |     second call (a GET has no body): serve() runs
 *    +--> SERVING --> REPLIED   serve() replied at once: the answer is queued in the same call
 *    |
 *    +--> SERVING --> ASLEEP    it did not: the connection is suspended; libmicrohttpd neither reads it nor
 *                       |       times it out, nor can it end
 *                       +--> REPLIED   http_reply resumed it; the third call queues the answer
 *
 * on_completed frees the request, whatever became of the answer. libmicrohttpd is entered from pump() only,
 * so http_reply, called by PostgreSQL's or a file's callback, is never inside it while ASLEEP.
 */
#include "http.h"

#include <assert.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "base/utf8.h"

/* All connections may come from one address: that of a reverse proxy. */
#define CONNECTIONS_MAX 4096
#define CONNECTIONS_PER_IP_MAX 3072
#define DESCRIPTORS_RESERVED 128
#define CONNECTION_MEMORY ((size_t)16 << 10)
#define CONNECTION_TIMEOUT_S 30u
#define SERVED_AT_ONCE 256

enum request_state { REQUEST_NEW, REQUEST_SERVING, REQUEST_ASLEEP, REQUEST_REPLIED };

struct http_server {
    uv_loop_t *loop;
    struct MHD_Daemon *daemon;
    http_serve_fn serve;
    void *data;
    uv_poll_t poll;
    uv_timer_t timer;
    uv_timer_t grace;
    int handles;
    int n_requests; /* begun and not completed */
    int n_served;   /* those of them that serve() has seen and nobody has replied to */
    bool draining;
    bool ending; /* no request is served any more */
    void (*on_idle)(void *data);
};

struct http_request {
    struct http_server *server;
    struct MHD_Connection *connection;
    enum request_state state;
    char *path;
    struct MHD_Response *response;
    unsigned status;
};

static void on_timer(uv_timer_t *timer);
static void on_grace(uv_timer_t *timer);

static void pump(struct http_server *server)
{
    MHD_UNSIGNED_LONG_LONG wait_ms;
    MHD_run(server->daemon);
    if (MHD_get_timeout(server->daemon, &wait_ms) == MHD_YES)
        uv_timer_start(&server->timer, on_timer, wait_ms, 0);
    else
        uv_timer_stop(&server->timer);
    if (server->draining && server->n_requests == 0)
        uv_timer_start(&server->grace, on_grace, 0, 0);
}

static void on_timer(uv_timer_t *timer)
{
    pump(timer->data);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    pump(poll->data);
}

static struct MHD_Response *make_response(const json_t *body, unsigned status, bool close_after)
{
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    if (text == NULL)
        return NULL;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        free(text);
        return NULL;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    if (status == MHD_HTTP_SERVICE_UNAVAILABLE)
        MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "5");
    if (close_after)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    return response;
}

/* Without a response (memory) the connection is closed. */
static enum MHD_Result queue_response(struct http_request *request)
{
    if (request->response == NULL)
        return MHD_NO;
    enum MHD_Result result = MHD_queue_response(request->connection, request->status, request->response);
    MHD_destroy_response(request->response);
    request->response = NULL;
    return result;
}

static enum MHD_Result refuse(struct http_request *request, unsigned status, const char *why)
{
    json_t *body = json_pack("{s:s}", "error", why);
    request->state = REQUEST_REPLIED;
    request->status = status;
    request->response = make_response(body, status, true);
    json_decref(body);
    return queue_response(request);
}

static enum MHD_Result look_for_body(void *data, enum MHD_ValueKind kind, const char *name, const char *value)
{
    bool *has_body = data;
    (void)kind;
    if (strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0 ||
        (strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0 && (value == NULL || strcmp(value, "0") != 0)))
        *has_body = true;
    return MHD_YES;
}

/* Refusals close the connection, so that nothing behind an unread body is taken for a request. */
static enum MHD_Result on_headers(struct http_request *request, const char *method)
{
    bool has_body = false;
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, look_for_body, &has_body);
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return refuse(request, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD are served");
    if (has_body)
        return refuse(request, MHD_HTTP_BAD_REQUEST, "a request with a body is not served");
    if (request->path == NULL || request->server->n_served >= SERVED_AT_ONCE)
        return refuse(request, MHD_HTTP_SERVICE_UNAVAILABLE, "too many requests at once; ask again later");
    return MHD_YES;
}

static enum MHD_Result on_request(void *data, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload_data,
                                  size_t *upload_data_size, void **state)
{
    struct http_server *server = data;
    struct http_request *request = *state;
    (void)version;
    (void)upload_data;
    if (request == NULL) {
        request = calloc(1, sizeof *request);
        if (request == NULL)
            return MHD_NO;
        *request = (struct http_request){.server = server, .connection = connection, .path = strdup(url)};
        *state = request;
        server->n_requests++;
        return on_headers(request, method);
    }
    if (*upload_data_size) /* was refused already */
        return MHD_NO;
    if (request->state == REQUEST_NEW && server->ending)
        return refuse(request, MHD_HTTP_SERVICE_UNAVAILABLE, "the server is ending");
    if (request->state == REQUEST_NEW) {
        request->state = REQUEST_SERVING;
        server->n_served++;
        server->serve(server->data, request, request->path);
    }
    if (request->state == REQUEST_REPLIED)
        return queue_response(request);
    request->state = REQUEST_ASLEEP;
    MHD_suspend_connection(connection);
    return MHD_YES;
}

static void on_completed(void *data, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode why)
{
    struct http_server *server = data;
    struct http_request *request = *state;
    (void)connection;
    (void)why;
    if (request == NULL)
        return;
    assert(request->state != REQUEST_ASLEEP);
    if (request->response)
        MHD_destroy_response(request->response);
    free(request->path);
    free(request);
    *state = NULL;
    server->n_requests--;
}

static void on_daemon_message(void *data, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
static void on_daemon_message(void *data, const char *format, va_list args)
{
    char line[512];
    (void)data;
    vsnprintf(line, sizeof line, format, args);
    utf8_clean(line);
    log_debug("http: %s", line);
}

void http_reply(struct http_request *request, unsigned status, json_t *body)
{
    struct http_server *server = request->server;
    assert(request->state == REQUEST_SERVING || request->state == REQUEST_ASLEEP);
    request->status = status;
    request->response = make_response(body, status, server->draining);
    json_decref(body);
    server->n_served--;
    bool asleep = request->state == REQUEST_ASLEEP;
    request->state = REQUEST_REPLIED;
    if (!asleep)
        return;
    MHD_resume_connection(request->connection);
    uv_timer_start(&server->timer, on_timer, 0, 0);
}

void http_reply_error(struct http_request *request, unsigned status, const char *format, ...)
{
    char message[1200];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    utf8_clean(message);
    http_reply(request, status, json_pack("{s:s}", "error", message));
}

const char *http_query(const struct http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

/* Connections, as many as there may be descriptors for. */
static unsigned connection_limit(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files))
        return CONNECTIONS_MAX / 8;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    getrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur >= CONNECTIONS_MAX + DESCRIPTORS_RESERVED)
        return CONNECTIONS_MAX;
    return files.rlim_cur > 2 * DESCRIPTORS_RESERVED ? (unsigned)files.rlim_cur - DESCRIPTORS_RESERVED : 64;
}

int http_server_new(uv_loop_t *loop, int listen_fd, http_serve_fn serve, void *data,
                    struct http_server **ret_server, struct error *err)
{
    struct http_server *server = calloc(1, sizeof *server);
    if (server == NULL) {
        close(listen_fd);
        return error_set(err, ERROR_SYSTEM, false, "out of memory");
    }
    *server = (struct http_server){.loop = loop, .serve = serve, .data = data};
    unsigned limit = connection_limit();
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, server,
        MHD_OPTION_EXTERNAL_LOGGER, on_daemon_message, NULL, MHD_OPTION_LISTEN_SOCKET, listen_fd,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_CONNECTION_LIMIT, limit,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, limit < CONNECTIONS_PER_IP_MAX ? limit : CONNECTIONS_PER_IP_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, CONNECTION_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        CONNECTION_MEMORY, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    if (server->daemon == NULL) {
        close(listen_fd);
        free(server);
        return error_set(err, ERROR_SYSTEM, false, "libmicrohttpd can't be started");
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    int rc = info ? uv_poll_init(loop, &server->poll, info->epoll_fd) : UV_ENOSYS;
    if (rc) {
        MHD_stop_daemon(server->daemon);
        free(server);
        return error_set(err, ERROR_SYSTEM, false, "the HTTP server's epoll can't be watched: %s",
                         uv_strerror(rc));
    }
    uv_timer_init(loop, &server->timer);
    uv_timer_init(loop, &server->grace);
    server->poll.data = server->timer.data = server->grace.data = server;
    server->handles = 3;
    uv_poll_start(&server->poll, UV_READABLE, on_readable);
    pump(server);
    *ret_server = server;
    return 0;
}

static void on_grace(uv_timer_t *timer)
{
    struct http_server *server = timer->data;
    void (*on_idle)(void *data) = server->on_idle;
    if (server->n_requests)
        log_warn("%d answers were not taken in time; closing their connections", server->n_requests);
    uv_timer_stop(timer);
    server->draining = false;
    server->ending = true;
    if (on_idle)
        on_idle(server->data);
}

/* libmicrohttpd's epoll descriptor is readable as long as a connection waits to be accepted or something to
 * be read. A bounded number of times: clients may send without end. */
static void take_in_what_arrived(struct http_server *server)
{
    uv_os_fd_t epoll_fd;
    uv_fileno((uv_handle_t *)&server->poll, &epoll_fd);
    struct pollfd arrived = {.fd = epoll_fd, .events = POLLIN};
    for (int runs = 0; runs < CONNECTIONS_MAX && poll(&arrived, 1, 0) > 0; runs++)
        MHD_run(server->daemon);
}

void http_server_drain(struct http_server *server, int64_t grace_ms, void (*on_idle)(void *data))
{
    server->draining = true;
    take_in_what_arrived(server);
    MHD_socket fd = MHD_quiesce_daemon(server->daemon);
    if (fd != MHD_INVALID_SOCKET)
        close(fd);
    server->on_idle = on_idle;
    uv_timer_start(&server->grace, on_grace, server->n_requests ? (uint64_t)grace_ms : 0, 0);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct http_server *server = handle->data;
    if (--server->handles == 0)
        free(server);
}

void http_server_free(struct http_server *server)
{
    if (server == NULL)
        return;
    assert(server->n_served == 0);
    server->ending = true;
    uv_poll_stop(&server->poll);
    MHD_run(server->daemon); /* takes note of what was resumed */
    MHD_stop_daemon(server->daemon);
    uv_close((uv_handle_t *)&server->poll, on_handle_closed);
    uv_close((uv_handle_t *)&server->timer, on_handle_closed);
    uv_close((uv_handle_t *)&server->grace, on_handle_closed);
}
