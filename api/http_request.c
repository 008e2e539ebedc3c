/*
 * A request's life as libmicrohttpd tells it: http_on_target (its first line is in), http_on_request (the
 * headers are in; once more after a sleep then; with each piece of the body; when all is in; once more after
 * a sleep then), http_on_completed (whatever became of the answer). States: http_internal.h.
 *
 * A refusal waits until the body has passed, unread but for its length, so that the connection can go on and
 * the client sees the answer rather than a reset; unless the client waits for "100 Continue", or what follows
 * can't be trusted: then it is sent at once and the connection ends.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http_internal.h"
#include "problem.h"

#define HELD_AT_ONCE 256
#define BODY_FIRST ((size_t)4 << 10)

static const char *const method_names[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", ""};

const char *http_method_name(enum http_method method)
{
    return method_names[method];
}

static enum http_method find_method(const char *name)
{
    enum http_method method = HTTP_GET;
    while (method < HTTP_OTHER && strcmp(name, method_names[method]) != 0)
        method++;
    return method;
}

void *http_on_target(void *data, const char *target, struct MHD_Connection *handle)
{
    struct http_server *server = data;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(handle, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct http_connection *connection = info ? info->socket_context : NULL;
    if (connection)
        http_request_forgotten(connection);
    struct http_request *request = connection ? calloc(1, sizeof *request) : NULL;
    if (request == NULL)
        return NULL;
    *request = (struct http_request){.server = server,
                                     .connection = connection,
                                     .handle = handle,
                                     .method = HTTP_OTHER,
                                     .target = strdup(target),
                                     .path = "",
                                     .query = "",
                                     .declared = -1};
    /* The text is in the connection's buffer. What follows here would be made into a list of parameters,
     * which nobody asks for and of which some hundreds exhaust the connection's memory: it would end
     * unanswered. */
    char *query = strchr(target, '?');
    if (query)
        query[1] = '\0';
    LIST_INSERT_HEAD(&server->requests, request, link);
    connection->request = request;
    if (connection->phase != HTTP_ARRIVING) /* a connection's first request: since it began */
        http_deadline_set(connection, HTTP_ARRIVING);
    return request;
}

static void refuse(struct http_request *request, unsigned status, const char *why)
{
    request->must_close = true;
    problem_reply_later(request, status, 5, "%s", why);
}

static void on_headers(struct http_request *request, const char *url, const char *method, const char *version)
{
    struct http_server *server = request->server;
    request->method = find_method(method);
    request->state = HTTP_DECIDING;
    server->n_requests++;
    server->n_held++;
    if (server->ending)
        refuse(request, 503, "the server is ending");
    else if (request->target == NULL)
        refuse(request, 503, "out of memory");
    else if (http_framing_check(request, method, url, version))
        server->app.begin(server->app.data, request);
}

static bool grow_body(struct http_request *request, size_t wanted)
{
    struct http_server *server = request->server;
    size_t capacity = request->body_capacity ? request->body_capacity : BODY_FIRST;
    while (capacity < wanted)
        capacity *= 2;
    if (capacity > (size_t)request->declared)
        capacity = (size_t)request->declared;
    size_t more = capacity - request->body_capacity;
    char *body = server->bodies + more <= server->limits.bodies_max ? realloc(request->body, capacity) : NULL;
    if (body == NULL)
        return false;
    server->bodies += more;
    request->body = body;
    request->body_capacity = capacity;
    return true;
}

static void drop_body(struct http_request *request)
{
    request->server->bodies -= request->body_capacity;
    free(request->body);
    request->body = NULL;
    request->body_size = request->body_capacity = 0;
}

static void take_body(struct http_request *request, const char *bytes, size_t size)
{
    if (request->state != HTTP_ACCEPTED || request->body_refused)
        return;
    assert(request->body_size + size <= (size_t)request->declared);
    if (request->body_size + size > request->body_capacity &&
        !grow_body(request, request->body_size + size)) {
        request->body_refused = true;
        drop_body(request);
        return;
    }
    memcpy(request->body + request->body_size, bytes, size);
    request->body_size += size;
}

static bool expects_continue(struct http_request *request)
{
    const char *expect = http_header(request, MHD_HTTP_HEADER_EXPECT);
    return expect && strcasecmp(expect, "100-continue") == 0 && request->declared > 0;
}

static enum MHD_Result after_headers(struct http_request *request)
{
    if (request->state == HTTP_DECIDING || request->state == HTTP_COMPRESSING) {
        http_sleep(request);
        return MHD_YES;
    }
    if (request->state == HTTP_REPLIED && expects_continue(request))
        request->must_close = true;
    if (request->state == HTTP_REPLIED && request->must_close)
        return http_queue_response(request);
    request->headers_done = true;
    return MHD_YES;
}

static enum MHD_Result after_body(struct http_request *request)
{
    struct http_server *server = request->server;
    if (request->state == HTTP_ACCEPTED) {
        http_deadline_clear(request->connection);
        request->state = HTTP_SERVING;
        server->n_held++;
        if (server->ending)
            refuse(request, 503, "the server is ending");
        else if (request->body_refused)
            problem_reply_later(request, 503, 5, "too many bodies at once; send it again later");
        else
            server->app.serve(server->app.data, request);
    }
    if (request->state == HTTP_REPLIED)
        return http_queue_response(request);
    http_sleep(request);
    return MHD_YES;
}

enum MHD_Result http_on_request(void *data, struct MHD_Connection *handle, const char *url,
                                const char *method, const char *version, const char *upload_data,
                                size_t *upload_data_size, void **state)
{
    struct http_request *request = *state;
    (void)data;
    (void)handle;
    if (request == NULL)
        return MHD_NO;
    if (*upload_data_size) {
        take_body(request, upload_data, *upload_data_size);
        *upload_data_size = 0;
        return MHD_YES;
    }
    if (request->state == HTTP_NEW)
        on_headers(request, url, method, version);
    return request->headers_done ? after_body(request) : after_headers(request);
}

static void release(struct http_request *request)
{
    struct http_kept *kept;
    while ((kept = request->kept)) {
        request->kept = kept->next;
        kept->release(kept->object);
        free(kept);
    }
    http_answer_deinit(request);
    drop_body(request);
    free(request->target);
    free(request);
}

static void complete(struct http_request *request, bool whole)
{
    struct http_server *server = request->server;
    assert(!request->asleep && request->state != HTTP_DECIDING && request->state != HTTP_SERVING &&
           request->state != HTTP_COMPRESSING);
    LIST_REMOVE(request, link);
    request->connection->request = NULL;
    if (request->state != HTTP_NEW)
        server->n_requests--;
    if (request->stream_counted)
        server->n_streams--;
    if (request->stream.closed)
        request->stream.closed(request->stream.data, whole && !request->stream_refused);
    release(request);
}

void http_on_completed(void *data, struct MHD_Connection *handle, void **state,
                       enum MHD_RequestTerminationCode why)
{
    struct http_request *request = *state;
    (void)data;
    (void)handle;
    if (request == NULL)
        return;
    *state = NULL;
    if (why == MHD_REQUEST_TERMINATED_COMPLETED_OK)
        http_deadline_set(request->connection, HTTP_IDLE);
    complete(request, why == MHD_REQUEST_TERMINATED_COMPLETED_OK);
}

void http_request_forgotten(struct http_connection *connection)
{
    if (connection->request)
        complete(connection->request, false);
}

void http_accept(struct http_request *request)
{
    assert(request->state == HTTP_DECIDING);
    request->state = HTTP_ACCEPTED;
    request->server->n_held--;
    http_wake(request);
}

enum http_method http_request_method(const struct http_request *request)
{
    return request->method;
}

bool http_is_crowded(const struct http_request *request)
{
    return request->server->n_held > HELD_AT_ONCE;
}

const char *http_request_path(const struct http_request *request)
{
    return request->path;
}

const char *http_request_query(const struct http_request *request)
{
    return request->query;
}

const char *http_header(const struct http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->handle, MHD_HEADER_KIND, name);
}

struct last_header {
    const char *name, *value;
};

static enum MHD_Result look_for_last(void *data, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct last_header *last = data;
    (void)kind;
    if (value && strcasecmp(name, last->name) == 0)
        last->value = value;
    return MHD_YES;
}

const char *http_header_last(const struct http_request *request, const char *name)
{
    struct last_header last = {.name = name};
    MHD_get_connection_values(request->handle, MHD_HEADER_KIND, look_for_last, &last);
    return last.value;
}

const char *http_cookie(const struct http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->handle, MHD_COOKIE_KIND, name);
}

const char *http_remote_address(const struct http_request *request)
{
    return request->remote;
}

const char *http_body(const struct http_request *request, size_t *ret_size)
{
    *ret_size = request->body_size;
    return request->body ? request->body : "";
}

int64_t http_body_declared(const struct http_request *request)
{
    return request->declared;
}

void *http_context(const struct http_request *request)
{
    return request->context;
}

void http_set_context(struct http_request *request, void *context)
{
    request->context = context;
}

bool http_keep(struct http_request *request, void *object, void (*release_object)(void *object))
{
    struct http_kept *kept = object ? calloc(1, sizeof *kept) : NULL;
    if (kept == NULL) {
        if (object)
            release_object(object);
        return false;
    }
    *kept = (struct http_kept){object, release_object, request->kept};
    request->kept = kept;
    return true;
}
