#include "wire.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DROP_PIECE = 1 << 20, WAKE_FOR = 128 * 1024, CHUNK_LINE_MAX = 4096 };

bool wire_open(struct wire *wire, int fd, SSL_CTX *tls)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    wire->fd = fd;
    wire->ssl = NULL;
    wire->start = wire->end = 0;
    if (tls == NULL)
        return true;
    wire->ssl = SSL_new(tls);
    if (wire->ssl && SSL_set_fd(wire->ssl, fd) == 1 && SSL_accept(wire->ssl) == 1)
        return true;
    wire_close(wire);
    return false;
}

void wire_close(struct wire *wire)
{
    SSL_free(wire->ssl);
    close(wire->fd);
}

static long wire_read(struct wire *wire, char *into, size_t room)
{
    if (wire->ssl == NULL)
        return recv(wire->fd, into, room, 0);
    size_t n;
    return SSL_read_ex(wire->ssl, into, room, &n) == 1 ? (long)n : -1;
}

bool wire_write(struct wire *wire, const char *bytes, size_t size)
{
    while (size > 0) {
        size_t n = 0;
        if (wire->ssl) {
            if (SSL_write_ex(wire->ssl, bytes, size, &n) != 1)
                return false;
        } else {
            ssize_t sent = send(wire->fd, bytes, size, MSG_NOSIGNAL);
            if (sent <= 0)
                return false;
            n = (size_t)sent;
        }
        bytes += n;
        size -= n;
    }
    return true;
}

const char *wire_header(const struct wire_request *request, const char *name)
{
    for (int i = 0; i < request->n_headers; i++)
        if (strcasecmp(request->headers[i].name, name) == 0)
            return request->headers[i].value;
    return NULL;
}

/* Up to the empty line, into request->head; what follows stays in the buffer. */
static bool take_head(struct wire *wire, struct wire_request *request)
{
    memmove(wire->buffer, wire->buffer + wire->start, wire->end - wire->start);
    wire->end -= wire->start;
    wire->start = 0;
    for (;;) {
        const char *stop = memmem(wire->buffer, wire->end, "\r\n\r\n", 4);
        if (stop) {
            size_t size = (size_t)(stop - wire->buffer) + 2;
            memcpy(request->head, wire->buffer, size);
            request->head[size] = '\0';
            wire->start = size + 2;
            return true;
        }
        long n = wire->end < sizeof wire->buffer
                     ? wire_read(wire, wire->buffer + wire->end, sizeof wire->buffer - wire->end)
                     : -1;
        if (n <= 0)
            return false;
        wire->end += (size_t)n;
    }
}

static bool split_request_line(char *line, struct wire_request *request)
{
    char *rest = line;
    request->method = strsep(&rest, " ");
    request->path = strsep(&rest, " ");
    if (request->path == NULL || request->path[0] != '/')
        return false;
    char *query = strchr(request->path, '?');
    request->query = query ? query + 1 : "";
    if (query)
        *query = '\0';
    return true;
}

bool wire_read_head(struct wire *wire, struct wire_request *request)
{
    if (!take_head(wire, request))
        return false;
    char *rest = request->head;
    char *line = strsep(&rest, "\r");
    if (!split_request_line(line, request))
        return false;
    request->n_headers = 0;
    while (rest && *rest++ == '\n' && (line = strsep(&rest, "\r")) != NULL && *line) {
        char *colon = strchr(line, ':');
        if (colon == NULL || request->n_headers == WIRE_HEADERS_MAX)
            return false;
        *colon = '\0';
        request->headers[request->n_headers++] =
            (struct wire_header){line, colon + 1 + strspn(colon + 1, " \t")};
    }
    const char *encoding = wire_header(request, "transfer-encoding");
    request->chunked = encoding && strcasecmp(encoding, "chunked") == 0;
    request->tls = wire->ssl != NULL;
    request->start_size = 0;
    request->start_room = strcmp(request->method, "POST") == 0 ? WIRE_START_MAX : 0;
    request->start[0] = '\0';
    const char *length = wire_header(request, "content-length");
    request->body_size = length ? strtoull(length, NULL, 10) : 0;
    const char *expect = wire_header(request, "expect");
    request->expects_continue = expect && strcasecmp(expect, "100-continue") == 0;
    return true;
}

/* On loopback waking this thread is the sender's work. A network would bring more at a time, too. */
static void wake_for(const struct wire *wire, int bytes)
{
    setsockopt(wire->fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes);
}

static void keep_start(struct wire_request *request, const char *bytes, size_t size)
{
    size_t n = size < request->start_room ? size : request->start_room;
    memcpy(request->start + request->start_size, bytes, n);
    request->start_size += n;
    request->start_room -= n;
    request->start[request->start_size] = '\0';
}

static bool drop(struct wire *wire, struct wire_request *request, uint64_t left)
{
    static _Thread_local char piece[DROP_PIECE];
    bool long_body = left > 4 * (uint64_t)WAKE_FOR;
    if (long_body)
        wake_for(wire, WAKE_FOR);
    size_t had = wire->end - wire->start < left ? wire->end - wire->start : (size_t)left;
    keep_start(request, wire->buffer + wire->start, had);
    wire->start += had;
    left -= had;
    while (left > 0) {
        bool keep = request->start_room > 0;
        size_t most = keep ? request->start_room : sizeof piece;
        size_t want = left < most ? (size_t)left : most;
        long n = wire->ssl || keep ? wire_read(wire, piece, want) : recv(wire->fd, piece, want, MSG_TRUNC);
        if (n <= 0)
            return false;
        if (keep)
            keep_start(request, piece, (size_t)n);
        left -= (uint64_t)n;
        if (long_body && left < 2 * (uint64_t)WAKE_FOR) {
            wake_for(wire, 1);
            long_body = false;
        }
    }
    return true;
}

/* Up to CR LF; NULL: the peer has gone, or it is longer than any that frames a chunk. */
static const char *take_line(struct wire *wire)
{
    for (;;) {
        char *line = wire->buffer + wire->start;
        char *stop = memmem(line, wire->end - wire->start, "\r\n", 2);
        if (stop) {
            *stop = '\0';
            wire->start += (size_t)(stop - line) + 2;
            return line;
        }
        memmove(wire->buffer, line, wire->end - wire->start);
        wire->end -= wire->start;
        wire->start = 0;
        long n = wire->end < CHUNK_LINE_MAX ? wire_read(wire, wire->buffer + wire->end, CHUNK_LINE_MAX) : -1;
        if (n <= 0)
            return NULL;
        wire->end += (size_t)n;
    }
}

static bool drop_chunks(struct wire *wire, struct wire_request *request)
{
    uint64_t size;
    do {
        const char *line = take_line(wire);
        if (line == NULL)
            return false;
        size = strtoull(line, NULL, 16);
        if (!drop(wire, request, size) || take_line(wire) == NULL)
            return false;
        request->body_size += size;
    } while (size > 0);
    return true;
}

bool wire_drop_body(struct wire *wire, struct wire_request *request)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (request->expects_continue && !wire_write(wire, go_on, sizeof go_on - 1))
        return false;
    return request->chunked ? drop_chunks(wire, request) : drop(wire, request, request->body_size);
}
