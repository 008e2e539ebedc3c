/*
 * The server: libmicrohttpd on the loop, its beginning and end. libmicrohttpd is entered from pump() only, so
 * http_reply, called by PostgreSQL's or a file's callback, is never inside it while the request sleeps. What
 * becomes of a request: http_internal.h, http_request.c.
 */
#include "http.h"

#include <assert.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "base/utf8.h"
#include "http_internal.h"

/* All connections may come from one address: that of a reverse proxy. */
#define CONNECTIONS_MAX 4096
#define CONNECTIONS_PER_IP_MAX 3072
#define DESCRIPTORS_RESERVED 128
#define CONNECTION_MEMORY ((size_t)16 << 10)

const struct http_limits http_limits_default = {.arrive_ms = 30000,
                                                .idle_ms = 60000,
                                                .answer_ms = 600000,
                                                .linger_ms = 5000,
                                                .stall_s = 60,
                                                .bodies_max = (size_t)64 << 20,
                                                .answers_max = (size_t)256 << 20,
                                                .streams_max = 512};

static void on_timer(uv_timer_t *timer);
static void on_grace(uv_timer_t *timer);

static void pump(struct http_server *server)
{
    MHD_UNSIGNED_LONG_LONG wait_ms = 0;
    server->has_closed = false;
    MHD_run(server->daemon);
    if (server->has_closed || MHD_get_timeout(server->daemon, &wait_ms) == MHD_YES)
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

void http_run_soon(struct http_server *server)
{
    uv_timer_start(&server->timer, on_timer, 0, 0);
}

void http_sleep(struct http_request *request)
{
    assert(!request->asleep);
    request->asleep = true;
    MHD_suspend_connection(request->handle);
}

void http_wake(struct http_request *request)
{
    if (!request->asleep)
        return;
    request->asleep = false;
    MHD_resume_connection(request->handle);
    http_run_soon(request->server);
}

/* A connection without memory for its deadline is not kept: no request of it is served. */
static void on_connection(void *data, struct MHD_Connection *handle, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http_server *server = data;
    struct http_connection *connection = *context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        connection = calloc(1, sizeof *connection);
        *context = connection;
        if (connection == NULL)
            return;
        *connection = (struct http_connection){.server = server, .handle = handle, .phase = HTTP_NO_DEADLINE};
        http_deadline_set(connection, HTTP_ARRIVING);
        return;
    }
    /* At a limit libmicrohttpd no longer watches the socket that it listens on; there is room now, but it
     * looks for that only when it begins to run. */
    server->has_closed = true;
    if (connection) {
        http_linger(connection);
        http_request_forgotten(connection);
        http_deadline_clear(connection);
        free(connection);
        *context = NULL;
    }
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

/* Paths and queries stay as they came: decoding is done where an error can be told. */
static size_t leave_encoded(void *data, struct MHD_Connection *handle, char *text)
{
    (void)data;
    (void)handle;
    return strlen(text);
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

/* Not MHD_OPTION_STRICT_FOR_CLIENT: what that refuses http_framing.c refuses, with an answer. */
static struct MHD_Daemon *start_daemon(struct http_server *server, int listen_fd)
{
    unsigned limit = connection_limit();
    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, http_on_request, server,
        MHD_OPTION_EXTERNAL_LOGGER, on_daemon_message, NULL, MHD_OPTION_LISTEN_SOCKET, listen_fd,
        MHD_OPTION_NOTIFY_COMPLETED, http_on_completed, server, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
        server, MHD_OPTION_URI_LOG_CALLBACK, http_on_target, server, MHD_OPTION_UNESCAPE_CALLBACK,
        leave_encoded, server, MHD_OPTION_CONNECTION_LIMIT, limit, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        limit < CONNECTIONS_PER_IP_MAX ? limit : CONNECTIONS_PER_IP_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
        server->limits.stall_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, MHD_OPTION_END);
}

int http_server_new(uv_loop_t *loop, int listen_fd, const struct http_app *app,
                    const struct http_limits *limits, struct http_server **ret_server, struct error *err)
{
    struct http_server *server = calloc(1, sizeof *server);
    if (server == NULL) {
        close(listen_fd);
        return error_set(err, ERROR_SYSTEM, false, "out of memory");
    }
    *server = (struct http_server){.loop = loop, .app = *app, .limits = *limits};
    for (enum http_phase phase = 0; phase < HTTP_PHASES; phase++)
        TAILQ_INIT(&server->deadlines[phase]);
    server->daemon = start_daemon(server, listen_fd);
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
    uv_timer_init(loop, &server->deadline);
    uv_timer_init(loop, &server->look);
    uv_timer_init(loop, &server->grace);
    server->poll.data = server->timer.data = server->deadline.data = server->look.data = server->grace.data =
        server;
    server->handles = 5;
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
        log_warn("%d requests did not come to their end in time; closing their connections",
                 server->n_requests);
    uv_timer_stop(timer);
    server->draining = false;
    server->ending = true;
    if (on_idle)
        on_idle(server->app.data);
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

/* Streams of unknown length see `draining` when they are asked for more. */
static void wake_streams(struct http_server *server)
{
    struct http_request *request;
    LIST_FOREACH(request, &server->requests, link)
    if (request->stream.read)
        http_stream_wake(request);
}

void http_server_drain(struct http_server *server, int64_t grace_ms, void (*on_idle)(void *data))
{
    server->draining = true;
    take_in_what_arrived(server);
    MHD_socket fd = MHD_quiesce_daemon(server->daemon);
    if (fd != MHD_INVALID_SOCKET)
        close(fd);
    server->on_idle = on_idle;
    wake_streams(server);
    http_deadline_end_idle(server);
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
    struct http_request *request, *next;
    server->ending = true;
    for (request = LIST_FIRST(&server->requests); request; request = next) {
        next = LIST_NEXT(request, link);
        if (request->state == HTTP_COMPRESSING)
            http_deflate_abandon(request);
    }
    assert(server->n_held == 0);
    wake_streams(server);
    http_linger_end_all(server);
    uv_poll_stop(&server->poll);
    MHD_run(server->daemon); /* takes note of what was resumed */
    MHD_stop_daemon(server->daemon);
    assert(LIST_EMPTY(&server->requests));
    uv_close((uv_handle_t *)&server->poll, on_handle_closed);
    uv_close((uv_handle_t *)&server->timer, on_handle_closed);
    uv_close((uv_handle_t *)&server->deadline, on_handle_closed);
    uv_close((uv_handle_t *)&server->look, on_handle_closed);
    uv_close((uv_handle_t *)&server->grace, on_handle_closed);
}
