/*
 * bench_sink [--tls CERTIFICATE KEY]: a server of S3, Azure Blob Storage and Google Cloud Storage, by what a
 * request looks like, on a free port of 127.0.0.1, that throws bodies away, for benchmarks of clients. Prints
 * the port; on SIGTERM one line of JSON: connections, bytes, and how many requests of each kind came in, then
 * ends.
 *
 * It checks nothing: no signature, no token, no digest. What clients check it gives them without looking at
 * the data: the digests and the metadata that they sent. Sizes are counted. One thread per connection. TLS
 * takes AES-128-GCM where a client offers it, so that all clients pay for the same cipher.
 */
#include <netinet/in.h>
#include <openssl/err.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "answer.h"

static const char *const kind_names[KINDS] = {"put",      "head",  "delete", "create", "part",
                                              "complete", "abort", "list",   "bucket", "other"};

static struct {
    atomic_ullong requests[KINDS], connections, bytes, expected;
} counts;

static SSL_CTX *tls;

/* What comes to Google's paths is Google's protocol; Azure's clients say its version with each request. */
static enum kind judge(const struct wire_request *request, struct answer *answer)
{
    static const char google[] = "/storage/v1/b/", upload[] = "/upload";
    const char *path = request->path;
    path += strncmp(path, upload, strlen(upload)) == 0 ? strlen(upload) : 0;
    if (strncmp(path, google, strlen(google)) == 0)
        return gcs_judge(request, answer);
    return wire_header(request, "x-ms-version") ? azure_judge(request, answer) : s3_judge(request, answer);
}

static bool respond(struct wire *wire, const struct wire_request *request, const struct answer *answer)
{
    char text[sizeof(struct answer) + 512];
    bool is_head = strcmp(request->method, "HEAD") == 0;
    char date[64];
    time_t now = time(NULL);
    struct tm tm;
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
    int n = snprintf(text, sizeof text, "HTTP/1.1 %d %s\r\nServer: sink\r\nDate: %s\r\n%s", answer->status,
                     answer->reason, date, answer->headers);
    size_t used = (size_t)n;
    size_t body = strlen(answer->body);
    if (body > 0)
        used +=
            (size_t)snprintf(text + used, sizeof text - used, "Content-Type: %s\r\n", answer->content_type);
    if (answer->status != 204 && (!is_head || answer->status != 200))
        used += (size_t)snprintf(text + used, sizeof text - used, "Content-Length: %zu\r\n", body);
    used += (size_t)snprintf(text + used, sizeof text - used, "\r\n%s", is_head ? "" : answer->body);
    return wire_write(wire, text, used);
}

struct connection {
    struct wire wire;
    struct wire_request request;
    struct answer answer;
};

static void *serve(void *arg)
{
    struct connection *c = malloc(sizeof *c);
    if (c == NULL || !wire_open(&c->wire, (int)(intptr_t)arg, tls)) {
        free(c);
        return NULL;
    }
    while (wire_read_head(&c->wire, &c->request) && wire_drop_body(&c->wire, &c->request)) {
        answer_status(&c->answer, 200, "OK");
        c->answer.headers[0] = c->answer.body[0] = '\0';
        atomic_fetch_add(&counts.requests[judge(&c->request, &c->answer)], 1);
        atomic_fetch_add(&counts.bytes, c->request.body_size);
        atomic_fetch_add(&counts.expected, c->request.expects_continue);
        if (!respond(&c->wire, &c->request, &c->answer))
            break;
    }
    wire_close(&c->wire);
    free(c);
    return NULL;
}

static void *accept_all(void *arg)
{
    int listener = (int)(intptr_t)arg;
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            continue;
        pthread_t thread;
        atomic_fetch_add(&counts.connections, 1);
        if (pthread_create(&thread, &detached, serve, (void *)(intptr_t)fd) != 0)
            close(fd);
    }
    return NULL;
}

static SSL_CTX *load_tls(const char *certificate, const char *key)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL || SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384") != 1) {
        ERR_print_errors_fp(stderr);
        exit(1);
    }
    SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_default_read_buffer_len(ctx, 256 * 1024);
    return ctx;
}

static int listen_anywhere(unsigned *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 1024) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0) {
        perror("bench_sink: listen");
        exit(1);
    }
    *ret_port = ntohs(address.sin_port);
    return fd;
}

int main(int argc, char **argv)
{
    if (argc != 1 && !(argc == 4 && strcmp(argv[1], "--tls") == 0)) {
        fprintf(stderr, "usage: bench_sink [--tls CERTIFICATE KEY]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    if (argc == 4)
        tls = load_tls(argv[2], argv[3]);
    unsigned port;
    int listener = listen_anywhere(&port);
    pthread_t acceptor;
    if (pthread_create(&acceptor, NULL, accept_all, (void *)(intptr_t)listener) != 0)
        return 1;
    printf("%u\n", port);
    fflush(stdout);
    int signal_number;
    sigwait(&ends, &signal_number);
    printf("{\"connections\": %llu, \"bytes\": %llu, \"expected_continue\": %llu, \"uploads_open\": %d",
           atomic_load(&counts.connections), atomic_load(&counts.bytes), atomic_load(&counts.expected),
           uploads_open());
    for (int i = 0; i < KINDS; i++)
        printf(", \"%s\": %llu", kind_names[i], atomic_load(&counts.requests[i]));
    printf("}\n");
    fflush(stdout);
    _exit(0);
}
