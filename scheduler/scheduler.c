/*
 * A daemon runs a pass when the next schedule is due, and at least every PASS_MAX_MS to see what was changed;
 * when PostgreSQL can't be asked, again after a while. Upkeep (relay, reconciler, reaper, unpark:
 * queue/maintenance.h) runs every BM_RELAY_SECONDS, and at once, for the new rows only, after a pass that
 * made backups. The two don't wait for each other.
 *
 * After each pass the audit log is shortened, where that is wanted (retention.h).
 *
 * With once: one pass, one upkeep, the audit log, end.
 *
 * SIGTERM and SIGINT close everything at once: a transaction under way is either committed or not, and its
 * jobs are the next relay's.
 */
#include "scheduler.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "base/backoff.h"
#include "base/log.h"
#include "base/random.h"
#include "loop/end_signals.h"
#include "loop/pg.h"
#include "loop/redis.h"
#include "pass.h"
#include "queue/maintenance.h"
#include "retention.h"

enum {
    PASS_MAX_MS = 15000,
    RETRY_BASE_MS = 500,
    RETRY_CAP_MS = 10000,
    UNREACHABLE_AFTER_MS = 5000, /* a daemon says early that PostgreSQL is gone */
};

struct scheduler {
    uv_loop_t loop;
    const struct settings *settings;
    bool once;
    bool stopping;
    int status;

    struct pg_client *pg;
    struct redis_client *redis;
    struct maintenance *maintenance;
    struct pass *pass;
    struct retention retention;

    uv_signal_t on_term, on_int;
    uv_timer_t pass_timer, upkeep_timer;

    int pass_failures; /* in a row */
    bool upkeep_running;
    bool new_rows;               /* to be relayed once the upkeep under way has ended */
    struct error upkeep_trouble; /* what was logged last; code 0 while all is well */
};

static void stop(struct scheduler *s)
{
    if (s->stopping)
        return;
    s->stopping = true;
    uv_close((uv_handle_t *)&s->pass_timer, NULL);
    uv_close((uv_handle_t *)&s->upkeep_timer, NULL);
    if (s->maintenance)
        maintenance_close(s->maintenance, NULL, NULL);
    if (s->redis)
        redis_client_close(s->redis, NULL, NULL);
    if (s->pg)
        pg_client_close(s->pg, NULL, NULL);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct scheduler *s = handle->data;
    if (!s->stopping)
        log_write(LOG_INFO, "%s: stopping", number == SIGTERM ? "SIGTERM" : "SIGINT");
    stop(s);
}

/* ---- upkeep ---- */

static void upkeep(struct scheduler *s, unsigned flags);

static void say_upkeep(struct scheduler *s, const struct maintenance_report *report, const struct error *err)
{
    if (err) {
        if (strcmp(s->upkeep_trouble.message, err->message) != 0)
            log_write(s->once ? LOG_ERROR : LOG_WARN, "the queue was not brought up to date: %s; %s",
                      err->message, s->once ? "the next relay, of any program, does it" : "trying again");
        s->upkeep_trouble = *err;
        return;
    }
    if (s->upkeep_trouble.code)
        log_write(LOG_INFO, "the queue is up to date again");
    s->upkeep_trouble = (struct error){0};
    if (report->relayed || report->reaped || report->unparked || report->restored)
        log_write(LOG_INFO,
                  "queue: %" PRId64 " job(s) relayed, %" PRId64 " taken from silent workers, %" PRId64
                  " unparked, %" PRId64 " restored",
                  report->relayed, report->reaped, report->unparked, report->restored);
}

static void on_retained(void *data, bool ok)
{
    struct scheduler *s = data;
    if (s->stopping)
        return;
    if (!ok)
        s->status = 1;
    stop(s);
}

static void on_upkeep(void *data, const struct maintenance_report *report, const struct error *err)
{
    struct scheduler *s = data;
    s->upkeep_running = false;
    if (s->stopping)
        return;
    say_upkeep(s, report, err);
    if (s->once && err)
        s->status = 1;
    /* Another program holds the lock; its pass may have begun before the new rows were there. */
    bool relay = s->new_rows && (!s->once || (!err && report->busy));
    s->new_rows = false;
    if (relay)
        upkeep(s, MAINTENANCE_NO_LOCK);
    else if (s->once && !retention_run(&s->retention, on_retained, s))
        stop(s);
}

static void upkeep(struct scheduler *s, unsigned flags)
{
    s->upkeep_running = true;
    maintenance_run(s->maintenance, flags, on_upkeep, s);
}

static void on_upkeep_timer(uv_timer_t *timer)
{
    struct scheduler *s = timer->data;
    if (!s->upkeep_running)
        upkeep(s, MAINTENANCE_RECONCILE);
}

/* ---- passes ---- */

static void start_pass(struct scheduler *s);

static void on_pass_timer(uv_timer_t *timer)
{
    start_pass(timer->data);
}

static const char *hint(const struct error *err)
{
    bool no_schema = strcmp(err->native, "42P01") == 0 || strcmp(err->native, "42703") == 0;
    return no_schema ? " (bring the database up to date: backupctl migrate up)" : "";
}

static void pass_failed(struct scheduler *s, const struct error *err)
{
    if (s->once) {
        log_write(LOG_ERROR, "the schedules could not be run: %s%s", err->message, hint(err));
        s->status = 1;
        stop(s);
        return;
    }
    int64_t delay_ms = backoff_ms(++s->pass_failures, RETRY_BASE_MS, RETRY_CAP_MS, random_u64());
    log_write(LOG_ERROR, "the schedules could not be run: %s%s; retrying in %.1f s", err->message, hint(err),
              (double)delay_ms / 1000);
    uv_timer_start(&s->pass_timer, on_pass_timer, (uint64_t)delay_ms, 0);
}

static void pass_succeeded(struct scheduler *s, const struct pass_report *report)
{
    if (s->pass_failures)
        log_write(LOG_INFO, "PostgreSQL answers again");
    s->pass_failures = 0;
    s->new_rows = s->new_rows || report->created > 0;
    if (s->once) {
        s->status = report->failed > 0;
        upkeep(s, MAINTENANCE_RECONCILE | MAINTENANCE_NOW);
        return;
    }
    if (s->new_rows && !s->upkeep_running) {
        s->new_rows = false;
        upkeep(s, MAINTENANCE_NO_LOCK);
    }
    retention_run(&s->retention, NULL, NULL);
    uv_update_time(&s->loop);
    int64_t wait_ms = PASS_MAX_MS;
    int64_t due_ms = report->wake_at_ms - (int64_t)uv_now(&s->loop);
    if (report->wake_at_ms >= 0 && due_ms < wait_ms)
        wait_ms = due_ms > 0 ? due_ms : 0;
    uv_timer_start(&s->pass_timer, on_pass_timer, (uint64_t)wait_ms, 0);
}

static void on_pass(void *data, const struct pass_report *report, const struct error *err)
{
    struct scheduler *s = data;
    if (s->stopping)
        return;
    if (err)
        pass_failed(s, err);
    else
        pass_succeeded(s, report);
}

static void start_pass(struct scheduler *s)
{
    struct error err = {0};
    if (pass_run(s->pass, on_pass, s, &err))
        pass_failed(s, &err);
}

/* ---- start and end ---- */

static int open_clients(struct scheduler *s, struct error *err)
{
    const struct settings *settings = s->settings;
    const struct pg_options pg = {
        .url = settings->database_url,
        .application_name = "backup-scheduler",
        .unreachable_after_ms = s->once ? 0 : UNREACHABLE_AFTER_MS,
    };
    const struct redis_options redis = {.url = settings->redis_url, .name = "backup-scheduler"};
    int rc = pg_client_new(&s->loop, &pg, &s->pg, err);
    if (rc == 0)
        rc = redis_client_new(&s->loop, &redis, &s->redis, err);
    if (rc)
        return rc;
    const struct maintenance_options maintenance = {
        .database_url = settings->database_url,
        .pg = s->pg,
        .redis = s->redis,
        .lease_seconds = settings->lease_seconds,
        .reconcile_seconds = settings->reconcile_seconds,
        .handover_seconds = settings->handover_seconds,
    };
    rc = maintenance_new(&s->loop, &maintenance, &s->maintenance, err);
    if (rc)
        return rc;
    const struct pass_options pass = {
        .pg = s->pg,
        .misfire_grace_seconds = settings->misfire_grace_seconds,
        .misfire_cap = settings->misfire_cap,
    };
    s->retention = (struct retention){.pg = s->pg, .days = settings->audit_retention_days};
    return pass_new(&s->loop, &pass, &s->pass, err);
}

static void begin(struct scheduler *s)
{
    /* Not referenced: they stay to the very end, so that an impatient second signal does not kill. */
    uv_signal_start(&s->on_term, on_signal, SIGTERM);
    uv_signal_start(&s->on_int, on_signal, SIGINT);
    end_signals_hold();
    uv_unref((uv_handle_t *)&s->on_term);
    uv_unref((uv_handle_t *)&s->on_int);
    if (!s->once) {
        const struct settings *set = s->settings;
        int64_t period =
            set->relay_seconds < set->reconcile_seconds ? set->relay_seconds : set->reconcile_seconds;
        uint64_t period_ms = (uint64_t)period * 1000;
        uv_timer_start(&s->upkeep_timer, on_upkeep_timer, 0, period_ms);
        log_write(LOG_INFO, "started");
    }
    start_pass(s);
}

static void close_signals(struct scheduler *s)
{
    uv_close((uv_handle_t *)&s->on_term, NULL);
    uv_close((uv_handle_t *)&s->on_int, NULL);
}

int scheduler_main(const struct settings *settings, bool once, int *ret_status, struct error *err)
{
    struct scheduler s = {.settings = settings, .once = once};
    int rc = uv_loop_init(&s.loop);
    if (rc)
        return error_set(err, ERROR_SYSTEM, false, "no event loop: %s", uv_strerror(rc));
    uv_signal_init(&s.loop, &s.on_term);
    uv_signal_init(&s.loop, &s.on_int);
    uv_timer_init(&s.loop, &s.pass_timer);
    uv_timer_init(&s.loop, &s.upkeep_timer);
    s.on_term.data = s.on_int.data = s.pass_timer.data = s.upkeep_timer.data = &s;
    rc = open_clients(&s, err);
    if (rc == 0)
        begin(&s);
    else
        stop(&s);
    uv_run(&s.loop, UV_RUN_DEFAULT);
    close_signals(&s);
    uv_run(&s.loop, UV_RUN_DEFAULT);
    pass_free(s.pass);
    uv_loop_close(&s.loop);
    if (rc == 0)
        *ret_status = s.status;
    return rc;
}
