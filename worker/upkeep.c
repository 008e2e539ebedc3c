/*
 * What a worker does beside its jobs, now and then: relay and reconcile (queue/maintenance.h), and the
 * staging directory: an artifact goes when all its copies are completed, or BM_STAGING_KEEP_HOURS after its
 * backup ended; one of an older generation, of a removed backup, or left unfinished by a dead worker goes at
 * once.
 */
#include <stdlib.h>
#include <string.h>

#include "artifact/staging.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "worker.h"

enum { SWEEP_MAX = 4096, SWEEP_SECONDS = 60 };

struct removal {
    uv_work_t work;
    const char *dir; /* of the settings */
    struct worker *worker;
    int n;
    struct staged_artifact artifacts[];
};

static void remove_work(uv_work_t *work)
{
    struct removal *r = work->data;
    for (int i = 0; i < r->n; i++)
        staging_remove(r->dir, r->artifacts[i].backup_id, r->artifacts[i].fence);
}

static void on_removed(uv_work_t *work, int status)
{
    struct removal *r = work->data;
    (void)status;
    r->worker->asking--;
    free(r);
}

void upkeep_remove_staged(struct worker *w, const struct staged_artifact *artifacts, int n)
{
    struct removal *r = n > 0 ? malloc(sizeof *r + sizeof *artifacts * (size_t)n) : NULL;
    if (r == NULL)
        return; /* the sweep finds them */
    *r = (struct removal){.dir = w->settings->staging_dir, .worker = w, .n = n};
    memcpy(r->artifacts, artifacts, sizeof *artifacts * (size_t)n);
    r->work.data = r;
    w->asking++;
    uv_queue_work(w->loop, &r->work, remove_work, on_removed);
}

/* ---- sweep of the staging directory ---- */

struct sweep {
    uv_work_t work;
    struct worker *worker;
    struct staging_entry entries[SWEEP_MAX];
    int n;
    struct error err;
};

static const struct pg_statement judge_staged = {
    NULL,
    "SELECT w.backup_id, w.fence FROM unnest($1::int[], $2::bigint[]) w (backup_id, fence)"
    " LEFT JOIN backups b ON b.id = w.backup_id"
    " WHERE b.id IS NULL OR w.fence < b.artifact_fence"
    "  OR b.artifact_state <> 'producing' AND (b.status = 'completed' OR b.status IN ('partial', 'failed')"
    "   AND coalesce(b.completed_at, b.created_at) < clock_timestamp() - $3::float8 * interval '1 hour')",
    3};

static const struct pg_statement mark_gone = {
    NULL,
    "UPDATE backups b SET artifact_state = 'gone' FROM unnest($1::int[], $2::bigint[]) w (backup_id, fence)"
    " WHERE b.id = w.backup_id AND b.artifact_fence = w.fence AND b.artifact_state = 'ready' AND "
    "b.artifact_host = $3"
    "  AND b.status IN ('completed', 'partial', 'failed')",
    3};

static void end_sweep(struct sweep *s)
{
    s->worker->sweeping = false;
    s->worker->asking--;
    free(s);
}

struct gone {
    struct worker *worker;
    PGresult *rows;
};

static void on_marked(void *data, const struct pg_results *results, const struct error *err)
{
    struct gone *g = data;
    struct worker *w = g->worker;
    (void)err;
    w->asking--;
    struct staged_artifact artifacts[SWEEP_MAX];
    int n = results ? PQntuples(g->rows) : 0;
    for (int i = 0; i < n; i++) {
        artifacts[i] = (struct staged_artifact){pg_int(g->rows, i, 0, 0), pg_int(g->rows, i, 1, 0)};
        log_info("staging: artifact of backup %lld, generation %lld, removed",
                 (long long)artifacts[i].backup_id, (long long)artifacts[i].fence);
    }
    upkeep_remove_staged(w, artifacts, n);
    PQclear(g->rows);
    free(g);
}

static void on_judged(void *data, const struct pg_results *results, const struct error *err)
{
    struct sweep *s = data;
    struct worker *w = s->worker;
    (void)err;
    const PGresult *r = results ? results->results[0] : NULL;
    struct gone *g = r && PQntuples(r) > 0 ? calloc(1, sizeof *g) : NULL;
    struct pg_request *request = g ? pg_request_new(w->pg) : NULL;
    if (request) {
        struct strbuf ids, fences;
        strbuf_init(&ids, 1u << 20);
        strbuf_init(&fences, 1u << 20);
        pg_array_begin(&ids);
        pg_array_begin(&fences);
        for (int i = 0; i < PQntuples(r); i++) {
            pg_array_int(&ids, pg_int(r, i, 0, 0));
            pg_array_int(&fences, pg_int(r, i, 1, 0));
        }
        pg_array_end(&ids);
        pg_array_end(&fences);
        g->worker = w;
        g->rows = PQcopyResult(r, PG_COPYRES_ATTRS | PG_COPYRES_TUPLES);
        pg_request_add(request, &mark_gone,
                       (const char *[]){strbuf_cstr(&ids), strbuf_cstr(&fences), w->host});
        strbuf_deinit(&ids);
        strbuf_deinit(&fences);
        w->asking++;
        pg_request_send(request, on_marked, g);
    } else
        free(g);
    end_sweep(s);
}

static void list_work(uv_work_t *work)
{
    struct sweep *s = work->data;
    staging_list(s->worker->settings->staging_dir, s->entries, SWEEP_MAX, &s->n, &s->err);
}

static void on_listed(uv_work_t *work, int status)
{
    struct sweep *s = work->data;
    struct worker *w = s->worker;
    struct pg_request *request = status == 0 && s->n > 0 && !w->closing ? pg_request_new(w->pg) : NULL;
    if (s->err.code)
        worker_complain(w, "staging", &s->err);
    if (request == NULL) {
        end_sweep(s);
        return;
    }
    struct strbuf ids, fences;
    char hours[24];
    strbuf_init(&ids, 1u << 20);
    strbuf_init(&fences, 1u << 20);
    pg_array_begin(&ids);
    pg_array_begin(&fences);
    for (int i = 0; i < s->n; i++) {
        pg_array_int(&ids, s->entries[i].backup_id);
        pg_array_int(&fences, s->entries[i].fence);
    }
    pg_array_end(&ids);
    pg_array_end(&fences);
    snprintf(hours, sizeof hours, "%lld", (long long)w->settings->staging_keep_hours);
    pg_request_add(request, &judge_staged, (const char *[]){strbuf_cstr(&ids), strbuf_cstr(&fences), hours});
    strbuf_deinit(&ids);
    strbuf_deinit(&fences);
    pg_request_send(request, on_judged, s);
}

static void sweep(struct worker *w)
{
    struct sweep *s = calloc(1, sizeof *s);
    if (s == NULL)
        return;
    s->worker = w;
    s->work.data = s;
    w->sweeping = true;
    w->asking++;
    uv_queue_work(w->loop, &s->work, list_work, on_listed);
}

/* ---- relay and reconcile ---- */

static void on_maintained(void *data, const struct maintenance_report *report, const struct error *err)
{
    struct worker *w = data;
    if (err) {
        if (err->code != ERROR_CONFLICT && err->code != ERROR_CANCELLED)
            worker_complain(w, "relay", err);
        return;
    }
    if (report->relayed || report->reaped || report->unparked || report->restored)
        log_info("relay: %lld jobs queued, %lld of silent workers, %lld unparked, %lld lost ones restored",
                 (long long)report->relayed, (long long)report->reaped, (long long)report->unparked,
                 (long long)report->restored);
    if (report->relayed || report->reaped || report->unparked)
        dispatch_wake(w);
}

/* ---- keys of what is encrypted at rest: read again, so that rotated ones are seen ---- */

static void on_keys(void *data, const struct error *err)
{
    struct worker *w = data;
    w->asking--;
    if (err && err->code != ERROR_CANCELLED)
        worker_complain(w, "BM_ENCRYPTION_KEY_REF", err);
}

void upkeep_load_keys(struct worker *w)
{
    struct error err;
    w->asking++;
    if (access_load_keys(w->access, on_keys, w, &err)) {
        w->asking--;
        worker_complain(w, "BM_ENCRYPTION_KEY_REF", &err);
    }
}

void upkeep_run(struct worker *w)
{
    int64_t now = clock_monotonic_ms();
    int64_t sweep_seconds =
        w->settings->reconcile_seconds < SWEEP_SECONDS ? w->settings->reconcile_seconds : SWEEP_SECONDS;
    maintenance_run(w->maintenance, MAINTENANCE_RECONCILE, on_maintained, w);
    if (!w->sweeping && now - w->swept_at_ms >= sweep_seconds * 1000) {
        w->swept_at_ms = now;
        sweep(w);
        upkeep_load_keys(w);
    }
}
