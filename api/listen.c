#include "listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG 1024
#define SOCKET_FLAGS (SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC)

static int refuse(struct error *err, const char *text)
{
    return error_set(
        err, ERROR_INPUT, false,
        "BM_LISTEN: '%.200s' is not an address: write HOST:PORT, [IPV6]:PORT or unix:/PATH, such "
        "as 127.0.0.1:8000",
        text);
}

static int listen_failed(struct error *err, int errnum, const char *text)
{
    if (errnum == EADDRINUSE)
        return error_set(err, ERROR_EXISTS, false,
                         "BM_LISTEN: somebody else listens on %.200s; end that program or choose another "
                         "address",
                         text);
    return error_errno(err, errnum, "BM_LISTEN: can't listen on %.200s", text);
}

/* A socket file that a killed process left behind: nobody accepts there. */
static void remove_stale(const struct sockaddr_un *address)
{
    struct stat st;
    if (lstat(address->sun_path, &st) || !S_ISSOCK(st.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCKET_FLAGS, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) && errno == ECONNREFUSED)
        unlink(address->sun_path);
    close(fd);
}

static int open_unix(const char *text, struct listen_socket *ret, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = text + strlen("unix:");
    if (*path != '/' || strlen(path) >= sizeof address.sun_path)
        return error_set(err, ERROR_INPUT, false,
                         "BM_LISTEN: the path of '%.200s' must begin with '/' and have at most %zu bytes",
                         text, sizeof address.sun_path - 1);
    strcpy(address.sun_path, path);
    remove_stale(&address);
    int fd = socket(AF_UNIX, SOCKET_FLAGS, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, BACKLOG)) {
        int errnum = errno;
        if (fd >= 0)
            close(fd);
        return listen_failed(err, errnum, text);
    }
    ret->fd = fd;
    ret->exposed = false;
    strcpy(ret->path, path);
    snprintf(ret->address, sizeof ret->address, "unix:%s", path);
    return 0;
}

static bool is_loopback(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
    const struct in6_addr *ip = &((const struct sockaddr_in6 *)address)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(ip) || (IN6_IS_ADDR_V4MAPPED(ip) && ip->s6_addr[12] == 127);
}

static void describe(struct listen_socket *s)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    char host[256] = "?", port[16] = "?";
    getsockname(s->fd, (struct sockaddr *)&address, &size);
    getnameinfo((struct sockaddr *)&address, size, host, sizeof host, port, sizeof port,
                NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(s->address, sizeof s->address, address.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
    s->exposed = !is_loopback(&address);
}

static int bind_one(const struct addrinfo *candidate)
{
    int fd = socket(candidate->ai_family, SOCKET_FLAGS, 0);
    int on = 1;
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, candidate->ai_addr, candidate->ai_addrlen) || listen(fd, BACKLOG)) {
        int errnum = errno;
        close(fd);
        return -errnum;
    }
    return fd;
}

static int open_tcp(const char *text, struct listen_socket *ret, struct error *err)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || strlen(text) > 250)
        return refuse(err, text);
    const char *port = colon + 1;
    size_t digits = strspn(port, "0123456789");
    if (digits == 0 || digits > 5 || port[digits] || atoi(port) > 65535)
        return refuse(err, text);
    const char *begin = text;
    const char *end = colon;
    if (*begin == '[' && end[-1] == ']') {
        begin++;
        end--;
    } else if (memchr(begin, ':', (size_t)(end - begin))) {
        return refuse(err, text);
    }
    char host[256];
    snprintf(host, sizeof host, "%.*s", (int)(end - begin), begin);

    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(host, port, &hints, &found);
    if (rc)
        return error_set(err, ERROR_INPUT, false, "BM_LISTEN: host '%s': %s", host, gai_strerror(rc));
    int fd = -EADDRNOTAVAIL;
    for (const struct addrinfo *candidate = found; candidate && fd < 0; candidate = candidate->ai_next)
        fd = bind_one(candidate);
    freeaddrinfo(found);
    if (fd < 0)
        return listen_failed(err, -fd, text);
    ret->fd = fd;
    ret->path[0] = '\0';
    describe(ret);
    return 0;
}

int listen_open(const char *text, struct listen_socket *ret_socket, struct error *err)
{
    if (strncmp(text, "unix:", 5) == 0)
        return open_unix(text, ret_socket, err);
    return open_tcp(text, ret_socket, err);
}

void listen_close(struct listen_socket *listening)
{
    if (listening->fd >= 0)
        close(listening->fd);
    listening->fd = -1;
    if (listening->path[0])
        unlink(listening->path);
    listening->path[0] = '\0';
}
