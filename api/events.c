/*
 * A stream: its own lines (retry, reset, comments), then events of the log from `next` on.
 *
 *   opened -> (source live? what was missed, or reset : reset once it is) -> events ... -> closed
 *                                                                  forgotten before it was taken -> cut
 */
#include "events.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "base/log.h"
#include "event_source.h"
#include "event_stream.h"
#include "input.h"
#include "problem.h"
#include "queue/look.h"
#include "store/json_rows.h"
#include "store/queues.h"

#define TICK_MS 5000
#define SILENT_MS 12500 /* a comment follows with the next tick: 15 s at most */
/* Of the places for streams some are left to downloads, however many listen. */
#define STREAMS_MAX ((int)http_limits_default.streams_max - DOWNLOADS_AT_ONCE)
#define STREAMS_PER_USER 32
#define LINGER_MS 15000 /* the source goes on without streams: pages reload */

struct events {
    struct api *api;
    struct event_log log;
    struct event_source *source;
    struct event_stream *streams;
    int n_streams;
    uv_timer_t tick, linger, queue;
    int n_handles;
    bool closing;
    bool checking;   /* identities */
    bool looking;    /* at the queues */
    char *last_look; /* the latest `queue` event's data */
};

extern const char bm_sql_events_identities[];

static int64_t now_ms(const struct events *events)
{
    return (int64_t)uv_now(events->api->loop);
}

/* -- the source -- */

static void wake(struct event_stream *stream)
{
    http_stream_wake(stream->request);
}

static void on_begun(void *data, const char *why)
{
    struct events *events = data;
    free(events->last_look);
    events->last_look = NULL;
    for (struct event_stream *stream = events->streams; stream; stream = stream->next_stream) {
        event_stream_reset(stream, why);
        wake(stream);
    }
}

static void on_added(void *data)
{
    struct events *events = data;
    for (struct event_stream *stream = events->streams; stream; stream = stream->next_stream)
        if (event_stream_has_more(stream))
            wake(stream);
}

/* -- who listens: are they still who they were? -- */

static bool is_named(const PGresult *good, const struct event_stream *stream)
{
    bool session = stream->identity.session_id != 0;
    int64_t id = session ? stream->identity.session_id : stream->identity.token_id;
    for (int i = 0; i < PQntuples(good); i++)
        if ((pg_bool(good, i, 0, 0) != 0) == session && pg_int(good, i, 1, 0) == id)
            return true;
    return false;
}

static void on_checked(void *data, const struct pg_results *results, const struct error *err)
{
    struct events *events = data;
    events->checking = false;
    if (err)
        log_debug("live events: whether sessions go on: %s; asking again", err->message);
    for (struct event_stream *stream = events->streams; results && stream; stream = stream->next_stream) {
        if (!stream->checked || is_named(results->results[0], stream))
            continue;
        event_stream_end(stream);
        wake(stream);
    }
}

static void check_identities(struct events *events)
{
    static const struct pg_statement statement = {"events_identities", bm_sql_events_identities, 2};
    struct pg_request *request = events->checking ? NULL : pg_request_new(events->api->pg);
    struct strbuf sessions, tokens;
    if (request == NULL)
        return;
    strbuf_init(&sessions, 64 << 10);
    strbuf_init(&tokens, 64 << 10);
    pg_array_begin(&sessions);
    pg_array_begin(&tokens);
    for (struct event_stream *stream = events->streams; stream; stream = stream->next_stream) {
        stream->checked = true;
        if (stream->identity.session_id)
            pg_array_int(&sessions, stream->identity.session_id);
        else
            pg_array_int(&tokens, stream->identity.token_id);
    }
    pg_array_end(&sessions);
    pg_array_end(&tokens);
    const char *values[] = {strbuf_cstr(&sessions), strbuf_cstr(&tokens)};
    pg_request_add(request, &statement, values);
    strbuf_deinit(&sessions);
    strbuf_deinit(&tokens);
    events->checking = true;
    pg_request_send(request, on_checked, events);
}

static void on_tick(uv_timer_t *timer)
{
    struct events *events = timer->data;
    for (struct event_stream *stream = events->streams; stream; stream = stream->next_stream) {
        if (now_ms(events) - stream->last_ms < SILENT_MS)
            continue;
        event_stream_comment(stream);
        wake(stream);
    }
    check_identities(events);
}

static void on_linger(uv_timer_t *timer)
{
    struct events *events = timer->data;
    event_source_stop(events->source);
}

/* -- how the queues are -- */

static void on_look(void *data, json_t *found, const struct error *err)
{
    struct events *events = data;
    events->looking = false;
    if (err)
        log_debug("live events: the queues: %s; looking again", err->message);
    json_t *told = found ? json_pack("{s:o}", "queues", found) : NULL;
    char *text = told ? json_dumps(told, JSON_COMPACT) : NULL;
    json_decref(told);
    bool changed = text && (events->last_look == NULL || strcmp(text, events->last_look) != 0);
    if (!changed || events->closing || !event_source_is_live(events->source)) {
        free(text);
        return;
    }
    event_source_add(events->source, EVENT_QUEUE, text);
    free(events->last_look);
    events->last_look = text;
}

static void on_queues(void *data, const struct pg_results *results, const struct error *err)
{
    struct events *events = data;
    struct queue_look look = {.kind = QUEUE_LOOK_STATS,
                              .within_ms = events->api->settings->lease_seconds * 1000};
    struct error why = {0};
    json_t *rows = results && !events->closing ? json_rows(results->results[0]) : NULL;
    events->looking = rows && queue_look(events->api->redis, rows, &look, on_look, events, &why) == 0;
    if (err || why.code)
        log_debug("live events: the queues: %s; looking again", err ? err->message : why.message);
    json_decref(rows);
}

static void on_queue_timer(uv_timer_t *timer)
{
    struct events *events = timer->data;
    bool wanted = false;
    for (const struct event_stream *stream = events->streams; stream && !wanted; stream = stream->next_stream)
        wanted = event_filter_matches(&stream->filter, &(struct event){.type = EVENT_QUEUE});
    struct pg_request *request = !wanted || events->looking || !event_source_is_live(events->source)
                                     ? NULL
                                     : pg_request_new(events->api->pg);
    if (request == NULL)
        return;
    queues_add_select(request, NULL);
    events->looking = true;
    pg_request_send(request, on_queues, events);
}

/* -- streams -- */

static ssize_t on_read(void *data, char *buffer, size_t size)
{
    struct event_stream *stream = data;
    ssize_t n = event_stream_read(stream, buffer, size);
    if (n > 0)
        stream->last_ms = now_ms(stream->events);
    return n;
}

static void on_closed(void *data, bool whole)
{
    struct event_stream *stream = data;
    struct events *events = stream->events;
    (void)whole;
    struct event_stream **link = &events->streams;
    while (*link != stream)
        link = &(*link)->next_stream;
    *link = stream->next_stream;
    free(stream);
    if (--events->n_streams > 0 || events->closing)
        return;
    uv_timer_stop(&events->tick);
    uv_timer_stop(&events->queue);
    uv_timer_start(&events->linger, on_linger, LINGER_MS, 0);
}

static void link_stream(struct events *events, struct event_stream *stream)
{
    stream->events = events;
    stream->log = &events->log;
    stream->last_ms = now_ms(events);
    stream->next_stream = events->streams;
    events->streams = stream;
    if (events->n_streams++ > 0)
        return;
    uv_timer_stop(&events->linger);
    uv_timer_start(&events->tick, on_tick, TICK_MS, TICK_MS);
    uv_timer_start(&events->queue, on_queue_timer, 0, EVENTS_QUEUE_MS);
    event_source_start(events->source);
}

/* False: replied to. */
static bool read_filter(struct http_request *request, struct event_filter *filter)
{
    enum { DATABASE, BACKUP, TYPES, FIELDS };
    static const struct input_field fields[FIELDS] = {
        [DATABASE] = {"database_id", INPUT_INTEGER, .min = 1, .max = INT32_MAX, .hint = "a database's id"},
        [BACKUP] = {"backup_id", INPUT_INTEGER, .min = 1, .max = INT32_MAX, .hint = "a backup's id"},
        [TYPES] = {"types", INPUT_TEXTS, .max = 40, .hint = "some of " EVENT_TYPES_TEXT},
    };
    const struct input *input = input_query(request, fields, FIELDS);
    if (input == NULL)
        return false;
    *filter = (struct event_filter){.database_id = input->values[DATABASE].integer,
                                    .backup_id = input->values[BACKUP].integer};
    size_t i;
    const json_t *word;
    json_array_foreach(input->values[TYPES].json, i, word)
    {
        int type = 0;
        while (event_type_names[type] && strcmp(event_type_names[type], json_string_value(word)) != 0)
            type++;
        if (event_type_names[type] == NULL) {
            struct problem problem;
            problem_init(&problem, 400, "the query is wrong");
            problem_add(&problem, "types", "there are no events '%.60s'; write some of " EVENT_TYPES_TEXT,
                        json_string_value(word));
            problem_send(&problem, request);
            return false;
        }
        filter->types |= 1u << type;
    }
    return true;
}

/* False: replied to. */
static bool check_share(const struct events *events, struct http_request *request)
{
    int held = 0;
    for (const struct event_stream *stream = events->streams; stream; stream = stream->next_stream)
        held += identity_is_same(&stream->identity, http_request_identity(request));
    if (held < STREAMS_PER_USER)
        return true;
    problem_reply_later(
        request, 429, 15,
        "%d of your event streams are open, as many as one user may have: close one, then ask "
        "again (one whose client has gone is noticed within 20 s)",
        held);
    return false;
}

void events_get(struct api *api, struct http_request *request)
{
    struct events *events = api->events;
    struct event_filter filter;
    if (!read_filter(request, &filter) || !check_share(events, request))
        return;
    if (events->n_streams >= STREAMS_MAX) {
        problem_reply_later(request, 503, 15, "%d streams are open, as many as there may be; ask again later",
                            events->n_streams);
        return;
    }
    struct event_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL) {
        problem_reply(request, 503, "out of memory");
        return;
    }
    stream->request = request;
    stream->filter = filter;
    stream->identity = *http_request_identity(request);
    bool live = event_source_is_live(events->source);
    link_stream(events, stream);
    event_stream_begin(stream, http_header(request, "Last-Event-ID"), live);
    http_set_header(request, "X-Accel-Buffering", "no"); /* nginx would hold events back */
    http_reply_stream(request, 200, "text/event-stream", -1,
                      &(struct http_stream){.read = on_read, .closed = on_closed, .data = stream});
}

/* -- beginning and end -- */

static void add_timer(struct events *events, uv_timer_t *timer)
{
    uv_timer_init(events->api->loop, timer);
    timer->data = events;
    events->n_handles++;
}

int events_new(struct api *api, struct events **ret_events, struct error *err)
{
    struct events *events = calloc(1, sizeof *events);
    if (events == NULL)
        return error_set(err, ERROR_SYSTEM, false, "out of memory");
    events->api = api;
    struct event_source_options options = {.url = api->settings->database_url,
                                           .log = &events->log,
                                           .on_begun = on_begun,
                                           .on_added = on_added,
                                           .data = events};
    int rc = event_source_new(api->loop, &options, &events->source, err);
    if (rc) {
        free(events);
        return rc;
    }
    add_timer(events, &events->tick);
    add_timer(events, &events->linger);
    add_timer(events, &events->queue);
    *ret_events = events;
    return 0;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct events *events = handle->data;
    if (--events->n_handles > 0)
        return;
    assert(events->streams == NULL);
    event_log_deinit(&events->log);
    free(events->last_look);
    free(events);
}

void events_close(struct events *events)
{
    if (events == NULL)
        return;
    events->closing = true;
    event_source_close(events->source);
    events->source = NULL;
    uv_close((uv_handle_t *)&events->tick, on_handle_closed);
    uv_close((uv_handle_t *)&events->linger, on_handle_closed);
    uv_close((uv_handle_t *)&events->queue, on_handle_closed);
}
