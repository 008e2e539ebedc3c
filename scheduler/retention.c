/* Batches in transactions of their own, a bounded number in a run: what is left over is the next run's. */
#include "retention.h"

#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "store/audit.h"

enum { BATCHES_MAX = 20 };

static bool send_batch(struct retention *r);

static void finish(struct retention *r, const struct error *err)
{
    if (r->removed)
        log_write(LOG_INFO, "audit log: %" PRId64 " row(s) older than %" PRId64 " days removed", r->removed,
                  r->days);
    if (err && err->code != ERROR_CANCELLED && strcmp(err->message, r->trouble.message) != 0)
        log_write(LOG_WARN,
                  "audit log: what is older than %" PRId64 " days was not removed: %s; trying again", r->days,
                  err->message);
    r->trouble = err ? *err : (struct error){0};
    r->running = false;
    if (r->cb)
        r->cb(r->data, err == NULL);
}

static void on_batch(void *data, const struct pg_results *results, const struct error *err)
{
    struct retention *r = data;
    int64_t removed = results ? pg_int(results->results[0], 0, 0, 0) : 0;
    r->removed += removed;
    if (removed < AUDIT_PRUNE_MAX || ++r->batches == BATCHES_MAX || !send_batch(r))
        finish(r, err);
}

/* False: memory is out. */
static bool send_batch(struct retention *r)
{
    struct pg_request *request = pg_request_new(r->pg);
    if (request == NULL)
        return false;
    audit_add_prune(request, r->days);
    pg_request_send(request, on_batch, r);
    return true;
}

bool retention_run(struct retention *r, retention_done_fn cb, void *data)
{
    if (r->days == 0 || r->running)
        return false;
    r->removed = 0;
    r->batches = 0;
    r->cb = cb;
    r->data = data;
    r->running = send_batch(r);
    return r->running;
}
