/*
 * The production of one backup's artifact: claimed on the backups row by the take, leased and fenced like an
 * upload, and independent of any destination's fate. Its end is one transaction; the jobs that wait in
 * parked:artifact leave for their bands afterwards.
 *
 *   RUNNING ──► ready ─────────────────────► written ──► jobs unparked
 *           ├─► source out of reach ──► retry, on the backup's own counter
 *           ├─► dump failed ──────────► all rows failed, with the child's words
 *           ├─► stopped ──────────────► given back: a drain, or a lease that could not be renewed
 *           └─► someone else's by now ► nothing written, staged file removed
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "artifact/staging.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "base/utf8.h"
#include "worker.h"

static void production_free(struct production *p)
{
    struct worker *w = p->worker;
    if (p->next)
        p->next->previous = p->previous;
    if (p->previous)
        p->previous->next = p->next;
    else
        w->productions = p->next;
    w->n_productions--;
    shared_result_unref(p->strings);
    free(p);
    worker_work_changed(w);
}

static void on_end_written(void *data, const struct pg_results *results, const struct error *err)
{
    struct production *p = data;
    struct worker *w = p->worker;
    w->asking--;
    if (results == NULL) {
        worker_complain(w, "PostgreSQL", err);
        if (err->retryable) {
            p->deadline_ms = clock_monotonic_ms() + 1000; /* the tick writes it again */
            worker_work_changed(w);
            return;
        }
        log_error("backup %" PRId64 ": the end of its dump can't be recorded: %s", p->backup_id,
                  err->message);
        staging_remove(w->settings->staging_dir, p->backup_id, p->fence);
        production_free(p);
        return;
    }
    int index = p->outcome == PRODUCTION_FAILED ? 1 : 0;
    if (PQntuples(results->results[index]) == 0) {
        log_warn("backup %" PRId64 " artifact fence %" PRId64 ": no longer ours, outcome not recorded",
                 p->backup_id, p->fence);
        staging_remove(w->settings->staging_dir, p->backup_id, p->fence);
    } else {
        dispatch_unpark_rows(w, "artifact", results->results[index + 1]);
    }
    production_free(p);
}

void production_write_end(struct production *p)
{
    struct worker *w = p->worker;
    struct pg_request *request = pg_request_new(w->pg);
    int index, rc = -1;
    p->running = false;
    p->deadline_ms = INT64_MAX;
    if (request == NULL)
        abort();
    switch (p->outcome) {
    case PRODUCTION_READY:
        rc = rows_add_artifact_ready(request, &p->end, &index);
        break;
    case PRODUCTION_FAILED:
        rc = rows_add_artifact_failed(request, &p->end, &index);
        break;
    case PRODUCTION_RETRY:
        rc = rows_add_artifact_retry(request, &p->end, true, &index);
        break;
    case PRODUCTION_GIVEN_BACK:
        rc = rows_add_artifact_retry(request, &p->end, false, &index);
        break;
    }
    if (rc)
        abort();
    w->asking++;
    pg_request_send(request, on_end_written, p);
}

static void fail_or_retry(struct production *p, const struct error *err)
{
    const struct settings *s = p->worker->settings;
    p->error = *err;
    utf8_clean(p->error.message);
    p->end.error_code = error_code_name(err->code);
    p->end.error_message = p->error.message;
    p->outcome = PRODUCTION_FAILED;
    if (err->retryable && p->row.artifact_attempts < s->max_attempts) {
        p->outcome = PRODUCTION_RETRY;
        p->end.delay_ms =
            backoff_ms((int)p->row.artifact_attempts, s->retry_base_ms, s->retry_cap_ms, random_u64());
        log_warn("backup %s: attempt %" PRId64 " to read its source failed, again in %" PRId64 " ms: %s",
                 p->row.backup_name, p->row.artifact_attempts, p->end.delay_ms, err->message);
    } else
        log_error("backup %s: failed: %s", p->row.backup_name, err->message);
    production_write_end(p);
}

static void on_produced(void *data, const struct producer_result *result, const struct error *err)
{
    struct production *p = data;
    struct worker *w = p->worker;
    p->producer = NULL;
    if (p->stop == STOP_STALE) {
        log_warn("backup %s: artifact fence %" PRId64 " is no longer ours; what was made of it is removed",
                 p->row.backup_name, p->fence);
        staging_remove(w->settings->staging_dir, p->backup_id, p->fence);
        production_free(p);
        return;
    }
    if (result) {
        memcpy(p->sha256, result->sha256, sizeof p->sha256);
        p->end.sha256 = p->sha256;
        p->end.size = (int64_t)result->size;
        p->end.source_bytes = (int64_t)result->source_bytes;
        p->end.seconds = result->seconds;
        p->outcome = PRODUCTION_READY;
        log_info("backup %s: artifact ready, %" PRIu64 " bytes from %" PRIu64 ", %.1f s, sha256 %s",
                 p->row.backup_name, result->size, result->source_bytes, result->seconds, result->sha256);
        production_write_end(p);
    } else if (p->stop != STOP_NOT) {
        p->outcome = PRODUCTION_GIVEN_BACK;
        production_write_end(p);
    } else
        fail_or_retry(p, err);
}

void production_start(struct worker *w, const struct row_judged *row, struct shared_result *strings,
                      int64_t sent_at_ms)
{
    const struct settings *s = w->settings;
    struct error err = {0};
    struct production *p = calloc(1, sizeof *p);
    if (p == NULL)
        abort();
    p->worker = w;
    p->row = *row;
    p->strings = shared_result_ref(strings);
    p->backup_id = row->backup_id;
    p->fence = row->artifact_fence;
    p->end = (struct artifact_end){.backup_id = p->backup_id, .fence = p->fence};
    p->deadline_ms = sent_at_ms + w->lease_ms - w->lease_ms / 5;
    p->next = w->productions;
    if (w->productions)
        w->productions->previous = p;
    w->productions = p;
    w->n_productions++;
    p->request = (struct producer_request){.loop = w->loop,
                                           .source = row->source,
                                           .pg_dump = s->pg_dump,
                                           .tar = s->tar,
                                           .command_environment = s->command_environment,
                                           .secrets = w->access->secrets,
                                           .legacy_key_ref = s->legacy_encryption_key_ref,
                                           .staging_dir = s->staging_dir,
                                           .backup_id = p->backup_id,
                                           .fence = p->fence,
                                           .md5 = storage_driver_any_can(row->storage_types, STORAGE_CAP_MD5),
                                           .done = on_produced,
                                           .data = p};
    if (row->artifact_takes > ROWS_POISON_TAKES) {
        error_set(&err, ERROR_LIMIT, false, "poison: its dump was begun %d times, each time the worker died",
                  ROWS_POISON_TAKES);
        fail_or_retry(p, &err);
        return;
    }
    /* what dead producers left of this backup here */
    for (int64_t older = p->fence - 1; older > 0 && older >= p->fence - 16; older--)
        staging_remove(s->staging_dir, p->backup_id, older);
    log_info("backup %s: dump of %s source begins, artifact fence %" PRId64, row->backup_name,
             row->source.db_type, p->fence);
    p->running = true;
    if (producer_start(&p->request, &p->producer, &err))
        fail_or_retry(p, &err);
}

void production_stop(struct production *p, enum stop_reason why)
{
    if (p->stop == STOP_NOT)
        p->stop = why;
    if (p->producer)
        producer_cancel(p->producer);
}
