/*
 * Where a request ends, and whether two servers in a row would agree on it. What libmicrohttpd lets pass and
 * a proxy may read otherwise is refused, and the connection is closed: repeated Content-Length, any
 * Transfer-Encoding, a body where none belongs, control characters.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "http_internal.h"
#include "problem.h"

#define TARGET_MAX 4096
#define TARGET_SEEN_MAX (32 << 10) /* what libmicrohttpd has memory for, and more */
#define HEADERS_SIZE_MAX (8 << 10)
#define HEADERS_COUNT_MAX 100

struct headers {
    size_t size;
    unsigned count, n_lengths, n_encodings, n_hosts;
    bool unreadable;
    bool crooked;     /* a line did not end where it should */
    const char *next; /* where the next line begins if this one ends with CR LF */
    const char *length;
    const char *content_encoding;
};

/* libmicrohttpd takes "Content-Length : 5" as a header of another name; others do not. */
static bool is_name(const char *text)
{
    static const char token[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~";
    return *text && text[strspn(text, token)] == '\0';
}

static bool is_value(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if ((*p < 0x20 && *p != '\t') || *p == 0x7f)
            return false;
    return true;
}

/*
 * libmicrohttpd cuts lines in place, a NUL for each of ':', CR and LF: the value stands behind the name, and
 * the next line two bytes behind the value. Otherwise there was a lone LF, a NUL, or a line that goes on in
 * the next one; of that libmicrohttpd 0.9.75 makes another name ("Transfer-Encoding:" and " chunked" become
 * "Transfer-Encodingchunked"), where others see where the body ends.
 */
static bool is_line_of_its_own(const struct headers *h, const char *name, const char *value)
{
    const char *begin = name + strlen(name) + 1;
    return name == h->next && value >= begin && value - begin <= HEADERS_SIZE_MAX &&
           begin + strspn(begin, " \t") == value;
}

static enum MHD_Result look_at_header(void *data, enum MHD_ValueKind kind, const char *name,
                                      const char *value)
{
    struct headers *h = data;
    (void)kind;
    if (value == NULL)
        value = "";
    h->crooked |= !is_line_of_its_own(h, name, value);
    h->next = value + strlen(value) + 2;
    h->size += strlen(name) + strlen(value) + 4;
    h->count++;
    h->unreadable |= !is_name(name) || !is_value(value);
    if (strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0) {
        h->n_lengths++;
        h->length = value;
    } else if (strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0)
        h->n_encodings++;
    else if (strcasecmp(name, MHD_HTTP_HEADER_HOST) == 0)
        h->n_hosts++;
    else if (strcasecmp(name, MHD_HTTP_HEADER_CONTENT_ENCODING) == 0)
        h->content_encoding = value;
    return MHD_YES;
}

static bool refuse(struct http_request *request, unsigned status, const char *why)
{
    request->must_close = true;
    problem_reply(request, status, "%s", why);
    return false;
}

static bool takes_body(enum http_method method)
{
    return method == HTTP_POST || method == HTTP_PUT || method == HTTP_PATCH;
}

/* -1: not a number, or far too large. */
static int64_t parse_length(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    int64_t length = 0;
    if (digits == 0 || digits > 18 || text[digits])
        return -1;
    for (const char *p = text; *p; p++)
        length = length * 10 + (*p - '0');
    return length;
}

static bool check_body(struct http_request *request, const struct headers *h)
{
    if (h->n_lengths > 1)
        return refuse(request, 400, "Content-Length stands there more than once");
    if (h->n_encodings && h->n_lengths)
        return refuse(request, 400, "Content-Length and Transfer-Encoding together can't be read safely");
    if (h->n_encodings)
        return refuse(request, 411,
                      "Transfer-Encoding is not served: send the body whole, with Content-Length");
    if (h->n_lengths == 0)
        return true;
    request->declared = parse_length(h->length);
    if (request->declared < 0)
        return refuse(request, 400, "Content-Length is not a number of bytes");
    if (request->declared > 0 && !takes_body(request->method))
        return refuse(request, 400, "a request of this method with a body is not served");
    if (request->declared > (int64_t)HTTP_BODY_MAX)
        return refuse(request, 413, "the body is too large: at most 1 MiB is taken");
    if (request->declared > 0 && h->content_encoding && strcasecmp(h->content_encoding, "identity") != 0) {
        problem_reply(request, 415, "bodies are taken as they are, without Content-Encoding");
        return false;
    }
    return true;
}

static bool check_target(struct http_request *request)
{
    char *target = request->target;
    if (strlen(target) > TARGET_MAX)
        return refuse(request, 414, "the request's path and query are too long: at most 4096 bytes");
    for (const unsigned char *p = (const unsigned char *)target; *p; p++)
        if (*p <= 0x20 || *p >= 0x7f)
            return refuse(request, 400, "the request's path or query holds a byte that must be written %XX");
    /* absolute-form, as sent to proxies (RFC 9112, 3.2.2) */
    size_t scheme = strncasecmp(target, "http://", 7) == 0    ? 7
                    : strncasecmp(target, "https://", 8) == 0 ? 8
                                                              : 0;
    if (scheme)
        target += scheme + strcspn(target + scheme, "/?");
    char *query = strchr(target, '?');
    if (query)
        *query++ = '\0';
    request->path = scheme && *target == '\0' ? "/" : target;
    request->query = query ? query : "";
    if (*request->path != '/' && !(strcmp(target, "*") == 0 && request->method == HTTP_OPTIONS))
        return refuse(request, 400, "the request's path must begin with '/'");
    return true;
}

static void find_remote(struct http_request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->handle, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *address = info ? info->client_addr : NULL;
    snprintf(request->remote, sizeof request->remote, "unix");
    if (address && address->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, request->remote,
                  sizeof request->remote);
    else if (address && address->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, request->remote,
                  sizeof request->remote);
    if (strncmp(request->remote, "::ffff:", 7) == 0 && strchr(request->remote, '.'))
        memmove(request->remote, request->remote + 7, strlen(request->remote + 7) + 1);
}

/* libmicrohttpd cuts the first line in place, so that version stands right behind the target unless that
 * holds a NUL. */
static bool holds_nul(const struct http_request *request, const char *url, const char *version)
{
    size_t n = strlen(request->target);
    uintptr_t from = (uintptr_t)url, to = (uintptr_t)version;
    return to > from + n + 1 && to - from < TARGET_SEEN_MAX;
}

/* The head ends with the empty line behind its last header. Newer versions than 0.9 keep lines otherwise. */
static bool is_crooked(const struct http_request *request, const struct headers *h, const char *method)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->handle, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    if (MHD_VERSION >= 0x01000000)
        return false;
    return h->crooked || info == NULL || method + info->header_size != h->next + 2;
}

bool http_framing_check(struct http_request *request, const char *method, const char *url,
                        const char *version)
{
    struct headers h = {.next = version + strlen(version) + 2};
    find_remote(request);
    MHD_get_connection_values(request->handle, MHD_HEADER_KIND, look_at_header, &h);
    if (h.count > HEADERS_COUNT_MAX || h.size > HEADERS_SIZE_MAX)
        return refuse(request, 431, "the request's headers are too large: at most 100, of 8 KiB together");
    if (h.unreadable)
        return refuse(request, 400, "a header's name or value holds a character that must not stand there");
    if (is_crooked(request, &h, method))
        return refuse(
            request, 400,
            "the request's head can be read in two ways: its lines must end with CR LF, none may go "
            "on in the next one, and none may hold a NUL");
    if (h.n_hosts > 1)
        return refuse(request, 400, "Host stands there more than once");
    if (h.n_hosts == 0 && strcmp(version, MHD_HTTP_VERSION_1_0) != 0)
        return refuse(request, 400, "the header Host is missing");
    if (holds_nul(request, url, version))
        return refuse(request, 400, "the request's path or query holds a NUL");
    return check_target(request) && check_body(request, &h);
}
