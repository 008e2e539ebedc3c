/*
 * LOAD -> ADVANCE -> FIRE -> FIRE ... -> done
 *
 * LOAD reads PostgreSQL's clock and every active schedule; each is judged at once (store/schedule.h). ADVANCE
 * writes the next_run_at of those that have nothing to run. FIRE makes one backup and moves its schedule's
 * next_run_at to the following fire time, in one transaction: next_run_at is always the first one not yet
 * dealt with, so that a crash between two runs of one schedule loses none.
 *
 * All clocks are PostgreSQL's: two schedulers agree on what is due. Side by side they do no harm: every write
 * is bound to the next_run_at that was read, and a schedule and fire time have one backup at most.
 */
#include "pass.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "store/backup_create.h"
#include "store/schedule.h"
#include "troubles.h"

enum { ARRAY_MAX = 16 * 1024 * 1024 };

/* The same instant as in C: whole seconds, 0 for none. */
#define NEXT_SECONDS                                                                                         \
    "coalesce(floor(extract(epoch FROM CASE WHEN isfinite(next_run_at) THEN next_run_at END)), 0)"

static const struct pg_statement clock_statement = {
    "scheduler_clock", "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint", 0};

static const struct pg_statement load_statement = {
    "scheduler_load",
    "SELECT s.id, s.name, s.database_id, s.schedule_type, s.cron_expression, s.interval_value, s.timezone, "
    "s.misfire_policy, s.ordering, " NEXT_SECONDS "::bigint "
    "FROM schedules s JOIN databases d ON d.id = s.database_id "
    "WHERE s.is_active AND d.is_active AND s.schedule_type <> 'manual' ORDER BY s.id",
    0};
enum { ID, NAME, DATABASE_ID, TYPE, CRON, INTERVAL, TIMEZONE, MISFIRE, ORDERING, NEXT_RUN_AT };

static const struct pg_statement advance_statement = {
    "scheduler_advance",
    "UPDATE schedules s SET next_run_at = to_timestamp(x.next) "
    "FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS x (id, expected, next) "
    "WHERE s.id = x.id AND s.is_active AND " NEXT_SECONDS " = x.expected",
    3};

static const struct pg_statement ran_statement = {
    "scheduler_ran",
    "UPDATE schedules s SET next_run_at = to_timestamp($3::bigint), last_run_at = clock_timestamp() "
    "WHERE s.id = $1::bigint AND s.is_active AND " NEXT_SECONDS " = $2::bigint",
    3};

struct entry {
    int64_t id;
    int64_t database_id;
    char *name;
    const char *ordering;
    int64_t next_run_at; /* as the row has it */
    int64_t next;        /* once all fires have run */
    int64_t *fires;
    int n_fires;
    bool failed;
};

struct pass {
    uv_loop_t *loop;
    struct pass_options options;
    pass_done_fn cb;
    void *data;
    struct pass_report report;

    int64_t now_ms;        /* PostgreSQL's clock at LOAD */
    uint64_t loaded_at_ms; /* uv_now then */
    struct entry *entries; /* of LOAD; what is due first comes first */
    int n_entries;
    int at_entry, at_fire;
    struct troubles troubles;
};

int pass_new(uv_loop_t *loop, const struct pass_options *options, struct pass **ret_pass, struct error *err)
{
    struct pass *pass = calloc(1, sizeof *pass);
    if (pass == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    pass->loop = loop;
    pass->options = *options;
    *ret_pass = pass;
    return 0;
}

static void forget_entries(struct pass *pass)
{
    for (int i = 0; i < pass->n_entries; i++) {
        free(pass->entries[i].name);
        free(pass->entries[i].fires);
    }
    free(pass->entries);
    pass->entries = NULL;
    pass->n_entries = 0;
}

void pass_free(struct pass *pass)
{
    if (pass == NULL)
        return;
    forget_entries(pass);
    troubles_deinit(&pass->troubles);
    free(pass);
}

static void finish(struct pass *pass, const struct error *err)
{
    pass->report.wake_at_ms = -1;
    int64_t due = 0;
    for (int i = 0; i < pass->n_entries; i++) {
        const struct entry *e = &pass->entries[i];
        if (!e->failed && (due == 0 || e->next < due))
            due = e->next;
    }
    if (due) {
        int64_t wait_ms = due * 1000 - pass->now_ms + 1;
        pass->report.wake_at_ms = (int64_t)pass->loaded_at_ms + (wait_ms > 0 ? wait_ms : 0);
    }
    forget_entries(pass);
    if (err == NULL)
        troubles_end(&pass->troubles);
    pass->cb(pass->data, &pass->report, err);
}

static void finish_without_memory(struct pass *pass)
{
    struct error err;
    error_set(&err, ERROR_SYSTEM, true, "out of memory");
    finish(pass, &err);
}

static void complain(struct pass *pass, int64_t id, const char *name, const char *message,
                     const char *what_next)
{
    if (troubles_tell(&pass->troubles, id, message))
        log_write(LOG_ERROR, "schedule '%s' (id %" PRId64 "): %s; %s", name, id, message, what_next);
}

/* ---- firing ---- */

static void fire(struct pass *pass);

static void say_created(const struct entry *e, int64_t fire_time, const struct backup_created *created)
{
    char when[CLOCK_ISO8601_SIZE];
    clock_iso8601(fire_time * 1000, when);
    if (created->existed)
        log_write(LOG_DEBUG, "schedule '%s': backup %s for %s exists already", e->name, created->name, when);
    else if (created->failed)
        log_write(LOG_ERROR, "schedule '%s': backup %" PRId64 " (%s) for %s is recorded as failed: %s",
                  e->name, created->id, created->name, when, created->error_message);
    else
        log_write(LOG_INFO, "schedule '%s': backup %" PRId64 " (%s) for %s, %" PRId64 " destination%s",
                  e->name, created->id, created->name, when, created->n_destinations,
                  created->n_destinations == 1 ? "" : "s");
}

static int64_t following(const struct entry *e, int at_fire)
{
    return at_fire + 1 < e->n_fires ? e->fires[at_fire + 1] : e->next;
}

static void on_fired(void *data, const struct pg_results *results, const struct error *err)
{
    struct pass *pass = data;
    struct entry *e = &pass->entries[pass->at_entry];
    struct backup_created created;
    struct error why = {0};
    if (results == NULL && (err->retryable || err->code == ERROR_CANCELLED)) {
        finish(pass, err);
        return;
    }
    if (results == NULL) {
        e->failed = true;
        pass->report.failed++;
        complain(pass, e->id, e->name, err->message, "it will be tried again");
    } else if (backup_create_read(results->results[BACKUP_CREATE_STATEMENTS - 1], &created, &why) == 0) {
        say_created(e, e->fires[pass->at_fire], &created);
        pass->report.created += !created.existed;
        e->next_run_at = following(e, pass->at_fire);
        pass->at_fire++;
    } else {
        /* Another scheduler ran it, or someone edits it: the next pass sees what it is now. */
        log_write(LOG_DEBUG, "schedule '%s': changed while it was fired", e->name);
        pass->at_fire = e->n_fires;
    }
    fire(pass);
}

static int add_fire(struct pg_request *request, const struct entry *e, int at_fire)
{
    const struct backup_create wanted = {
        .database_id = e->database_id,
        .schedule_id = e->id,
        .fire_time = e->fires[at_fire],
        .while_next = e->next_run_at,
        .ordering = e->ordering,
    };
    char id[24], expected[24], next[24];
    snprintf(id, sizeof id, "%" PRId64, e->id);
    snprintf(expected, sizeof expected, "%" PRId64, e->next_run_at);
    snprintf(next, sizeof next, "%" PRId64, following(e, at_fire));
    return backup_create_add(request, &wanted) ||
           pg_request_add(request, &ran_statement, (const char *const[]){id, expected, next});
}

static void fire(struct pass *pass)
{
    while (pass->at_entry < pass->n_entries) {
        const struct entry *e = &pass->entries[pass->at_entry];
        if (!e->failed && pass->at_fire < e->n_fires)
            break;
        pass->at_entry++;
        pass->at_fire = 0;
    }
    if (pass->at_entry == pass->n_entries) {
        finish(pass, NULL);
        return;
    }
    struct pg_request *request = pg_request_new(pass->options.pg);
    if (request == NULL || add_fire(request, &pass->entries[pass->at_entry], pass->at_fire)) {
        pg_request_free(request);
        finish_without_memory(pass);
        return;
    }
    pg_request_send(request, on_fired, pass);
}

/* ---- next_run_at of the others ---- */

static void on_advanced(void *data, const struct pg_results *results, const struct error *err)
{
    struct pass *pass = data;
    if (results == NULL)
        finish(pass, err);
    else
        fire(pass);
}

static bool advances(const struct entry *e)
{
    return e->n_fires == 0 && !e->failed && e->next != e->next_run_at;
}

static int add_advance(struct pg_request *request, const struct pass *pass)
{
    struct strbuf arrays[3];
    for (int i = 0; i < 3; i++) {
        strbuf_init(&arrays[i], ARRAY_MAX);
        pg_array_begin(&arrays[i]);
    }
    for (int i = 0; i < pass->n_entries; i++) {
        const struct entry *e = &pass->entries[i];
        if (!advances(e))
            continue;
        pg_array_int(&arrays[0], e->id);
        pg_array_int(&arrays[1], e->next_run_at);
        pg_array_int(&arrays[2], e->next);
    }
    const char *values[3];
    int rc = 0;
    for (int i = 0; i < 3; i++) {
        pg_array_end(&arrays[i]);
        values[i] = strbuf_cstr(&arrays[i]);
        rc = arrays[i].failed ? -1 : rc;
    }
    if (rc == 0)
        rc = pg_request_add(request, &advance_statement, values);
    for (int i = 0; i < 3; i++)
        strbuf_deinit(&arrays[i]);
    return rc;
}

static void advance(struct pass *pass)
{
    bool any = false;
    for (int i = 0; i < pass->n_entries; i++)
        any = any || advances(&pass->entries[i]);
    if (!any) {
        fire(pass);
        return;
    }
    struct pg_request *request = pg_request_new(pass->options.pg);
    if (request == NULL || add_advance(request, pass)) {
        pg_request_free(request);
        finish_without_memory(pass);
        return;
    }
    pg_request_send(request, on_advanced, pass);
}

/* ---- loading ---- */

static const char *known_ordering(const char *ordering)
{
    return ordering && strcmp(ordering, "sequential") == 0 ? "sequential" : "parallel";
}

static void say_missed(const struct entry *e, int64_t now, const char *policy)
{
    if (e->next_run_at == 0 || e->next_run_at > now || e->n_fires > 0)
        return;
    char missed[CLOCK_ISO8601_SIZE], next[CLOCK_ISO8601_SIZE];
    clock_iso8601(e->next_run_at * 1000, missed);
    clock_iso8601(e->next * 1000, next);
    log_write(LOG_WARN,
              "schedule '%s': the run of %s was missed and is skipped (misfire policy %s); next at %s",
              e->name, missed, policy, next);
}

/* Judges one row. Returns -1 when memory is out; a row that is wrong is complained of and makes no entry. */
static int judge(struct pass *pass, const PGresult *r, int row)
{
    struct schedule_rule rule;
    struct schedule_policy policy = {.grace_seconds = pass->options.misfire_grace_seconds,
                                     .cap = (int)pass->options.misfire_cap};
    struct error err = {0};
    int64_t id = pg_int(r, row, ID, 0);
    const char *misfire = pg_text(r, row, MISFIRE);
    int rc = schedule_misfire_parse(misfire ? misfire : "once", &policy.misfire, &err);
    if (rc == 0)
        rc = schedule_rule_load(pg_text(r, row, TYPE), pg_text(r, row, CRON), pg_text(r, row, INTERVAL),
                                pg_text(r, row, TIMEZONE), &rule, NULL, &err);
    if (rc) {
        complain(pass, id, pg_text(r, row, NAME), err.message,
                 "it does not run until it is corrected: backupctl schedule update");
        return err.code == ERROR_SYSTEM ? -1 : 0;
    }
    struct entry *e = &pass->entries[pass->n_entries];
    *e = (struct entry){
        .id = id,
        .database_id = pg_int(r, row, DATABASE_ID, 0),
        .name = strdup(pg_text(r, row, NAME)),
        .ordering = known_ordering(pg_text(r, row, ORDERING)),
        .next_run_at = pg_int(r, row, NEXT_RUN_AT, 0),
        .fires = calloc((size_t)policy.cap, sizeof *e->fires),
    };
    pass->n_entries++;
    if (e->name && e->fires) {
        int64_t now = pass->now_ms / 1000;
        e->n_fires = schedule_plan(&rule, &policy, e->next_run_at, now, e->fires, &e->next);
        say_missed(e, now, misfire);
    }
    schedule_rule_deinit(&rule);
    return e->name && e->fires ? 0 : -1;
}

static int due_first(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int64_t left = x->n_fires ? x->fires[0] : INT64_MAX, right = y->n_fires ? y->fires[0] : INT64_MAX;
    if (left != right)
        return left < right ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static void on_loaded(void *data, const struct pg_results *results, const struct error *err)
{
    struct pass *pass = data;
    if (results == NULL) {
        finish(pass, err);
        return;
    }
    uv_update_time(pass->loop);
    pass->loaded_at_ms = uv_now(pass->loop);
    pass->now_ms = pg_int(results->results[0], 0, 0, 0);
    const PGresult *r = results->results[1];
    int n = PQntuples(r);
    pass->entries = calloc((size_t)n + 1, sizeof *pass->entries);
    int rc = pass->entries ? 0 : -1;
    troubles_begin(&pass->troubles);
    for (int row = 0; row < n && rc == 0; row++)
        rc = judge(pass, r, row);
    if (rc) {
        finish_without_memory(pass);
        return;
    }
    qsort(pass->entries, (size_t)pass->n_entries, sizeof *pass->entries, due_first);
    advance(pass);
}

int pass_run(struct pass *pass, pass_done_fn cb, void *data, struct error *err)
{
    pass->cb = cb;
    pass->data = data;
    pass->report = (struct pass_report){.wake_at_ms = -1};
    pass->at_entry = pass->at_fire = 0;
    struct pg_request *request = pg_request_new(pass->options.pg);
    if (request == NULL || pg_request_add(request, &clock_statement, NULL) ||
        pg_request_add(request, &load_statement, NULL)) {
        pg_request_free(request);
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    pg_request_send(request, on_loaded, pass);
    return 0;
}
