/*
 * libmicrohttpd's own time-out begins anew with every byte. Here every connection has a deadline for what it
 * is doing as a whole. All of one phase have the same time, so a list per phase is in order by itself.
 *
 * Who is late is shut down at the socket: libmicrohttpd sees that as the client's departure and cleans up.
 */
#include <sys/socket.h>

#include "base/log.h"
#include "http_internal.h"

static int64_t time_of(const struct http_server *server, enum http_phase phase)
{
    if (phase == HTTP_IDLE)
        return server->draining ? 0 : server->limits.idle_ms;
    return phase == HTTP_ARRIVING ? server->limits.arrive_ms : server->limits.answer_ms;
}

void http_deadline_clear(struct http_connection *connection)
{
    if (connection->phase != HTTP_NO_DEADLINE)
        TAILQ_REMOVE(&connection->server->deadlines[connection->phase], connection, link);
    connection->phase = HTTP_NO_DEADLINE;
}

/* A timer that fires too early does no harm: it is set anew then. */
void http_deadline_set(struct http_connection *connection, enum http_phase phase)
{
    struct http_server *server = connection->server;
    http_deadline_clear(connection);
    int64_t wait_ms = time_of(server, phase);
    connection->phase = phase;
    connection->due_ms = (int64_t)uv_now(server->loop) + wait_ms;
    TAILQ_INSERT_TAIL(&server->deadlines[phase], connection, link);
    if (!uv_is_active((uv_handle_t *)&server->deadline) ||
        (int64_t)uv_timer_get_due_in(&server->deadline) > wait_ms)
        uv_timer_start(&server->deadline, http_deadline_on_timer, (uint64_t)wait_ms, 0);
}

static void expire(struct http_connection *connection)
{
    static const char *const late[] = {"a request did not arrive whole", "no request came",
                                       "an answer was not taken"};
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection->handle, MHD_CONNECTION_INFO_CONNECTION_FD);
    log_debug("http: %s in time; closing the connection", late[connection->phase]);
    http_deadline_clear(connection);
    connection->late = true;
    if (info)
        shutdown(info->connect_fd, SHUT_RDWR);
}

void http_deadline_on_timer(uv_timer_t *timer)
{
    struct http_server *server = timer->data;
    int64_t now_ms = (int64_t)uv_now(server->loop), next_ms = INT64_MAX;
    bool expired = false;
    for (enum http_phase phase = 0; phase < HTTP_PHASES; phase++) {
        struct http_connection *connection;
        while ((connection = TAILQ_FIRST(&server->deadlines[phase])) && connection->due_ms <= now_ms) {
            expire(connection);
            expired = true;
        }
        if (connection && connection->due_ms < next_ms)
            next_ms = connection->due_ms;
    }
    if (next_ms < INT64_MAX)
        uv_timer_start(timer, http_deadline_on_timer, (uint64_t)(next_ms - now_ms), 0);
    if (expired)
        http_run_soon(server);
}

void http_deadline_end_idle(struct http_server *server)
{
    struct http_connection *connection;
    while ((connection = TAILQ_FIRST(&server->deadlines[HTTP_IDLE])))
        expire(connection);
    http_run_soon(server);
}
