/*
 * libmicrohttpd's own time-out begins anew with every byte. Here every connection has a deadline for what it
 * is doing as a whole. All of one phase have the same time, so a list per phase is in order by itself.
 *
 * Who is late is shut down at the socket: libmicrohttpd sees that as the client's departure and cleans up.
 * It does not see a departure that comes together with the client's last bytes; so who has left is looked
 * for as well, every LOOK_MS.
 */
#include <sys/socket.h>

#include "base/log.h"
#include "http_internal.h"

#define LOOK_MS 1000

static void on_look(uv_timer_t *timer);

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
    if (!uv_is_active((uv_handle_t *)&server->look))
        uv_timer_start(&server->look, on_look, LOOK_MS, 0);
}

static int descriptor_of(const struct http_connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection->handle, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info ? info->connect_fd : -1;
}

static void cut(struct http_connection *connection)
{
    http_deadline_clear(connection);
    connection->late = true;
    shutdown(descriptor_of(connection), SHUT_RDWR);
}

static void expire(struct http_connection *connection)
{
    static const char *const late[] = {"a request did not arrive whole", "no request came",
                                       "an answer was not taken"};
    log_debug("http: %s in time; closing the connection", late[connection->phase]);
    cut(connection);
}

/* Nothing more will come, and no whole request has: who only ended what it sends waits for its answer. */
static bool has_left(const struct http_connection *connection)
{
    char byte;
    return !(connection->request && connection->request->asleep) &&
           recv(descriptor_of(connection), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void on_look(uv_timer_t *timer)
{
    struct http_server *server = timer->data;
    static const enum http_phase waiting[] = {HTTP_ARRIVING, HTTP_IDLE};
    bool some = false;
    for (size_t i = 0; i < sizeof waiting / sizeof *waiting; i++) {
        struct http_connection *connection, *next;
        for (connection = TAILQ_FIRST(&server->deadlines[waiting[i]]); connection; connection = next) {
            next = TAILQ_NEXT(connection, link);
            some = true;
            if (has_left(connection))
                cut(connection);
        }
    }
    if (some)
        uv_timer_start(timer, on_look, LOOK_MS, 0);
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
