/*
 *            +------------------- error, connection lost: wait RETRY_MS -------------------+
 *            v                                                                             |
 *   OFF -> LISTENING (committed) -> LOCKING (the locks of bm_nobody_listens) -> LIVE: read, pause, read, ...
 *                                      | somebody's transaction holds one too long
 *                                      v
 *                                   LIVE, not sure: what comes is told; LOCKING again after RELOCK_MS, then a
 *                                   new epoch, for what that transaction did in silence
 *
 * One request is under way at a time. In LIVE one is sent at least every ALIVE_MS, so that a dead connection
 * is noticed. While the connection is busy PostgreSQL holds notifications back: it can't flood this program.
 */
#include "event_source.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/random.h"
#include "loop/pg.h"

#define RETRY_MS 1000
#define RELOCK_MS 5000
#define ALIVE_MS 10000
#define GAP_MS 5000 /* between epochs that begin because too much happens */
#define LOCK_TIMEOUT_MS "1000"

enum { PENDING_MAX = 4096, READ_MAX = 200 };

enum state { OFF, WAITING, LISTENING, LOCKING, LIVE };

struct event_source {
    uv_loop_t *loop;
    struct event_source_options options;
    enum state state;
    struct pg_client *pg;                    /* NULL: OFF */
    uv_timer_t timer;                        /* WAITING: listen again; LIVE: the next turn */
    bool sure;                               /* all locks are held */
    char hello[24];                          /* said to itself when it began; "" once it has been heard */
    bool begun;                              /* an epoch goes on */
    bool reading;                            /* the next turn waits for an answer */
    bool added;                              /* since on_added ran */
    bool too_much;                           /* something was not noted: a new epoch must begin */
    int64_t last_read_ms, relock_ms, gap_ms; /* the loop's clock */
    int64_t listened_ms;                     /* PostgreSQL's */
    int64_t pending[PENDING_MAX];            /* backups that were touched, ascending */
    int n_pending;
    int64_t taken[READ_MAX]; /* those under way, ascending */
    int n_taken;
    int64_t last_taken; /* the next read begins behind it, so that everyone's turn comes */
};

extern const char bm_sql_events_backups[];

static const struct pg_statement clock_statement = {
    "events_clock", "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint", 0};

static void on_timer(uv_timer_t *timer);
static void turn_later(struct event_source *source);

static int64_t now_ms(const struct event_source *source)
{
    return (int64_t)uv_now(source->loop);
}

/* -- what was touched -- */

/* Where id stands or would stand. */
static int place_of(const struct event_source *source, int64_t id)
{
    int low = 0, high = source->n_pending;
    while (low < high) {
        int middle = (low + high) / 2;
        if (source->pending[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void note(struct event_source *source, int64_t id)
{
    int at = place_of(source, id);
    if (id < 1 || id > INT32_MAX || (at < source->n_pending && source->pending[at] == id))
        return;
    if (source->n_pending == PENDING_MAX) {
        source->too_much = true;
        return;
    }
    memmove(&source->pending[at + 1], &source->pending[at],
            (size_t)(source->n_pending - at) * sizeof *source->pending);
    source->pending[at] = id;
    source->n_pending++;
}

/* Moves up to READ_MAX ids from pending to taken, beginning behind the last one of the time before. */
static void take(struct event_source *source)
{
    int n = source->n_pending < READ_MAX ? source->n_pending : READ_MAX;
    int first = place_of(source, source->last_taken + 1);
    if (first + n > source->n_pending)
        first = source->n_pending - n;
    memcpy(source->taken, &source->pending[first], (size_t)n * sizeof *source->taken);
    source->n_pending -= n;
    memmove(&source->pending[first], &source->pending[first + n],
            (size_t)(source->n_pending - first) * sizeof *source->pending);
    source->n_taken = n;
    bool at_the_end = first == source->n_pending;
    source->last_taken = n == 0 || at_the_end ? 0 : source->taken[n - 1];
}

/* -- the log -- */

static void begin_epoch(struct event_source *source, int64_t at_ms, const char *why)
{
    event_log_begin(source->options.log, at_ms);
    if (!source->sure || source->too_much)
        source->options.log->since_ms = INT64_MAX;
    source->begun = true;
    source->added = source->too_much = false;
    source->options.on_begun(source->options.data, why);
}

static void add(struct event_source *source, const struct event *event, const char *data)
{
    if (source->begun && !event_log_add(source->options.log, event, data))
        source->too_much = true;
    source->added = true;
}

static void add_read(struct event_source *source, const PGresult *rows, int64_t at_ms)
{
    int row = 0;
    for (int i = 0; i < source->n_taken; i++) {
        int64_t id = source->taken[i];
        struct event event = {.at_ms = at_ms, .backup_id = id};
        char data[48];
        if (row < PQntuples(rows) && pg_int(rows, row, 0, 0) == id) {
            event.type = EVENT_BACKUP;
            event.database_id = pg_int(rows, row, 1, 0);
            add(source, &event, pg_text(rows, row, 2));
            row++;
        } else {
            event.type = EVENT_BACKUP_DELETED;
            snprintf(data, sizeof data, "{\"id\":%" PRId64 "}", id);
            add(source, &event, data);
        }
    }
}

void event_source_add(struct event_source *source, enum event_type type, const char *data)
{
    if (!source->begun)
        return;
    add(source, &(struct event){.type = type, .at_ms = source->options.log->at_ms}, data);
    turn_later(source);
}

/* -- notifications -- */

/* What is said whole goes into the log as it is. */
static void add_said(struct event_source *source, const json_t *what, struct event event)
{
    event.at_ms = source->options.log->at_ms;
    char *data = json_dumps(what, JSON_COMPACT);
    if (data)
        add(source, &event, data);
    else
        source->too_much = true;
    free(data);
}

static void on_configuration(struct event_source *source, const json_t *what)
{
    const char *kind = json_string_value(json_object_get(what, "kind"));
    const char *of = kind && strcmp(kind, "database") == 0 ? "id" : "database_id";
    add_said(source, what,
             (struct event){.type = EVENT_CONFIGURATION,
                            .database_id = json_integer_value(json_object_get(what, of))});
}

static void on_operation(struct event_source *source, const json_t *what)
{
    add_said(source, what,
             (struct event){.type = EVENT_OPERATION,
                            .backup_id = json_integer_value(json_object_get(what, "backup_id"))});
}

static void on_notification(void *data, const char *channel, const char *payload)
{
    struct event_source *source = data;
    json_t *said = json_loads(payload, 0, NULL);
    const json_t *ids = json_object_get(said, "backups"), *id;
    const json_t *what = json_object_get(said, "configuration"), *work = json_object_get(said, "operation");
    size_t i;
    (void)channel;
    const char *hello = json_string_value(json_object_get(said, "hello"));
    if (hello && strcmp(hello, source->hello) == 0)
        source->hello[0] = '\0';
    json_array_foreach(ids, i, id) note(source, json_integer_value(id));
    if (json_is_null(ids))
        source->too_much = true;
    if (json_is_object(what) && source->begun)
        on_configuration(source, what);
    if (json_is_object(work) && source->begun)
        on_operation(source, work);
    json_decref(said);
    turn_later(source);
}

/* -- the connection -- */

/* Everything from the beginning, soon. */
static void start_over(struct event_source *source)
{
    source->state = WAITING;
    source->begun = source->reading = source->sure = false;
    source->n_pending = 0;
    uv_timer_start(&source->timer, on_timer, RETRY_MS, 0);
}

static void on_lost(void *data, const struct error *why)
{
    struct event_source *source = data;
    log_warn("%s; live events stop until there is a connection again", why->message);
    start_over(source);
}

/* False: an answer that came too late, or failed, and what follows has been seen to. */
static bool is_good(struct event_source *source, const struct error *err)
{
    if (source->pg == NULL || err == NULL)
        return source->pg != NULL;
    log_debug("live events: %s; trying again", err->message);
    start_over(source);
    return false;
}

static struct pg_request *request_new(struct event_source *source)
{
    struct pg_request *request = pg_request_new(source->pg);
    if (request == NULL)
        start_over(source);
    return request;
}

static void on_locked(void *data, const struct pg_results *results, const struct error *err)
{
    struct event_source *source = data;
    bool held_elsewhere = err && strcmp(err->native, "55P03") == 0;
    if (!held_elsewhere && !is_good(source, err))
        return;
    source->sure = !held_elsewhere;
    source->relock_ms = now_ms(source) + RELOCK_MS;
    source->state = LIVE;
    source->last_read_ms = now_ms(source);
    if (held_elsewhere)
        log_debug("live events: a transaction goes on that began before anybody listened");
    if (source->sure)
        begin_epoch(source, pg_int(results->results[2], 0, 0, 0), "new");
    else if (!source->begun)
        begin_epoch(source, source->listened_ms, "new");
    turn_later(source);
}

static void lock(struct event_source *source)
{
    /* First all that are free, whatever the wait for the others comes to. They stay when that fails. */
    static const struct pg_statement free_ones = {
        NULL, "SELECT count(pg_try_advisory_lock_shared(7305173, i)) FROM generate_series(0, 63) AS i", 0};
    static const struct pg_statement all = {
        NULL, "SELECT count(pg_advisory_lock_shared(7305173, i)) FROM generate_series(0, 63) AS i", 0};
    struct pg_request *request = request_new(source);
    if (request == NULL)
        return;
    source->state = LOCKING;
    pg_request_add(request, &free_ones, NULL);
    pg_request_add(request, &all, NULL);
    pg_request_add(request, &clock_statement, NULL);
    pg_request_send(request, on_locked, source);
}

static void on_listening(void *data, const struct pg_results *results, const struct error *err)
{
    struct event_source *source = data;
    if (!is_good(source, err))
        return;
    source->listened_ms = pg_int(results->results[0], 0, 0, 0);
    lock(source);
}

static void listen_again(struct event_source *source)
{
    static const struct pg_statement settings = {
        NULL, "SELECT set_config('lock_timeout', '" LOCK_TIMEOUT_MS "', false)", 0};
    static const struct pg_statement listen = {NULL, "LISTEN bm_events", 0};
    static const struct pg_statement hello = {
        NULL, "SELECT pg_notify('bm_events', jsonb_build_object('hello', $1::text)::text)", 1};
    struct pg_request *request = request_new(source);
    const char *values[] = {source->hello};
    if (request == NULL)
        return;
    random_hex(source->hello, 8);
    source->state = LISTENING;
    pg_request_add(request, &clock_statement, NULL);
    pg_request_add(request, &settings, NULL);
    pg_request_add(request, &listen, NULL);
    pg_request_add(request, &hello, values);
    pg_request_send(request, on_listening, source);
}

/* -- LIVE: turns -- */

static void on_read(void *data, const struct pg_results *results, const struct error *err)
{
    struct event_source *source = data;
    if (!is_good(source, err))
        return;
    source->reading = false;
    if (source->hello[0])
        log_warn(
            "live events: PostgreSQL's notifications don't arrive; behind a pooler they need its session "
            "mode, or BM_DATABASE_URL straight to the server");
    source->hello[0] = '\0';
    /* The log's time moves on only when nothing older waits. */
    struct event_log *log = source->options.log;
    int64_t at_ms = pg_int(results->results[0], 0, 0, 0);
    if (source->n_pending > 0 || at_ms < log->at_ms)
        at_ms = log->at_ms;
    else if (source->sure && log->since_ms == INT64_MAX)
        log->since_ms = at_ms;
    add_read(source, results->results[1], at_ms);
    turn_later(source);
}

static void read_touched(struct event_source *source)
{
    static const struct pg_statement backups = {"events_backups", bm_sql_events_backups, 1};
    struct pg_request *request = request_new(source);
    struct strbuf ids;
    if (request == NULL)
        return;
    strbuf_init(&ids, 16 << 10);
    take(source);
    pg_array_begin(&ids);
    for (int i = 0; i < source->n_taken; i++)
        pg_array_int(&ids, source->taken[i]);
    pg_array_end(&ids);
    const char *values[] = {strbuf_cstr(&ids)};
    pg_request_add(request, &clock_statement, NULL);
    pg_request_add(request, &backups, values);
    strbuf_deinit(&ids);
    source->reading = true;
    source->last_read_ms = now_ms(source);
    pg_request_send(request, on_read, source);
}

static void turn(struct event_source *source)
{
    int64_t now = now_ms(source);
    if (source->too_much && now >= source->gap_ms) {
        source->gap_ms = now + GAP_MS;
        source->n_pending = 0;
        begin_epoch(source, source->options.log->at_ms, "too much");
    }
    if (source->added) {
        source->added = false;
        source->options.on_added(source->options.data);
    }
    if (source->reading)
        return;
    if (!source->sure && now >= source->relock_ms)
        lock(source);
    else if (now >= source->last_read_ms + (source->n_pending ? EVENT_SOURCE_PAUSE_MS : ALIVE_MS))
        read_touched(source);
    else
        turn_later(source);
}

/* Sets the timer to what is due first. */
static void turn_later(struct event_source *source)
{
    if (source->state != LIVE)
        return;
    int64_t now = now_ms(source), due = INT64_MAX;
    if (!source->reading) {
        due = source->last_read_ms + (source->n_pending ? EVENT_SOURCE_PAUSE_MS : ALIVE_MS);
        if (!source->sure && source->relock_ms < due)
            due = source->relock_ms;
    }
    if (source->too_much && source->gap_ms < due)
        due = source->gap_ms;
    if (source->added)
        due = now;
    if (due == INT64_MAX)
        uv_timer_stop(&source->timer);
    else
        uv_timer_start(&source->timer, on_timer, due > now ? (uint64_t)(due - now) : 0, 0);
}

static void on_timer(uv_timer_t *timer)
{
    struct event_source *source = timer->data;
    if (source->state == WAITING)
        listen_again(source);
    else if (source->state == LIVE)
        turn(source);
}

/* -- beginning and end -- */

int event_source_new(uv_loop_t *loop, const struct event_source_options *options,
                     struct event_source **ret_source, struct error *err)
{
    struct event_source *source = calloc(1, sizeof *source);
    if (source == NULL)
        return error_set(err, ERROR_SYSTEM, false, "out of memory");
    source->loop = loop;
    source->options = *options;
    uv_timer_init(loop, &source->timer);
    source->timer.data = source;
    *ret_source = source;
    return 0;
}

void event_source_start(struct event_source *source)
{
    struct pg_options options = {.url = source->options.url,
                                 .application_name = "backup-api events",
                                 .connect_timeout_ms = 3000,
                                 .unreachable_after_ms = 3000,
                                 .request_timeout_ms = 10000,
                                 .on_notification = on_notification,
                                 .on_lost = on_lost,
                                 .data = source};
    struct error err;
    if (source->state != OFF)
        return;
    if (pg_client_new(source->loop, &options, &source->pg, &err)) {
        log_error("live events: %s; the next stream tries again", err.message);
        return;
    }
    listen_again(source);
}

void event_source_stop(struct event_source *source)
{
    struct pg_client *pg = source->pg;
    source->pg = NULL; /* answers from now on are of no use */
    source->state = OFF;
    source->begun = source->reading = source->sure = source->added = source->too_much = false;
    source->n_pending = 0;
    uv_timer_stop(&source->timer);
    pg_client_close(pg, NULL, NULL);
}

bool event_source_is_live(const struct event_source *source)
{
    return source->begun;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void event_source_close(struct event_source *source)
{
    if (source == NULL)
        return;
    event_source_stop(source);
    uv_close((uv_handle_t *)&source->timer, on_closed);
}
