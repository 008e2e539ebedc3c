/*
 * A scripted HTTP peer: every connection is served by a function of the test, in a thread of its own, with
 * blocking calls that say what is expected and what is answered. Plain or TLS with an authority made for the
 * test.
 */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define PEER_CONNECTIONS 256

struct peer;

struct peer_conn {
    struct peer *peer;
    int n; /* 0 = the first connection of this peer */
    int fd;
    SSL *ssl;
    pthread_t thread;
    char buffer[16384];
    size_t have;
    char head[16384]; /* of the last request, NUL-terminated */
    char method[16], target[4096];
    uint64_t body_size; /* of the last request's body, when it was read whole */
    char *body;
};

typedef void (*peer_fn)(struct peer_conn *c);

struct peer {
    int fd;
    int port;
    char url[64]; /* http://127.0.0.1:port */
    peer_fn serve;
    SSL_CTX *tls;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct peer_conn *conns[PEER_CONNECTIONS];
    atomic_int accepted;
    atomic_int requests;
    int count; /* the test's own, under mutex */
    char log[4096];
};

static inline ssize_t peer_recv(struct peer_conn *c, void *to, size_t n)
{
    if (c->ssl) {
        int got = SSL_read(c->ssl, to, (int)n);
        return got > 0 ? got : 0;
    }
    ssize_t got;
    do
        got = recv(c->fd, to, n, 0);
    while (got < 0 && errno == EINTR);
    return got > 0 ? got : 0;
}

static inline bool peer_send(struct peer_conn *c, const void *bytes, size_t n)
{
    const char *p = bytes;
    while (n > 0) {
        ssize_t sent = c->ssl ? SSL_write(c->ssl, p, (int)n) : send(c->fd, p, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        p += sent;
        n -= (size_t)sent;
    }
    return true;
}

static inline bool __attribute__((format(printf, 2, 3)))
peer_say(struct peer_conn *c, const char *format, ...)
{
    char text[16384];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return peer_send(c, text, (size_t)n);
}

static inline bool peer_answer(struct peer_conn *c, int status, const char *body)
{
    return peer_say(c, "HTTP/1.1 %d Word\r\nContent-Length: %zu\r\nX-Status: %d\r\n\r\n%s", status,
                    strlen(body), status, body);
}

/* The head of the next request; false when the client is gone. */
static inline bool peer_read_head(struct peer_conn *c)
{
    char *end;
    c->buffer[c->have] = '\0';
    while ((end = strstr(c->buffer, "\r\n\r\n")) == NULL) {
        if (c->have + 1 >= sizeof c->buffer)
            return false;
        ssize_t got = peer_recv(c, c->buffer + c->have, sizeof c->buffer - 1 - c->have);
        if (got == 0)
            return false;
        c->have += (size_t)got;
        c->buffer[c->have] = '\0';
    }
    size_t n = (size_t)(end - c->buffer) + 4;
    memcpy(c->head, c->buffer, n);
    c->head[n] = '\0';
    memmove(c->buffer, c->buffer + n, c->have - n);
    c->have -= n;
    sscanf(c->head, "%15s %4095s", c->method, c->target);
    atomic_fetch_add(&c->peer->requests, 1);
    return true;
}

/* The header's value in out, or an empty string. */
static inline bool peer_header(const struct peer_conn *c, const char *name, char *out, size_t size)
{
    out[0] = '\0';
    for (const char *line = strstr(c->head, "\r\n"); line && line[2] != '\r';
         line = strstr(line + 2, "\r\n")) {
        const char *p = line + 2, *colon = strchr(p, ':');
        if (colon == NULL || (size_t)(colon - p) != strlen(name) || strncasecmp(p, name, strlen(name)) != 0)
            continue;
        const char *end = strstr(colon, "\r\n");
        snprintf(out, size, "%.*s", (int)(end - colon - 2), colon + 2);
        return true;
    }
    return false;
}

/* At most n bytes of the body, from what was read ahead first. */
static inline size_t peer_read_some(struct peer_conn *c, char *to, size_t n)
{
    if (c->have == 0)
        return (size_t)peer_recv(c, to, n);
    n = n < c->have ? n : c->have;
    memcpy(to, c->buffer, n);
    memmove(c->buffer, c->buffer + n, c->have - n);
    c->have -= n;
    return n;
}

static inline bool peer_read_body(struct peer_conn *c)
{
    char length[32];
    peer_header(c, "Content-Length", length, sizeof length);
    c->body_size = strtoull(length, NULL, 10);
    c->body = realloc(c->body, c->body_size + 1);
    for (uint64_t at = 0; at < c->body_size;) {
        size_t got = peer_read_some(c, c->body + at, c->body_size - at);
        if (got == 0)
            return false;
        at += got;
    }
    c->body[c->body_size] = '\0';
    return true;
}

static inline bool peer_read(struct peer_conn *c)
{
    return peer_read_head(c) && peer_read_body(c);
}

/* Until the client closes the connection. */
static inline void peer_wait_gone(struct peer_conn *c)
{
    char bytes[4096];
    while (peer_recv(c, bytes, sizeof bytes) > 0)
        ;
}

/* Pending bytes are thrown away: the client sees RST. */
static inline void peer_reset(struct peer_conn *c)
{
    const struct linger hard = {.l_onoff = 1};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
}

static inline void *peer_serve(void *data)
{
    struct peer_conn *c = data;
    bool ok = true;
    if (c->peer->tls) {
        c->ssl = SSL_new(c->peer->tls);
        SSL_set_fd(c->ssl, c->fd);
        ok = SSL_accept(c->ssl) == 1;
    }
    if (ok)
        c->peer->serve(c);
    pthread_mutex_lock(&c->peer->mutex);
    SSL_free(c->ssl);
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    pthread_cond_broadcast(&c->peer->changed);
    pthread_mutex_unlock(&c->peer->mutex);
    free(c->body);
    return NULL;
}

static inline void *peer_accept(void *data)
{
    struct peer *peer = data;
    for (int n = 0; n < PEER_CONNECTIONS; n++) {
        int fd = accept(peer->fd, NULL, NULL);
        if (fd < 0)
            return NULL;
        struct peer_conn *c = calloc(1, sizeof *c);
        c->peer = peer;
        c->n = n;
        c->fd = fd;
        pthread_mutex_lock(&peer->mutex);
        peer->conns[n] = c;
        pthread_mutex_unlock(&peer->mutex);
        atomic_fetch_add(&peer->accepted, 1); /* before its first answer can be seen */
        pthread_create(&c->thread, NULL, peer_serve, c);
    }
    return NULL;
}

static inline int peer_listen(int backlog, int *ret_port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, backlog) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        perror("peer");
        exit(1);
    }
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static inline void peer_start(struct peer *peer, peer_fn serve, SSL_CTX *tls)
{
    *peer = (struct peer){.serve = serve, .tls = tls};
    pthread_mutex_init(&peer->mutex, NULL);
    pthread_cond_init(&peer->changed, NULL);
    peer->fd = peer_listen(64, &peer->port);
    snprintf(peer->url, sizeof peer->url, "http%s://127.0.0.1:%d", tls ? "s" : "", peer->port);
    pthread_create(&peer->thread, NULL, peer_accept, peer);
}

static inline void peer_stop(struct peer *peer)
{
    if (peer->fd < 0)
        return;
    shutdown(peer->fd, SHUT_RDWR);
    pthread_join(peer->thread, NULL);
    close(peer->fd);
    peer->fd = -1;
    for (int n = 0; n < PEER_CONNECTIONS && peer->conns[n]; n++) {
        struct peer_conn *c = peer->conns[n];
        pthread_mutex_lock(&peer->mutex);
        if (c->fd >= 0)
            shutdown(c->fd, SHUT_RDWR);
        pthread_mutex_unlock(&peer->mutex);
        pthread_join(c->thread, NULL);
        free(c);
        peer->conns[n] = NULL;
    }
    pthread_cond_destroy(&peer->changed);
    pthread_mutex_destroy(&peer->mutex);
}

/* -- TLS -- */

struct authority {
    EVP_PKEY *key;
    X509 *certificate;
};

static inline void peer_add_extension(X509 *x, int nid, const char *value)
{
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
}

static inline X509 *peer_certificate(EVP_PKEY *key, const char *name, const char *alt,
                                     const struct authority *by, long valid_s)
{
    X509 *x = X509_new();
    X509_set_version(x, 2);
    static atomic_int serial = 1;
    ASN1_INTEGER_set(X509_get_serialNumber(x), atomic_fetch_add(&serial, 1));
    X509_gmtime_adj(X509_getm_notBefore(x), -86400 * 2);
    X509_gmtime_adj(X509_getm_notAfter(x), valid_s);
    X509_set_pubkey(x, key);
    X509_NAME *subject = X509_get_subject_name(x);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x, by ? X509_get_subject_name(by->certificate) : subject);
    if (alt)
        peer_add_extension(x, NID_subject_alt_name, alt);
    else
        peer_add_extension(x, NID_basic_constraints, "critical,CA:TRUE");
    X509_sign(x, by ? by->key : key, EVP_sha256());
    return x;
}

static inline void authority_init(struct authority *a, const char *pem_path)
{
    a->key = EVP_EC_gen("P-256");
    a->certificate = peer_certificate(a->key, "Test Authority", NULL, NULL, 86400);
    FILE *f = fopen(pem_path, "w");
    PEM_write_X509(f, a->certificate);
    fclose(f);
}

static inline void authority_deinit(struct authority *a)
{
    EVP_PKEY_free(a->key);
    X509_free(a->certificate);
}

/* A server's context whose certificate holds alt ("IP:127.0.0.1", "DNS:other.test"). */
static inline SSL_CTX *authority_server(const struct authority *a, const char *alt, long valid_s)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = peer_certificate(key, "server", alt, a, valid_s);
    SSL_CTX_use_certificate(tls, x);
    SSL_CTX_use_PrivateKey(tls, key);
    X509_free(x);
    EVP_PKEY_free(key);
    return tls;
}
