/*
 * bench_sink [--tls CERTIFICATE KEY]: an S3 server on a free port of 127.0.0.1 that throws bodies away, for
 * benchmarks of clients. Prints the port; on SIGTERM one line of JSON: connections, bytes, and how many
 * requests of each kind came in, then ends.
 *
 * It checks nothing: no signature, no digest. What clients check it gives them without looking at the data:
 * an ETag is the Content-MD5 that came with the request (or a number, which no client takes for an MD5), HEAD
 * gives the size and the x-amz-meta-, x-amz-checksum- and Content-Type headers that were sent. One thread per
 * connection. TLS takes AES-128-GCM where a client offers it, so that all clients pay for the same cipher.
 */
#include <inttypes.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "objects.h"
#include "wire.h"

#define XML "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define XMLNS "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""

enum kind {
    PUT_OBJECT,
    HEAD_OBJECT,
    DELETE_OBJECT,
    CREATE_UPLOAD,
    UPLOAD_PART,
    COMPLETE_UPLOAD,
    ABORT_UPLOAD,
    LIST,
    BUCKET,
    OTHER,
    KINDS
};

static const char *const kind_names[KINDS] = {"put",      "head",  "delete", "create", "part",
                                              "complete", "abort", "list",   "bucket", "other"};

static struct {
    atomic_ullong requests[KINDS], connections, bytes, expected;
} counts;

static SSL_CTX *tls;

struct answer {
    int status;
    const char *reason;
    char headers[OBJECTS_HEADERS_MAX + 512];
    char body[1024];
};

__attribute__((format(printf, 2, 3))) static void add_header(struct answer *answer, const char *format, ...)
{
    size_t used = strlen(answer->headers);
    va_list args;
    va_start(args, format);
    vsnprintf(answer->headers + used, sizeof answer->headers - used, format, args);
    va_end(args);
}

static void answer_error(struct answer *answer, int status, const char *reason, const char *code)
{
    answer->status = status;
    answer->reason = reason;
    snprintf(answer->body, sizeof answer->body, XML "<Error><Code>%s</Code><Message>%s</Message></Error>",
             code, reason);
}

/* The value of a query parameter, up to the next '&', or NULL. */
static const char *parameter(const char *query, const char *name)
{
    size_t size = strlen(name);
    for (const char *at = query; at; at = strchr(at, '&')) {
        at += *at == '&';
        if (strncmp(at, name, size) == 0 && (at[size] == '=' || at[size] == '&' || at[size] == '\0'))
            return at[size] == '=' ? at + size + 1 : at + size;
    }
    return NULL;
}

/* The headers that HEAD gives back. */
static void keep_headers(const struct wire_request *request, char *out, size_t room)
{
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < request->n_headers; i++) {
        const struct wire_header *h = &request->headers[i];
        if (strncasecmp(h->name, "x-amz-meta-", 11) != 0 &&
            strncasecmp(h->name, "x-amz-checksum-", 15) != 0 && strcasecmp(h->name, "content-type") != 0)
            continue;
        int n = snprintf(out + used, room - used, "%s: %s\r\n", h->name, h->value);
        if (n < 0 || (size_t)n >= room - used) {
            out[used] = '\0';
            return;
        }
        used += (size_t)n;
    }
}

/* Content-MD5 in hexadecimal, where a client sent one; else a number of 16 digits. */
static void make_etag(const struct wire_request *request, char etag[OBJECTS_ETAG_MAX])
{
    static atomic_ullong last;
    const char *md5 = wire_header(request, "content-md5");
    unsigned char raw[32];
    if (md5 && strlen(md5) == 24 && EVP_DecodeBlock(raw, (const unsigned char *)md5, 24) == 18) {
        for (int i = 0; i < 16; i++)
            snprintf(etag + (size_t)2 * (size_t)i, 3, "%02x", raw[i]);
        return;
    }
    snprintf(etag, OBJECTS_ETAG_MAX, "%016llx", atomic_fetch_add(&last, 1) + 1);
}

static void echo_checksums(const struct wire_request *request, struct answer *answer)
{
    for (int i = 0; i < request->n_headers; i++)
        if (strncasecmp(request->headers[i].name, "x-amz-checksum-", 15) == 0)
            add_header(answer, "%s: %s\r\n", request->headers[i].name, request->headers[i].value);
}

static enum kind put(const struct wire_request *request, struct answer *answer)
{
    const char *number = parameter(request->query, "partNumber");
    struct object object = {.size = request->body_size};
    make_etag(request, object.etag);
    add_header(answer, "ETag: \"%s\"\r\n", object.etag);
    echo_checksums(request, answer);
    if (number == NULL) {
        keep_headers(request, object.headers, sizeof object.headers);
        objects_put(request->path, &object);
        return PUT_OBJECT;
    }
    const char *id = parameter(request->query, "uploadId");
    if (id == NULL ||
        !uploads_part(strtoull(id, NULL, 10), (uint32_t)strtoul(number, NULL, 10), request->body_size))
        answer_error(answer, 404, "Not Found", "NoSuchUpload");
    return UPLOAD_PART;
}

static enum kind post(const struct wire_request *request, struct answer *answer)
{
    char headers[OBJECTS_HEADERS_MAX];
    keep_headers(request, headers, sizeof headers);
    if (parameter(request->query, "uploads")) {
        snprintf(answer->body, sizeof answer->body,
                 XML "<InitiateMultipartUploadResult " XMLNS
                     "><Bucket>b</Bucket><Key>k</Key><UploadId>%" PRIu64
                     "</UploadId></InitiateMultipartUploadResult>",
                 uploads_begin(request->path, headers));
        return CREATE_UPLOAD;
    }
    const char *id = parameter(request->query, "uploadId");
    struct object object;
    if (id == NULL) {
        answer_error(answer, 501, "Not Implemented", "NotImplemented");
        return OTHER;
    }
    if (uploads_complete(strtoull(id, NULL, 10), headers, &object))
        snprintf(answer->body, sizeof answer->body,
                 XML "<CompleteMultipartUploadResult " XMLNS "><Location>l</Location><Bucket>b</Bucket>"
                     "<Key>k</Key><ETag>&quot;%s&quot;</ETag></CompleteMultipartUploadResult>",
                 object.etag);
    else
        answer_error(answer, 404, "Not Found", "NoSuchUpload");
    return COMPLETE_UPLOAD;
}

static enum kind head(const struct wire_request *request, struct answer *answer)
{
    struct object object;
    if (!objects_get(request->path, &object)) {
        answer_error(answer, 404, "Not Found", "NoSuchKey");
        return HEAD_OBJECT;
    }
    add_header(answer,
               "ETag: \"%s\"\r\nContent-Length: %" PRIu64
               "\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nAccept-Ranges: bytes\r\n%s",
               object.etag, object.size, object.headers);
    return HEAD_OBJECT;
}

static enum kind get(const struct wire_request *request, struct answer *answer, bool is_bucket)
{
    if (!is_bucket) {
        answer_error(answer, 501, "Not Implemented", "NotImplemented");
        return OTHER;
    }
    if (parameter(request->query, "uploads"))
        snprintf(answer->body, sizeof answer->body,
                 XML "<ListMultipartUploadsResult " XMLNS
                     "><Bucket>b</Bucket><IsTruncated>false</IsTruncated>"
                     "</ListMultipartUploadsResult>");
    else if (parameter(request->query, "location"))
        snprintf(answer->body, sizeof answer->body, XML "<LocationConstraint " XMLNS "/>");
    else
        snprintf(answer->body, sizeof answer->body,
                 XML "<ListBucketResult " XMLNS "><Name>b</Name><KeyCount>0</KeyCount><MaxKeys>1000</MaxKeys>"
                     "<IsTruncated>false</IsTruncated></ListBucketResult>");
    return LIST;
}

static enum kind delete (const struct wire_request *request, struct answer *answer) {
    const char *id = parameter(request->query, "uploadId"); answer->status = 204;
    answer->reason = "No Content"; if (id == NULL){objects_delete(request->path); return DELETE_OBJECT;}
if (!uploads_abort(strtoull(id, NULL, 10))) answer_error(answer, 404, "Not Found", "NoSuchUpload");
return ABORT_UPLOAD;
}

static enum kind judge(const struct wire_request *request, struct answer *answer)
{
    const char *slash = strchr(request->path + 1, '/');
    bool is_bucket = slash == NULL || slash[1] == '\0';
    if (strcmp(request->method, "GET") == 0)
        return get(request, answer, is_bucket);
    if (is_bucket)
        return BUCKET;
    if (strcmp(request->method, "PUT") == 0)
        return put(request, answer);
    if (strcmp(request->method, "HEAD") == 0)
        return head(request, answer);
    if (strcmp(request->method, "POST") == 0)
        return post(request, answer);
    if (strcmp(request->method, "DELETE") == 0)
        return delete (request, answer);
    answer_error(answer, 501, "Not Implemented", "NotImplemented");
    return OTHER;
}

static bool respond(struct wire *wire, const struct wire_request *request, const struct answer *answer)
{
    char text[sizeof(struct answer) + 512];
    bool is_head = strcmp(request->method, "HEAD") == 0;
    char date[64];
    time_t now = time(NULL);
    struct tm tm;
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
    int n =
        snprintf(text, sizeof text, "HTTP/1.1 %d %s\r\nServer: sink\r\nx-amz-request-id: 0\r\nDate: %s\r\n%s",
                 answer->status, answer->reason, date, answer->headers);
    size_t used = (size_t)n;
    size_t body = strlen(answer->body);
    if (body > 0)
        used += (size_t)snprintf(text + used, sizeof text - used, "Content-Type: application/xml\r\n");
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
        c->answer.status = 200;
        c->answer.reason = "OK";
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
