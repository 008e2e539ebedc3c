/*
 * One timer for all: it renews the leases, tells how far they are, gives up what a disk keeps hanging, and
 * tries again to write ends that PostgreSQL did not take.
 *
 *   WAITS -> BEGINS -> WORKS -> ENDS -> ENDED -> gone, once no driver is asked any more (busy)
 *
 * A driver at a hung disk may answer in an hour: the operation ends as failed without it, its place is free
 * for another, and what remains of it is counted (LEFT_MAX) until the thread has come back.
 */
#include "operations.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "ask.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"

enum {
    TICK_MS = 1000,
    RENEW_MS = 10000,
    LEASE_SECONDS = 30,
    STILL_MS = 30000, /* a disk without progress */
    END_TRIES = 60,
    LEFT_MAX = 24,
    ARRAY_MAX = 4096,
};

TAILQ_HEAD(operation_list, operation);

struct operations {
    struct api *api;
    uv_timer_t tick;
    struct operation_list list; /* in the order in which they came */
    int n;                      /* of list */
    int n_open;                 /* those that wait or run, and those whose row is being made */
    int n_running;
    char owner[128];
    int64_t renewed_ms;
    bool telling;
    bool stopped;
    bool freed;
    int64_t drain_until_ms; /* 0: nobody waits */
    void (*on_stopped)(void *data);
    void *data;
};

static void start_some(struct operations *all);

const char *operation_kind_name(enum operation_kind kind)
{
    static const char *const names[] = {"verify", "delete", "test"};
    return names[kind];
}

int operations_new(struct api *api, struct operations **ret_operations, struct error *err)
{
    struct operations *all = calloc(1, sizeof *all);
    char host[64] = "localhost", random[9];
    if (all == NULL)
        return error_set(err, ERROR_SYSTEM, false, "out of memory");
    all->api = api;
    TAILQ_INIT(&all->list);
    gethostname(host, sizeof host - 1);
    random_hex(random, 4);
    snprintf(all->owner, sizeof all->owner, "%s-%d-%s", host, (int)getpid(), random);
    uv_timer_init(api->loop, &all->tick);
    all->tick.data = all;
    *ret_operations = all;
    return 0;
}

/* --- the end of one, and of all --- */

static void on_tick_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void go_when_empty(struct operations *all)
{
    if (all->freed && all->n == 0 && !all->telling && !uv_is_closing((uv_handle_t *)&all->tick))
        uv_close((uv_handle_t *)&all->tick, on_tick_closed);
}

static void drained(struct operations *all)
{
    if (all->drain_until_ms == 0 || (all->n_open > 0 && clock_monotonic_ms() < all->drain_until_ms))
        return;
    all->drain_until_ms = 0;
    all->on_stopped(all->data);
}

void operation_free(struct operation *o)
{
    free((char *)o->order.object_name);
    free((char *)o->order.destination);
    json_decref(o->list);
    copies_free(&o->copies);
    storage_place_close(&o->place);
    PQclear(o->columns);
    free(o);
}

static void go_when_ended(struct operation *o)
{
    struct operations *all = o->all;
    if (o->state != OPERATION_ENDED || o->busy || o->asking)
        return;
    TAILQ_REMOVE(&all->list, o, link);
    all->n--;
    operation_free(o);
    if (all->n == 0)
        uv_timer_stop(&all->tick);
    go_when_empty(all);
}

static void close_place(struct operation *o)
{
    o->all->n_open--;
    o->state = OPERATION_ENDED;
    struct operations *all = o->all;
    go_when_ended(o);
    start_some(all);
}

/* --- writing the end --- */

static void on_end_written(void *data, const struct pg_results *results, const struct error *err)
{
    struct operation *o = data;
    (void)results;
    o->asking = false;
    if (o->state == OPERATION_ENDED) {
        go_when_ended(o);
        return;
    }
    if (err && err->retryable && ++o->end_tries < END_TRIES)
        return; /* the tick tries again */
    if (err)
        log_warn("operation %lld: its end could not be written: %s; it will be shown as interrupted",
                 (long long)o->id, err->message);
    close_place(o);
}

static json_t *result_of(const struct operation *o)
{
    if (o->order.kind == OPERATION_TEST)
        return json_pack("{s:b, s:O}", "ok", !o->bad, "steps", o->list);
    return json_pack("{s:b, s:O}", "ok", !o->bad, "copies", o->list);
}

static void write_end(struct operation *o)
{
    json_t *result = result_of(o);
    char *text = result ? json_dumps(result, JSON_COMPACT) : NULL;
    char id[24], bytes[24], total[24];
    json_decref(result);
    snprintf(id, sizeof id, "%lld", (long long)o->id);
    snprintf(bytes, sizeof bytes, "%llu", (unsigned long long)o->bytes);
    snprintf(total, sizeof total, "%llu", (unsigned long long)o->bytes_total);
    struct pg_request *question = pg_request_new(o->api->pg);
    const struct pg_statement statement = {
        .sql =
            "UPDATE operations SET state = $2, result = $3::jsonb, error_message = $4, bytes_done = $5::bigint,"
            " bytes_total = nullif($7::bigint, 0), ended_at = clock_timestamp()"
            " WHERE id = $1::int AND owner = $6 AND state IN ('waiting', 'running')",
        .n_params = 7};
    const char *values[] = {id,    o->failure[0] ? "failed" : "done",
                            text,  o->failure[0] ? o->failure : NULL,
                            bytes, o->all->owner,
                            total};
    if (question)
        pg_request_add(question, &statement, values);
    free(text);
    if (question == NULL)
        return; /* the tick tries again */
    o->asking = true;
    pg_request_send(question, on_end_written, o);
}

void operation_end(struct operation *o)
{
    if (o->state >= OPERATION_ENDS)
        return;
    if (o->state != OPERATION_WAITS)
        o->all->n_running--;
    o->state = OPERATION_ENDS;
    log_info("operation %lld: %s of '%s' %s%s", (long long)o->id, operation_kind_name(o->order.kind),
             o->order.object_name, o->failure[0] ? "failed: " : "is done", o->failure);
    write_end(o);
}

void operation_fail(struct operation *o, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(o->failure, sizeof o->failure, format, arguments);
    va_end(arguments);
    o->bad = true;
    operation_end(o);
}

/* --- a driver at work --- */

void operation_asks(struct operation *o)
{
    o->busy = true;
    o->moved_ms = clock_monotonic_ms();
    o->seen_bytes = operation_bytes(o);
}

bool operation_answered(struct operation *o)
{
    o->busy = false;
    hung_disk_remove(&o->hung);
    if (o->state < OPERATION_ENDS)
        return false;
    go_when_ended(o);
    return true;
}

/* --- PostgreSQL is told what a driver said --- */

static void on_answer(void *data, const struct pg_results *results, const struct error *err)
{
    struct operation *o = data;
    o->asking = false;
    if (o->state >= OPERATION_ENDS) {
        go_when_ended(o);
        return;
    }
    if (err)
        operation_fail(o, "%s", err->message);
    else
        o->told(o, results);
}

void operation_tell(struct operation *o, struct pg_request *question, int added, operation_told told)
{
    if (added) {
        pg_request_free(question);
        operation_fail(o, "out of memory");
        return;
    }
    o->told = told;
    o->asking = true;
    pg_request_send(question, on_answer, o);
}

bool operation_is_stopped(const struct operation *o)
{
    return o->all->stopped;
}

/* False: it has just been given up. */
static bool look_at(struct operation *o, int64_t now)
{
    uint64_t bytes = operation_bytes(o);
    if (bytes != o->seen_bytes) {
        o->seen_bytes = bytes;
        o->moved_ms = now;
    }
    const char *disk = operation_disk(o);
    if (!o->busy || disk == NULL || now - o->moved_ms < STILL_MS)
        return true;
    hung_disk_add(&o->api->hung_disks, &o->hung, disk);
    operation_cancel_work(o);
    operation_fail(o,
                   "the disk at '%.300s' has not answered for %d s; see what is wrong with it and ask again",
                   disk, STILL_MS / 1000);
    return false;
}

/* --- beginning --- */

static void on_begun(void *data, const struct pg_results *results, const struct error *err)
{
    struct operation *o = data;
    o->asking = false;
    if (o->state != OPERATION_BEGINS) {
        go_when_ended(o);
        return;
    }
    if (err) {
        operation_fail(o, "%s", err->message);
        return;
    }
    o->state = OPERATION_WORKS;
    if (o->all->stopped)
        operation_fail(o, "the server ended before it began; ask for it again");
    else if (o->order.kind == OPERATION_TEST)
        operation_test_begin(o, results->results[1]);
    else
        operation_copies_begin(o, results->results[1]);
}

static void begin(struct operation *o)
{
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)o->id);
    struct pg_request *question = pg_request_new(o->api->pg);
    const struct pg_statement statement = {
        .sql = "UPDATE operations SET state = 'running', started_at = clock_timestamp()"
               " WHERE id = $1::int AND owner = $2 AND state = 'waiting'",
        .n_params = 2};
    o->state = OPERATION_BEGINS;
    o->all->n_running++;
    int added =
        question ? pg_request_add(question, &statement, (const char *const[]){id, o->all->owner}) : -1;
    if (added == 0)
        added = o->order.kind == OPERATION_TEST ? operation_test_add(question, o)
                                                : operation_copies_add(question, o);
    if (added) {
        pg_request_free(question);
        operation_fail(o, "out of memory");
    } else {
        o->asking = true;
        pg_request_send(question, on_begun, o);
    }
}

static void start_some(struct operations *all)
{
    struct operation *o, *next;
    for (o = TAILQ_FIRST(&all->list); o && all->n_running < OPERATIONS_AT_ONCE && !all->stopped; o = next) {
        next = TAILQ_NEXT(o, link);
        if (o->state == OPERATION_WAITS)
            begin(o);
    }
    drained(all);
}

/* --- leases and progress --- */

static void on_told(void *data, const struct pg_results *results, const struct error *err)
{
    struct operations *all = data;
    (void)results;
    all->telling = false;
    if (err)
        log_debug("operations: leases could not be renewed: %s", err->message);
    go_when_empty(all);
}

static void tell(struct operations *all, const char *ids, const char *bytes, const char *totals)
{
    char seconds[24];
    snprintf(seconds, sizeof seconds, "%d", LEASE_SECONDS);
    struct pg_request *question = pg_request_new(all->api->pg);
    const struct pg_statement statement = {
        .sql = "UPDATE operations o SET lease_until = clock_timestamp() + make_interval(secs => $5::int),"
               " bytes_done = m.bytes, bytes_total = nullif(m.total, 0)"
               " FROM unnest($1::int[], $2::bigint[], $3::bigint[]) AS m(id, bytes, total)"
               " WHERE o.id = m.id AND o.owner = $4 AND o.state IN ('waiting', 'running')",
        .n_params = 5};
    if (question == NULL || pg_request_add(question, &statement,
                                           (const char *const[]){ids, bytes, totals, all->owner, seconds})) {
        pg_request_free(question);
        return;
    }
    all->telling = true;
    all->renewed_ms = clock_monotonic_ms();
    pg_request_send(question, on_told, all);
}

static void tell_all(struct operations *all, int64_t now)
{
    struct operation *o;
    bool moved = false;
    struct strbuf ids, bytes, totals;
    strbuf_init(&ids, ARRAY_MAX);
    strbuf_init(&bytes, ARRAY_MAX);
    strbuf_init(&totals, ARRAY_MAX);
    pg_array_begin(&ids);
    pg_array_begin(&bytes);
    pg_array_begin(&totals);
    TAILQ_FOREACH(o, &all->list, link)
    {
        if (o->state >= OPERATION_ENDS)
            continue;
        uint64_t done = operation_bytes(o);
        moved |= done != o->told_bytes;
        o->told_bytes = done;
        pg_array_int(&ids, o->id);
        pg_array_int(&bytes, (int64_t)done);
        pg_array_int(&totals, (int64_t)o->bytes_total);
    }
    pg_array_end(&ids);
    pg_array_end(&bytes);
    pg_array_end(&totals);
    if (!all->telling && all->api->pg && (moved || now - all->renewed_ms >= RENEW_MS))
        tell(all, strbuf_cstr(&ids), strbuf_cstr(&bytes), strbuf_cstr(&totals));
    strbuf_deinit(&ids);
    strbuf_deinit(&bytes);
    strbuf_deinit(&totals);
}

static void on_tick(uv_timer_t *timer)
{
    struct operations *all = timer->data;
    struct operation *o, *next;
    int64_t now = clock_monotonic_ms();
    for (o = TAILQ_FIRST(&all->list); o; o = next) {
        next = TAILQ_NEXT(o, link);
        if (o->state == OPERATION_ENDS && !o->asking)
            write_end(o);
        else if (o->state < OPERATION_ENDS)
            look_at(o, now);
    }
    tell_all(all, now);
    drained(all);
}

/* --- the program's end --- */

void operations_stop(struct operations *all)
{
    struct operation *o, *next;
    all->stopped = true;
    for (o = TAILQ_FIRST(&all->list); o; o = next) {
        next = TAILQ_NEXT(o, link);
        if (o->state == OPERATION_WAITS)
            operation_fail(o, "the server ended before it began; ask for it again");
        else if (o->state < OPERATION_ENDS && o->busy)
            operation_cancel_work(o);
    }
}

void operations_drain(struct operations *all, int64_t limit_ms, void (*stopped)(void *data), void *data)
{
    all->on_stopped = stopped;
    all->data = data;
    all->drain_until_ms = clock_monotonic_ms() + limit_ms;
    drained(all);
}

void operations_free(struct operations *all)
{
    if (all == NULL)
        return;
    all->freed = all->stopped = true;
    struct operation *o, *next;
    for (o = TAILQ_FIRST(&all->list); o; o = next) {
        next = TAILQ_NEXT(o, link);
        if (o->busy)
            operation_cancel_work(o);
        if (o->state < OPERATION_ENDED)
            close_place(o); /* its lease ends: it will be shown as interrupted */
    }
    go_when_empty(all);
}

/* --- taking in --- */

bool operations_reserve(struct operations *all)
{
    int n_left = all->n - all->n_open;
    if (all->n_open >= OPERATIONS_AT_ONCE + OPERATIONS_WAITING || n_left >= LEFT_MAX || all->stopped)
        return false;
    all->n_open++;
    return true;
}

void operations_give_back(struct operations *all)
{
    all->n_open--;
}

const char *operations_owner(const struct operations *all)
{
    return all->owner;
}

bool operations_have_ended(const struct operations *all)
{
    return all->freed;
}

void operations_take(struct operations *all, struct operation *o)
{
    TAILQ_INSERT_TAIL(&all->list, o, link);
    all->n++;
    if (!uv_is_active((uv_handle_t *)&all->tick))
        uv_timer_start(&all->tick, on_tick, TICK_MS, TICK_MS);
    if (all->stopped)
        operation_fail(o, "the server ended before it began; ask for it again");
    else
        start_some(all);
}
