/*
 * HTTP/1.1 on one accepted socket, plain or TLS, blocking: a thread reads a request's head, takes its body
 * and throws it away, and writes the answer. Bodies over plain HTTP are never copied out of the kernel
 * (MSG_TRUNC), but for the first 4 KiB of a POST, where some protocols have what they say of an object.
 */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WIRE_HEAD_MAX = 64 * 1024, WIRE_HEADERS_MAX = 100, WIRE_START_MAX = 4096 };

struct wire {
    int fd;
    SSL *ssl; /* NULL = plain */
    size_t start, end;
    char buffer[WIRE_HEAD_MAX];
};

struct wire_header {
    const char *name, *value;
};

/* Points into the connection's buffer: valid until the next wire_read_head. */
struct wire_request {
    const char *method;
    char *path;        /* as sent, without the query */
    const char *query; /* "" when there is none */
    struct wire_header headers[WIRE_HEADERS_MAX];
    int n_headers;
    uint64_t body_size; /* chunked: once it has been dropped */
    bool expects_continue, chunked, tls;
    char head[WIRE_HEAD_MAX];
    char start[WIRE_START_MAX + 1]; /* of a POST's body, once it has been dropped; ends in NUL */
    size_t start_size, start_room;
};

/* Takes the socket over. tls NULL = plain. false: the handshake failed; the socket is closed. */
bool wire_open(struct wire *wire, int fd, SSL_CTX *tls);
void wire_close(struct wire *wire);

/* false: the peer has gone, or what it sent is nothing this server reads (a head over 64 KiB). */
bool wire_read_head(struct wire *wire, struct wire_request *request);
/* Says 100 Continue when it is waited for, then reads the body and forgets it, but for a POST's start. */
bool wire_drop_body(struct wire *wire, struct wire_request *request);
bool wire_write(struct wire *wire, const char *bytes, size_t size);

/* A header's value, name in any case, or NULL. */
const char *wire_header(const struct wire_request *request, const char *name);
