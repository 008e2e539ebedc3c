#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "loop/http_internal.h"

enum {
    HEADERS_MAX = 64 * 1024,
    RESPONSE_MAX_DEFAULT = 1024 * 1024,
    SMALL_BODY = 16 * 1024, /* libcurl's smallest upload buffer */
    UPLOAD_BUFFER = 64 * 1024,
    RECEIVE_BUFFER = 64 * 1024,
    READ_AHEAD = 1024 * 1024,
    CA_CACHE_S = 60, /* a changed ca_file is seen after this */
};

/* -- making one -- */

static int check_header(const char *line, struct error *err)
{
    const char *colon = strchr(line, ':');
    if (colon == NULL || colon == line || strpbrk(line, "\r\n"))
        return error_set(err, ERROR_INPUT, false,
                         "a header to be sent holds a line break or isn't \"Name: value\"");
    return 0;
}

/* Scheme, host and port, for messages. Also refuses what would not go over the wire as it is. */
static int read_origin(const char *url, char **ret_origin, struct error *err)
{
    if (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0)
        return error_set(err, ERROR_INPUT, false, "a URL must begin with http:// or https://");
    for (const char *p = url; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f || *p == '#')
            return error_set(err, ERROR_INPUT, false,
                             "a URL holds a blank, a control character or '#': encode it as %%XX");
    CURLU *parts = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL;
    int rc = 0;
    if (parts == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    CURLUcode code = curl_url_set(parts, CURLUPART_URL, url, CURLU_PATH_AS_IS | CURLU_DISALLOW_USER);
    if (code == CURLUE_USER_NOT_ALLOWED)
        rc = error_set(err, ERROR_INPUT, false, "a URL must not hold a user name or a password");
    else if (code != CURLUE_OK)
        rc = error_set(err, ERROR_INPUT, false, "a URL can't be used: %s", curl_url_strerror(code));
    else if (curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
             curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
             curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK ||
             asprintf(ret_origin, "%s://%s:%s", scheme, host, port) < 0)
        rc = error_set(err, ERROR_SYSTEM, true, "out of memory");
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parts);
    return rc;
}

static bool append_header(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (longer == NULL)
        return false;
    *list = longer;
    return true;
}

/* What Content-Length says: the body and its frame. */
static uint64_t sent_size(const struct http_ask *ask)
{
    return ask->body_head_size + ask->body_size + ask->body_tail_size;
}

static bool is_upload(const struct http_ask *ask)
{
    return sent_size(ask) > 0 || strcmp(ask->method, "PUT") == 0 || strcmp(ask->method, "POST") == 0;
}

static int copy_ask(struct http_request *request, const struct http_ask *ask, struct error *err)
{
    if (ask->method[strspn(ask->method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")] != '\0')
        return error_set(err, ERROR_INPUT, false, "a method must be upper-case letters");
    request->ask = *ask;
    request->method = strdup(ask->method);
    request->url = strdup(ask->url);
    if (ask->ca_file)
        request->ca_file = strdup(ask->ca_file);
    bool ok = request->method && request->url && (request->ca_file || !ask->ca_file);
    for (int i = 0; ok && i < ask->n_headers; i++) {
        int rc = check_header(ask->headers[i], err);
        if (rc != 0)
            return rc;
        ok = append_header(&request->headers, ask->headers[i]);
    }
    if (ok && is_upload(ask) && !ask->expect_continue)
        ok = append_header(&request->headers, "Expect:");
    if (!ok)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    request->ask.headers = NULL;
    request->ask.method = request->method;
    request->ask.url = request->url;
    request->ask.ca_file = request->ca_file;
    return read_origin(request->url, &request->origin, err);
}

static int64_t or_default(int64_t value, int64_t fallback)
{
    return value > 0 ? value : fallback;
}

int http_request_new(struct http_client *client, const struct http_ask *ask,
                     struct http_request **ret_request, struct error *err)
{
    struct http_request *request = calloc(1, sizeof *request);
    if (request == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    request->client = client;
    request->group = ask->group ? ask->group : &client->ungrouped;
    request->answer_due = INT64_MAX;
    int rc = copy_ask(request, ask, err);
    if (rc != 0) {
        http_request_free(request);
        return rc;
    }
    struct http_ask *own = &request->ask;
    own->connect_timeout_ms = or_default(own->connect_timeout_ms, client->connect_timeout_ms);
    own->stall_timeout_ms = or_default(own->stall_timeout_ms, client->stall_timeout_ms);
    own->response_max = own->response_max ? own->response_max : RESPONSE_MAX_DEFAULT;
    request->total_due = own->total_timeout_ms > 0 ? http_now_ms(client) + own->total_timeout_ms : INT64_MAX;
    strbuf_init(&request->kept.headers, HEADERS_MAX);
    strbuf_init(&request->kept.body, own->response_max);
    *ret_request = request;
    return 0;
}

void http_request_shut(struct http_request *request)
{
    if (request->easy)
        curl_easy_cleanup(request->easy);
    request->easy = NULL;
}

void http_request_free(struct http_request *request)
{
    if (request == NULL)
        return;
    http_request_shut(request);
    curl_slist_free_all(request->headers);
    strbuf_deinit(&request->kept.headers);
    strbuf_deinit(&request->kept.body);
    free(request->method);
    free(request->url);
    free(request->ca_file);
    free(request->origin);
    free(request);
}

/* -- bounds -- */

void http_request_touch(struct http_request *request)
{
    request->active_at = http_now_ms(request->client);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

bool http_request_overdue(const struct http_request *request, int64_t now, int64_t *ret_due,
                          struct error *err)
{
    const struct http_ask *ask = &request->ask;
    *ret_due = request->total_due;
    if (now >= request->total_due) {
        error_set(err, ERROR_TIMEOUT, true, "%s: not done within %" PRId64 " ms", request->origin,
                  ask->total_timeout_ms);
        return true;
    }
    if (request->state != HTTP_RUNNING)
        return false;
    if (!request->connected || request->held[HTTP_SEND] || request->held[HTTP_RECEIVE]) {
        *ret_due = earlier(*ret_due, now + ask->stall_timeout_ms);
        return false;
    }
    int64_t stall_due = request->active_at + ask->stall_timeout_ms;
    if (now >= stall_due) {
        error_set(err, ERROR_TIMEOUT, true, "%s: not a byte in either direction for %" PRId64 " ms",
                  request->origin, ask->stall_timeout_ms);
        return true;
    }
    if (now >= request->answer_due) {
        error_set(err, ERROR_TIMEOUT, true, "%s: the answer has been dripping for %" PRId64 " ms",
                  request->origin, http_kept_allowance_ms(ask->response_max, ask->stall_timeout_ms));
        return true;
    }
    *ret_due = earlier(*ret_due, earlier(stall_due, request->answer_due));
    return false;
}

/* -- libcurl's callbacks -- */

/* The error stays in the request; what libcurl says about our breaking off is of no use. */
static void fail(struct http_request *request, const struct error *err)
{
    if (request->err.code != 0)
        return;
    request->err = *err;
}

static int on_connected(void *data, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
    struct http_request *request = data;
    (void)remote_ip;
    (void)local_ip;
    (void)remote_port;
    (void)local_port;
    request->connected = true;
    http_request_touch(request);
    return request->state == HTTP_RUNNING ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

/* Asks the kernel for what comes next, so that pread seldom waits for the disk. at: in the body. */
static void read_ahead(struct http_request *request, uint64_t at)
{
    uint64_t from = request->read_ahead, to = at + READ_AHEAD;
    if (from > at + READ_AHEAD / 2 || from >= request->ask.body_size)
        return;
    if (from < at)
        from = at;
    if (to > request->ask.body_size)
        to = request->ask.body_size;
    posix_fadvise(request->ask.body_fd, (off_t)(request->ask.body_offset + from), (off_t)(to - from),
                  POSIX_FADV_WILLNEED);
    request->read_ahead = to;
}

static ssize_t read_file(struct http_request *request, char *buffer, size_t n, uint64_t at)
{
    const struct http_ask *ask = &request->ask;
    struct error err;
    ssize_t got;
    read_ahead(request, at);
    do
        got = pread(ask->body_fd, buffer, n, (off_t)(ask->body_offset + at));
    while (got < 0 && errno == EINTR);
    if (got < 0) {
        error_errno(&err, errno, "%s: the file to be sent can't be read", request->origin);
        err.code = ERROR_IO;
        fail(request, &err);
    } else if (got == 0) {
        error_set(&err, ERROR_CORRUPT, true,
                  "%s: the file to be sent ends at byte %" PRIu64 ", %" PRIu64 " bytes too soon",
                  request->origin, ask->body_offset + at, ask->body_size - at);
        fail(request, &err);
    }
    return got;
}

static ssize_t read_memory(char *buffer, size_t n, const void *from, uint64_t at, uint64_t size)
{
    if (n > size - at)
        n = (size_t)(size - at);
    memcpy(buffer, (const char *)from + at, n);
    return (ssize_t)n;
}

/* The next bytes, at most n: of the head, the body or the tail. */
static ssize_t read_next(struct http_request *request, char *buffer, size_t n)
{
    const struct http_ask *ask = &request->ask;
    uint64_t at = request->position;
    if (at < ask->body_head_size)
        return read_memory(buffer, n, ask->body_head, at, ask->body_head_size);
    at -= ask->body_head_size;
    if (at >= ask->body_size)
        return read_memory(buffer, n, ask->body_tail, at - ask->body_size, ask->body_tail_size);
    if (ask->body_fd < 0)
        return read_memory(buffer, n, ask->body, at, ask->body_size);
    return read_file(request, buffer, n < ask->body_size - at ? n : (size_t)(ask->body_size - at), at);
}

static size_t on_read(char *buffer, size_t size, size_t n_items, void *data)
{
    struct http_request *request = data;
    if (request->state != HTTP_RUNNING)
        return CURL_READFUNC_ABORT;
    uint64_t left = sent_size(&request->ask) - request->position;
    size_t n = http_pace_chunk(request->group, size * n_items);
    if (n > left)
        n = (size_t)left;
    if (n == 0)
        return 0;
    ssize_t got = read_next(request, buffer, n);
    if (got <= 0)
        return CURL_READFUNC_ABORT;
    n = (size_t)got;
    request->position += n;
    request->sending = true;
    http_pace_take(request->group, HTTP_SEND, n);
    return n;
}

/* libcurl sends the body again from its start. */
static int on_seek(void *data, curl_off_t offset, int origin)
{
    struct http_request *request = data;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > sent_size(&request->ask))
        return CURL_SEEKFUNC_FAIL;
    request->position = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

static int status_of(const struct http_request *request)
{
    long status = 0;
    curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

static bool wants_body(const struct http_request *request)
{
    return request->ask.on_body && status_of(request) / 100 == 2;
}

static size_t on_header(char *line, size_t size, size_t n_items, void *data)
{
    struct http_request *request = data;
    size_t n = size * n_items;
    struct error err;
    if (request->state != HTTP_RUNNING)
        return 0;
    http_request_touch(request);
    if (request->answer_due == INT64_MAX)
        request->answer_due = request->active_at + http_kept_allowance_ms(request->ask.response_max,
                                                                          request->ask.stall_timeout_ms);
    if (http_kept_line(&request->kept, line, n, &err) != 0) {
        error_context(&err, "%s", request->origin);
        fail(request, &err);
        return 0;
    }
    if (!request->kept.in_headers && (status_of(request) / 100 == 1 || wants_body(request)))
        request->answer_due = INT64_MAX;
    return n;
}

static int keep_body(struct http_request *request, const char *bytes, size_t n, struct error *err)
{
    struct strbuf *body = &request->kept.body;
    if (n > body->max - body->size)
        return error_set(err, ERROR_LIMIT, true, "%s: the answer is longer than %zu bytes", request->origin,
                         body->max);
    strbuf_append(body, bytes, n);
    return body->failed ? error_set(err, ERROR_SYSTEM, true, "out of memory") : 0;
}

static size_t on_write(char *bytes, size_t size, size_t n_items, void *data)
{
    struct http_request *request = data;
    size_t n = size * n_items;
    struct error err = {0};
    if (request->state != HTTP_RUNNING)
        return 0;
    if (!http_pace_may(request, HTTP_RECEIVE))
        return CURL_WRITEFUNC_PAUSE; /* comes again with the same bytes */
    http_request_touch(request);
    http_pace_take(request->group, HTTP_RECEIVE, n);
    request->kept.received += n;
    int rc = wants_body(request) ? request->ask.on_body(request->ask.data, bytes, n, &err)
                                 : keep_body(request, bytes, n, &err);
    if (rc == 0)
        return request->state == HTTP_RUNNING ? n : 0;
    if (err.code == 0)
        error_set(&err, rc, false, "%s: the answer was refused", request->origin);
    fail(request, &err);
    return 0;
}

/* Of the body alone. */
static uint64_t without_frame(const struct http_ask *ask, uint64_t sent)
{
    uint64_t of_body = sent > ask->body_head_size ? sent - ask->body_head_size : 0;
    return of_body < ask->body_size ? of_body : ask->body_size;
}

static void note_sent(struct http_request *request, uint64_t body_sent)
{
    if (body_sent != request->body_sent) {
        request->body_sent = body_sent;
        http_request_touch(request);
        if (request->ask.bytes_sent)
            atomic_store_explicit(request->ask.bytes_sent, without_frame(&request->ask, body_sent),
                                  memory_order_relaxed);
    }
    long request_size = 0;
    if (!request->sent && body_sent >= sent_size(&request->ask))
        request->sent = curl_easy_getinfo(request->easy, CURLINFO_REQUEST_SIZE, &request_size) == CURLE_OK &&
                        request_size > 0;
}

static int on_progress(void *data, curl_off_t to_receive, curl_off_t received, curl_off_t to_send,
                       curl_off_t sent)
{
    struct http_request *request = data;
    (void)to_receive;
    (void)received;
    (void)to_send;
    if (request->state != HTTP_RUNNING)
        return 1;
    note_sent(request, (uint64_t)sent);
    return 0;
}

/* -- the handle -- */

#define SET(option, value) failed |= curl_easy_setopt(easy, option, value) != CURLE_OK

static bool set_wire(CURL *easy, const struct http_request *request)
{
    const struct http_ask *ask = &request->ask;
    bool failed = false;
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_URL, ask->url);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* or removing a handle waits for its name lookup */
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_FRESH_CONNECT, request->repeated || ask->fresh_connection ? 1L : 0L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)ask->connect_timeout_ms);
    SET(CURLOPT_USERAGENT, request->client->user_agent);
    SET(CURLOPT_HTTPHEADER, request->headers);
    SET(CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    if (ask->proxy == HTTP_PROXY_NEVER)
        SET(CURLOPT_NOPROXY, "*");
    /* libcurl keeps the parsed certificates from one connection to the next unless a directory is searched
     * too */
    SET(CURLOPT_CAPATH, NULL);
    SET(CURLOPT_CA_CACHE_TIMEOUT, (long)CA_CACHE_S);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    if (ask->ca_file)
        SET(CURLOPT_CAINFO, ask->ca_file);
    return !failed;
}

static bool set_body(CURL *easy, struct http_request *request)
{
    const struct http_ask *ask = &request->ask;
    bool failed = false;
    if (strcmp(ask->method, "HEAD") == 0)
        SET(CURLOPT_NOBODY, 1L);
    else
        SET(CURLOPT_CUSTOMREQUEST, ask->method);
    if (request->group->bytes_per_second > 0)
        SET(CURLOPT_BUFFERSIZE, (long)http_pace_buffer(request->group));
    else if (ask->on_body)
        SET(CURLOPT_BUFFERSIZE, (long)RECEIVE_BUFFER);
    if (!is_upload(ask))
        return !failed;
    SET(CURLOPT_UPLOAD, 1L);
    SET(CURLOPT_CUSTOMREQUEST, ask->method);
    SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)sent_size(ask));
    SET(CURLOPT_UPLOAD_BUFFERSIZE, sent_size(ask) > SMALL_BODY ? (long)UPLOAD_BUFFER : (long)SMALL_BODY);
    SET(CURLOPT_READFUNCTION, on_read);
    SET(CURLOPT_READDATA, request);
    SET(CURLOPT_SEEKFUNCTION, on_seek);
    SET(CURLOPT_SEEKDATA, request);
    return !failed;
}

static bool set_callbacks(CURL *easy, struct http_request *request)
{
    bool failed = false;
    SET(CURLOPT_PRIVATE, request);
    SET(CURLOPT_ERRORBUFFER, request->curl_error);
    SET(CURLOPT_PREREQFUNCTION, on_connected);
    SET(CURLOPT_PREREQDATA, request);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, request);
    SET(CURLOPT_WRITEFUNCTION, on_write);
    SET(CURLOPT_WRITEDATA, request);
    SET(CURLOPT_NOPROGRESS, 0L);
    SET(CURLOPT_XFERINFOFUNCTION, on_progress);
    SET(CURLOPT_XFERINFODATA, request);
    return !failed;
}

#undef SET

int http_request_open(struct http_request *request, struct error *err)
{
    CURL *easy = request->easy = curl_easy_init();
    request->position = 0;
    request->sending = false;
    http_request_touch(request);
    if (easy == NULL || !set_wire(easy, request) || !set_body(easy, request) || !set_callbacks(easy, request))
        return error_set(err, ERROR_SYSTEM, true, "%s: libcurl can't be set up: out of memory",
                         request->origin);
    return 0;
}

/* The peer had closed a kept connection, which only sending to it has shown. libcurl itself repeats a request
 * when receiving shows it. */
static bool is_dead_reused(const struct http_request *request)
{
    long new_connections = 0;
    return !request->repeated && request->answer_due == INT64_MAX && request->kept.n_interim == 0 &&
           curl_easy_getinfo(request->easy, CURLINFO_NUM_CONNECTS, &new_connections) == CURLE_OK &&
           new_connections == 0;
}

void http_request_finish(struct http_request *request, CURLcode code)
{
    if (request->state != HTTP_RUNNING)
        return;
    request->status = status_of(request);
    struct error err = request->err;
    if (err.code == 0 && code == CURLE_SEND_ERROR && is_dead_reused(request)) {
        http_request_repeat(request);
        return;
    }
    if (code == CURLE_OK && request->kept.in_headers)
        code = CURLE_PARTIAL_FILE; /* libcurl takes the end of the connection for the end of the headers */
    if (code != CURLE_OK && err.code == 0)
        http_error_from_curl(&err, request, code);
    else if (err.code == 0 && request->status == 0)
        error_set(&err, ERROR_PROTOCOL, true, "%s: the answer has no status", request->origin);
    http_request_end(request, err.code != 0 ? &err : NULL);
}
