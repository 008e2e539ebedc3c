#include "relay.h"

#include <stdlib.h>

#include "api.h"
#include "base/log.h"

/* How often, and how many times, a lock that another program holds is tried again. */
enum { BUSY_WAIT_MS = 500, BUSY_TRIES = 20 };

struct relays {
    struct maintenance *maintenance;
    uv_timer_t retry; /* runs while the lock is held elsewhere */
    bool running, closing;
    bool relay;      /* wanted: rows without a job */
    unsigned locked; /* wanted: the flags of a pass under the lock; 0 none */
    unsigned under;  /* the flags of the pass under way */
    int tries;       /* of the wanted pass under the lock that found it held */
    int handles;     /* that have not closed yet */
};

static void run_next(struct relays *relays);

static void on_retry(uv_timer_t *timer)
{
    run_next(timer->data);
}

/* The other program's pass may have begun before our rows were there. */
static void lock_is_held(struct relays *relays, unsigned flags)
{
    if (++relays->tries > BUSY_TRIES) {
        relays->tries = 0;
        log_info("queue: another program is still looking through it; its next pass unparks what can go on");
        return;
    }
    relays->locked |= flags;
    uv_timer_start(&relays->retry, on_retry, BUSY_WAIT_MS, 0);
}

static void on_pass(void *data, const struct maintenance_report *report, const struct error *err)
{
    struct relays *relays = data;
    relays->running = false;
    if (relays->closing)
        return;
    if (err)
        log_warn(
            "queue: %s; the rows are recorded, a worker or the scheduler queues them when it reaches Redis",
            err->message);
    else if (report->busy)
        lock_is_held(relays, relays->under);
    else if (!(relays->under & MAINTENANCE_NO_LOCK))
        relays->tries = 0;
    run_next(relays);
}

static void run_next(struct relays *relays)
{
    if (relays->running)
        return;
    if (relays->relay) {
        relays->relay = false;
        relays->under = MAINTENANCE_RELAY | MAINTENANCE_NO_LOCK;
    } else if (relays->locked && !uv_is_active((uv_handle_t *)&relays->retry)) {
        relays->under = relays->locked;
        relays->locked = 0;
    } else
        return;
    relays->running = true;
    maintenance_run(relays->maintenance, relays->under, on_pass, relays);
}

void relay_soon(struct api *api, unsigned maintenance_flags)
{
    struct relays *relays = api->relays;
    if (relays == NULL || relays->closing)
        return;
    unsigned locked = maintenance_flags & (MAINTENANCE_RECONCILE | MAINTENANCE_NOW);
    relays->relay = true;
    relays->locked |= locked;
    run_next(relays);
}

int relays_new(struct api *api, struct relays **ret_relays, struct error *err)
{
    struct maintenance_options options = {.database_url = api->settings->database_url,
                                          .pg = api->pg,
                                          .redis = api->redis,
                                          .lease_seconds = api->settings->lease_seconds,
                                          .reconcile_seconds = api->settings->reconcile_seconds,
                                          .handover_seconds = api->settings->handover_seconds};
    struct relays *relays = calloc(1, sizeof *relays);
    if (relays == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    int rc = maintenance_new(api->loop, &options, &relays->maintenance, err);
    if (rc) {
        free(relays);
        return rc;
    }
    uv_timer_init(api->loop, &relays->retry);
    relays->retry.data = relays;
    *ret_relays = relays;
    return 0;
}

static void release(struct relays *relays)
{
    if (--relays->handles == 0)
        free(relays);
}

static void on_maintenance_closed(void *data)
{
    release(data);
}

static void on_timer_closed(uv_handle_t *handle)
{
    release(handle->data);
}

void relays_close(struct relays *relays)
{
    if (relays == NULL)
        return;
    relays->closing = true;
    relays->handles = 2;
    maintenance_close(relays->maintenance, on_maintenance_closed, relays);
    uv_close((uv_handle_t *)&relays->retry, on_timer_closed);
}
