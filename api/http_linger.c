/*
 * The end of a connection whose client may still be sending: were it closed, the kernel would answer what
 * arrives with a reset, and the client would lose the answer that says why. So a copy of the descriptor stays
 * open behind libmicrohttpd's back, and what arrives is thrown away until the client has closed too, or
 * limits.linger_ms are over. At most LINGERING_MAX at a time; more are closed at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http_internal.h"

#define LINGERING_MAX 64
#define BLOCK ((size_t)64 << 10)
#define BLOCKS_AT_ONCE 4

struct http_lingering {
    struct http_server *server;
    int fd;
    uv_poll_t poll;
    uv_timer_t timer;
    int handles;
    LIST_ENTRY(http_lingering) link;
};

static void on_handle_closed(uv_handle_t *handle)
{
    struct http_lingering *l = handle->data;
    if (--l->handles)
        return;
    close(l->fd);
    free(l);
}

static void end(struct http_lingering *l)
{
    LIST_REMOVE(l, link);
    l->server->n_lingering--;
    uv_close((uv_handle_t *)&l->poll, on_handle_closed);
    uv_close((uv_handle_t *)&l->timer, on_handle_closed);
}

static void on_timer(uv_timer_t *timer)
{
    end(timer->data);
}

/* True: the client has closed, or is gone. */
static bool is_over(int fd)
{
    static char thrown_away[BLOCK];
    for (int i = 0; i < BLOCKS_AT_ONCE; i++) {
        ssize_t n = recv(fd, thrown_away, sizeof thrown_away, MSG_DONTWAIT);
        if (n <= 0)
            return n == 0 || (errno != EAGAIN && errno != EINTR);
    }
    return false;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct http_lingering *l = poll->data;
    (void)events;
    if (status || is_over(l->fd))
        end(l);
}

static bool has_unread(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

void http_linger(struct http_connection *connection)
{
    struct http_server *server = connection->server;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection->handle, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (server->ending || connection->late || info == NULL || server->n_lingering == LINGERING_MAX ||
        !(connection->refused || has_unread(info->connect_fd)))
        return;
    struct http_lingering *l = calloc(1, sizeof *l);
    int fd = l ? fcntl(info->connect_fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (fd < 0 || uv_poll_init(server->loop, &l->poll, fd)) {
        if (fd >= 0)
            close(fd);
        free(l);
        return;
    }
    uv_timer_init(server->loop, &l->timer);
    l->server = server;
    l->fd = fd;
    l->poll.data = l->timer.data = l;
    l->handles = 2;
    LIST_INSERT_HEAD(&server->lingering, l, link);
    server->n_lingering++;
    uv_poll_start(&l->poll, UV_READABLE, on_readable);
    uv_timer_start(&l->timer, on_timer, (uint64_t)server->limits.linger_ms, 0);
}

void http_linger_end_all(struct http_server *server)
{
    while (!LIST_EMPTY(&server->lingering))
        end(LIST_FIRST(&server->lingering));
}
