/*
 * backup-api's HTTP server with routes that a test can ask anything of: bodies, streams, large answers,
 * roles.
 *
 *   http_routes [LIMIT=VALUE ...]     limits: arrive_ms, idle_ms, answer_ms, linger_ms, stall_s,
 * bodies_max, answers_max, streams_max, drain_ms
 *
 * Writes "listening on HOST:PORT" and what becomes of streams to stderr. Ends at SIGTERM as backup-api does.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cors.h"
#include "input.h"
#include "listen.h"
#include "route.h"

/* The handlers' own idea of the program. */
struct api {
    uv_loop_t loop;
    struct http_limits limits;
    int64_t drain_ms;
    struct listen_socket listening;
    struct cors cors;
    struct router router;
    struct http_server *server;
    uv_signal_t terminate;
    int served, streams;
};

/* -- JSON and bodies */

static void get_status(struct api *api, struct http_request *request)
{
    http_reply(request, 200, json_pack("{s:i, s:i}", "served", ++api->served, "streams", api->streams));
}

static void get_large(struct api *api, struct http_request *request)
{
    static const struct input_field fields[] = {
        {"size", INPUT_INTEGER, INPUT_REQUIRED, .min = 1, .max = 64 << 20}};
    const struct input *input = input_query(request, fields, 1);
    (void)api;
    if (input == NULL)
        return;
    size_t size = (size_t)input->values[0].integer;
    char *text = malloc(size + 1);
    for (size_t i = 0; text && i < size; i++)
        text[i] = (char)('a' + (i * i / 7 + i / 1000) % 26);
    if (text)
        text[size] = '\0';
    http_reply(request, 200, text ? json_pack("{s:o}", "text", json_stringn(text, size)) : NULL);
    free(text);
}

static void post_length(struct api *api, struct http_request *request)
{
    size_t size, sum = 0;
    const char *bytes = http_body(request, &size);
    (void)api;
    for (size_t i = 0; i < size; i++)
        sum += (unsigned char)bytes[i];
    http_reply(request, 200, json_pack("{s:I, s:I}", "size", (json_int_t)size, "sum", (json_int_t)sum));
}

static void post_fields(struct api *api, struct http_request *request)
{
    enum { NAME, COUNT, ORDERING, AT, TAGS, CONFIG, NOTE, FIELDS };
    static const char *const orderings[] = {"parallel", "sequential", NULL};
    static const struct input_field fields[FIELDS] = {
        [NAME] = {"name", INPUT_TEXT, INPUT_REQUIRED, .min = 1, .max = 20},
        [COUNT] = {"count", INPUT_INTEGER, .min = -5, .max = 100},
        [ORDERING] = {"ordering", INPUT_CHOICE, .choices = orderings},
        [AT] = {"at", INPUT_TIME},
        [TAGS] = {"tags", INPUT_TEXTS, .max = 10},
        [CONFIG] = {"config", INPUT_OBJECT, INPUT_NULLABLE},
        [NOTE] = {"note", INPUT_TEXT, INPUT_LINES | INPUT_NULLABLE},
    };
    const struct input *input = input_body(request, fields, FIELDS);
    (void)api;
    if (input)
        http_reply(request, 201,
                   json_pack("{s:s, s:i, s:b}", "name", input->values[NAME].text, "given",
                             (int)input->n_given, "note_is_null", input->values[NOTE].is_null));
}

static void get_file(struct api *api, struct http_request *request)
{
    (void)api;
    http_reply(request, 200, json_pack("{s:s}", "file", http_request_parameter(request, 0)));
}

static void get_bad_header(struct api *api, struct http_request *request)
{
    (void)api;
    http_set_header(request, "Location", "/x\r\nSet-Cookie: a=b");
    http_reply_empty(request, 302);
}

static void post_cookies(struct api *api, struct http_request *request)
{
    const char *session = http_cookie(request, "session");
    (void)api;
    http_set_header(request, "Set-Cookie", "a=1; HttpOnly");
    http_set_header(request, "Set-Cookie", "b=2");
    http_set_header(request, "Location", "/one");
    http_set_header(request, "Location", "/two");
    http_reply(request, 200,
               json_pack("{s:s?, s:s}", "session", session, "remote", http_remote_address(request)));
}

/* -- who asks: "Bearer ROLE", found out a turn of the loop later */

struct asked {
    uv_timer_t timer;
    struct http_request *request;
};

static void on_asked_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_asked(uv_timer_t *timer)
{
    struct asked *asked = timer->data;
    const char *text = http_header(asked->request, "Authorization");
    struct identity identity = {.user_id = 7, .user_name = "tester"};
    bool known = text && strncmp(text, "Bearer ", 7) == 0 && role_parse(text + 7, &identity.role);
    route_identified(asked->request, known ? &identity : NULL);
    uv_close((uv_handle_t *)timer, on_asked_closed);
}

static void identify(struct api *api, struct http_request *request)
{
    struct asked *asked = calloc(1, sizeof *asked);
    if (asked == NULL)
        abort();
    asked->request = request;
    uv_timer_init(&api->loop, &asked->timer);
    asked->timer.data = asked;
    uv_timer_start(&asked->timer, on_asked, 0, 0);
}

static void who(struct api *api, struct http_request *request)
{
    size_t size;
    (void)api;
    http_body(request, &size);
    http_reply(request, 200,
               json_pack("{s:s, s:I, s:I}", "user", http_request_identity(request)->user_name, "id",
                         (json_int_t)http_request_id(request, 0), "size", (json_int_t)size));
}

/* -- streams */

struct stream {
    struct api *api;
    struct http_request *request;
    const char *name;
    int64_t position, end; /* end < 0: ticks for ever, every interval */
    bool fails;            /* in the middle */
    bool ticked;
    int pad; /* of an event, to make it larger */
    uv_timer_t timer;
};

static ssize_t read_bytes(void *data, char *buffer, size_t size)
{
    struct stream *s = data;
    if (s->fails && s->position >= s->end / 2)
        return HTTP_STREAM_FAILED;
    size_t n = (size_t)(s->end - s->position) < size ? (size_t)(s->end - s->position) : size;
    for (size_t i = 0; i < n; i++)
        buffer[i] = (char)('a' + (s->position + (int64_t)i) % 26);
    s->position += (int64_t)n;
    return n ? (ssize_t)n : HTTP_STREAM_END;
}

static ssize_t read_tick(void *data, char *buffer, size_t size)
{
    struct stream *s = data;
    if (!s->ticked)
        return HTTP_STREAM_WAIT;
    s->ticked = false;
    int n = snprintf(buffer, size, "data: %*lld\n\n", s->pad, (long long)s->position++);
    return n < (int)size ? n : (ssize_t)size;
}

static void on_tick(uv_timer_t *timer)
{
    struct stream *s = timer->data;
    s->ticked = true;
    http_stream_wake(s->request);
}

static void on_stream_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_stream_closed(void *data, bool whole)
{
    struct stream *s = data;
    s->api->streams--;
    log_info("stream %s %s at %lld", s->name, whole ? "whole" : "cut", (long long)s->position);
    uv_close((uv_handle_t *)&s->timer, on_stream_timer_closed);
}

static struct stream *stream_new(struct api *api, struct http_request *request, const char *name)
{
    struct stream *s = calloc(1, sizeof *s);
    if (s == NULL)
        abort();
    *s = (struct stream){.api = api, .request = request, .name = name, .timer.data = s};
    uv_timer_init(&api->loop, &s->timer);
    api->streams++;
    return s;
}

static void get_events(struct api *api, struct http_request *request)
{
    static const struct input_field fields[] = {{"every_ms", INPUT_INTEGER, .max = 60000},
                                                {"pad", INPUT_INTEGER, .max = 4000}};
    const struct input *input = input_query(request, fields, 2);
    if (input == NULL)
        return;
    struct stream *s = stream_new(api, request, "events");
    s->end = -1;
    s->pad = (int)input->values[1].integer;
    uint64_t every_ms = (uint64_t)input->values[0].integer;
    if (every_ms)
        uv_timer_start(&s->timer, on_tick, 0, every_ms);
    http_reply_stream(request, 200, "text/event-stream", -1,
                      &(struct http_stream){read_tick, on_stream_closed, s});
}

static void get_download(struct api *api, struct http_request *request)
{
    enum { SIZE, CHUNKED, FAILS, FIELDS };
    static const struct input_field fields[FIELDS] = {
        [SIZE] = {"size", INPUT_INTEGER, INPUT_REQUIRED},
        [CHUNKED] = {"chunked", INPUT_BOOLEAN},
        [FAILS] = {"fails", INPUT_BOOLEAN},
    };
    const struct input *input = input_query(request, fields, FIELDS);
    char range[HTTP_CONTENT_RANGE_SIZE];
    int64_t first, length, size;
    if (input == NULL)
        return;
    size = input->values[SIZE].integer;
    enum http_range_result part = http_range(request, size, "\"e\"", &first, &length);
    http_content_range(range, first, length, size);
    http_set_header(request, "ETag", "\"e\"");
    if (part != HTTP_RANGE_WHOLE)
        http_set_header(request, "Content-Range", range);
    if (part == HTTP_RANGE_UNSATISFIABLE) {
        problem_reply(request, 416, "the file has %lld bytes", (long long)size);
        return;
    }
    struct stream *s = stream_new(api, request, "download");
    s->position = first;
    s->end = first + length;
    s->fails = input->values[FAILS].boolean;
    http_reply_stream(request, part == HTTP_RANGE_PART ? 206 : 200, "application/octet-stream",
                      input->values[CHUNKED].boolean ? -1 : length,
                      &(struct http_stream){read_bytes, on_stream_closed, s});
}

static const struct route routes[] = {
    {HTTP_GET, "/status", ROLE_NONE, ROUTE_BODY_NONE, 0, get_status},
    {HTTP_GET, "/large", ROLE_NONE, ROUTE_BODY_NONE, ROUTE_ETAG, get_large},
    {HTTP_POST, "/length", ROLE_NONE, ROUTE_BODY_JSON, 0, post_length},
    {HTTP_PUT, "/length", ROLE_NONE, ROUTE_BODY_OPTIONAL, 0, post_length},
    {HTTP_POST, "/fields", ROLE_NONE, ROUTE_BODY_JSON, 0, post_fields},
    {HTTP_POST, "/cookies", ROLE_NONE, ROUTE_BODY_NONE, 0, post_cookies},
    {HTTP_GET, "/bad-header", ROLE_NONE, ROUTE_BODY_NONE, 0, get_bad_header},
    {HTTP_GET, "/files/{file}", ROLE_NONE, ROUTE_BODY_NONE, 0, get_file},
    {HTTP_GET, "/who/{id}", ROLE_VIEWER, ROUTE_BODY_NONE, 0, who},
    {HTTP_POST, "/who/{id}", ROLE_OPERATOR, ROUTE_BODY_JSON, 0, who},
    {HTTP_PATCH, "/who/{id}", ROLE_OPERATOR, ROUTE_BODY_OPTIONAL, 0, who},
    {HTTP_DELETE, "/who/{id}", ROLE_ADMIN, ROUTE_BODY_NONE, 0, who},
    {HTTP_GET, "/events", ROLE_NONE, ROUTE_BODY_NONE, 0, get_events},
    {HTTP_GET, "/download", ROLE_NONE, ROUTE_BODY_NONE, 0, get_download},
};

/* -- the program */

static void on_idle(void *data)
{
    struct api *api = ((struct router *)data)->api;
    http_server_free(api->server);
    listen_close(&api->listening);
}

static void on_terminate(uv_signal_t *signal, int number)
{
    struct api *api = signal->data;
    (void)number;
    uv_close((uv_handle_t *)signal, NULL);
    http_server_drain(api->server, api->drain_ms, on_idle);
    api->listening.fd = -1;
}

static void read_limit(struct api *api, const char *text)
{
    const char *value = strchr(text, '=');
    size_t n = value ? (size_t)(value - text) : 0;
    long number = value ? strtol(value + 1, NULL, 10) : 0;
    const struct {
        const char *name;
        int64_t *ms;
    } times[] = {{"arrive_ms", &api->limits.arrive_ms},
                 {"linger_ms", &api->limits.linger_ms},
                 {"idle_ms", &api->limits.idle_ms},
                 {"answer_ms", &api->limits.answer_ms},
                 {"drain_ms", &api->drain_ms}};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        if (strlen(times[i].name) == n && strncmp(times[i].name, text, n) == 0)
            *times[i].ms = number;
    if (strncmp(text, "stall_s=", 8) == 0)
        api->limits.stall_s = (unsigned)number;
    if (strncmp(text, "bodies_max=", 11) == 0)
        api->limits.bodies_max = (size_t)number;
    if (strncmp(text, "answers_max=", 12) == 0)
        api->limits.answers_max = (size_t)number;
    if (strncmp(text, "streams_max=", 12) == 0)
        api->limits.streams_max = (unsigned)number;
}

int main(int argc, char **argv)
{
    static struct api api = {.drain_ms = 5000};
    struct http_app app = {.begin = route_begin, .serve = route_serve, .data = &api.router};
    struct error err = {0};
    log_init("http_routes", LOG_DEBUG, LOG_TEXT);
    signal(SIGPIPE, SIG_IGN);
    api.limits = http_limits_default;
    for (int i = 1; i < argc; i++)
        read_limit(&api, argv[i]);
    uv_loop_init(&api.loop);
    api.router = (struct router){.routes = routes,
                                 .n_routes = sizeof routes / sizeof *routes,
                                 .cors = &api.cors,
                                 .identify = identify,
                                 .api = &api};
    if (cors_init("https://page.example,http://localhost:3000", &api.cors, &err) ||
        listen_open("127.0.0.1:0", &api.listening, &err) ||
        http_server_new(&api.loop, api.listening.fd, &app, &api.limits, &api.server, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    uv_signal_init(&api.loop, &api.terminate);
    api.terminate.data = &api;
    uv_signal_start(&api.terminate, on_terminate, SIGTERM);
    log_info("listening on %s", api.listening.address);
    uv_run(&api.loop, UV_RUN_DEFAULT);
    cors_deinit(&api.cors);
    if (uv_loop_close(&api.loop))
        log_error("handles left open at the end");
    return 0;
}
