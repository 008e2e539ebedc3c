/*
 * PostgreSQL, in batches: everything of one kind that has come together since the last transaction of that
 * kind was answered goes into the next one. One take and one end may be under way at a time, so batches grow
 * by themselves as the load grows, and a single job never waits.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "worker.h"

enum { BATCH_MAX = 512, PG_RETRY_MS = 1000 };

struct batch {
    struct worker *worker;
    int64_t sent_at_ms;
    int n;
    int index;
    bool sequential;
    struct task *tasks[BATCH_MAX];
    struct row_end ends[BATCH_MAX];
};

static int by_row_id(const void *a, const void *b)
{
    const struct task *const *x = a, *const *y = b;
    return ((*x)->job.id > (*y)->job.id) - ((*x)->job.id < (*y)->job.id);
}

static struct batch *collect(struct worker *w, enum task_state from, enum task_state to, int max)
{
    struct batch *b = malloc(sizeof *b);
    if (b == NULL)
        return NULL;
    b->worker = w;
    b->n = 0;
    b->index = 0;
    b->sequential = false;
    for (struct task *t = w->tasks; t && b->n < max; t = t->next) {
        if (t->state != from)
            continue;
        b->tasks[b->n++] = t;
        t->state = to;
    }
    qsort(b->tasks, (size_t)b->n, sizeof *b->tasks, by_row_id);
    b->sent_at_ms = clock_monotonic_ms();
    return b;
}

static void try_again_later(struct worker *w, struct batch *b, enum task_state state, const struct error *err)
{
    worker_complain(w, "PostgreSQL", err);
    w->pg_retry_at_ms = clock_monotonic_ms() + PG_RETRY_MS;
    for (int i = 0; i < b->n; i++)
        b->tasks[i]->state = state;
}

/* ---- take ---- */

static void on_taken(void *data, const struct pg_results *results, const struct error *err)
{
    struct batch *b = data;
    struct worker *w = b->worker;
    w->take_in_flight = false;
    struct shared_result *shared = results ? shared_result_new(results->results[b->index]) : NULL;
    struct error trouble = {0};
    if (results == NULL) {
        trouble = *err;
        worker_complain(w, "PostgreSQL", err);
    }
    int rows = shared ? PQntuples(shared->result) : 0;
    int at = 0;
    for (int i = 0; i < b->n; i++) {
        struct task *t = b->tasks[i];
        struct row_judged row;
        /* both are in id order */
        if (at < rows && rows_read_judged(shared->result, at, &row, &trouble) == 0 && row.id == t->job.id) {
            at++;
            task_judged(t, &row, shared, b->sent_at_ms);
        } else {
            if (shared && trouble.code == 0)
                error_set(&trouble, ERROR_PROTOCOL, true, "no answer for row %lld", (long long)t->job.id);
            task_settle_later(t, PG_RETRY_MS); /* no attempt spent, nothing lost */
        }
    }
    if (results && trouble.code)
        worker_complain(w, "take", &trouble);
    shared_result_unref(shared);
    free(b);
    worker_work_changed(w);
}

static void send_take(struct worker *w)
{
    struct batch *b = collect(w, TASK_TAKE, TASK_TAKING, BATCH_MAX);
    struct pg_request *request = b && b->n ? pg_request_new(w->pg) : NULL;
    if (request == NULL) {
        free(b);
        return;
    }
    struct strbuf ids, producing;
    strbuf_init(&ids, 64 * 1024);
    strbuf_init(&producing, 64 * 1024);
    pg_array_begin(&ids);
    for (int i = 0; i < b->n; i++)
        pg_array_int(&ids, b->tasks[i]->job.id);
    pg_array_end(&ids);
    pg_array_begin(&producing);
    for (struct production *p = w->productions; p; p = p->next)
        pg_array_int(&producing, p->backup_id);
    pg_array_end(&producing);
    rows_add_take(request, strbuf_cstr(&ids), w->id, w->host, w->lease_ms, strbuf_cstr(&producing),
                  &b->index);
    strbuf_deinit(&ids);
    strbuf_deinit(&producing);
    w->take_in_flight = true;
    pg_request_send(request, on_taken, b);
}

/* ---- end ---- */

static void on_ended(void *data, const struct pg_results *results, const struct error *err)
{
    struct batch *b = data;
    struct worker *w = b->worker;
    w->end_in_flight = false;
    if (results == NULL) {
        bool refused = !err->retryable;
        if (refused && b->n == 1) {
            /* PostgreSQL will never take this: let the lease run out, another worker will see */
            log_error("%s: its outcome can't be recorded: %s", b->tasks[0]->key, err->message);
            task_settle_later(b->tasks[0], w->lease_ms);
        } else {
            try_again_later(w, b, TASK_END, err);
        }
        if (refused && b->n > 1)
            w->end_singles = b->n;
        else if (refused && w->end_singles > 0)
            w->end_singles--;
        free(b);
        worker_work_changed(w);
        return;
    }
    const PGresult *r = results->results[b->index];
    bool seen[BATCH_MAX] = {false};
    for (int row = 0; row < PQntuples(r); row++) {
        struct row_end_read end;
        if (rows_read_end(r, row, b->ends, b->n, &end))
            continue;
        for (int i = 0; i < b->n; i++) {
            if (b->tasks[i]->row.id == end.id && !seen[i]) {
                seen[i] = true;
                task_ended(b->tasks[i], end.written);
            }
        }
    }
    for (int i = 0; i < b->n; i++)
        if (!seen[i])
            task_ended(b->tasks[i], ROW_STALE);
    const PGresult *backups = results->results[b->index + 1];
    struct staged_artifact served[BATCH_MAX];
    int n_served = 0;
    for (int row = 0; row < PQntuples(backups) && n_served < BATCH_MAX; row++) {
        const char *status = pg_text(backups, row, 1), *host = pg_text(backups, row, 3);
        log_info("backup %lld: %s", (long long)pg_int(backups, row, 0, 0), status);
        if (strcmp(status, "completed") == 0 && host && strcmp(host, w->host) == 0)
            served[n_served++] =
                (struct staged_artifact){pg_int(backups, row, 0, 0), pg_int(backups, row, 2, 0)};
    }
    upkeep_remove_staged(w, served, n_served);
    if (b->sequential)
        dispatch_unpark_rows(w, "order", results->results[b->index + 2]);
    if (w->end_singles > 0)
        w->end_singles--;
    free(b);
    worker_work_changed(w);
}

static void send_end(struct worker *w)
{
    struct batch *b = collect(w, TASK_END, TASK_ENDING, w->end_singles > 0 ? 1 : BATCH_MAX);
    struct pg_request *request = b && b->n ? pg_request_new(w->pg) : NULL;
    if (request == NULL) {
        free(b);
        return;
    }
    for (int i = 0; i < b->n; i++) {
        const struct task *t = b->tasks[i];
        bool failed = t->error.code != 0;
        b->ends[i] = (struct row_end){
            .id = t->row.id,
            .fence = t->row.fence,
            .backup_id = t->row.backup_id,
            .outcome = t->outcome,
            .size = t->row.artifact_size,
            .checksum = t->outcome == ROW_COMPLETED ? t->sha256 : NULL,
            .error_code = failed ? error_code_name(t->error.code) : NULL,
            .error_message = failed ? t->error.message : NULL,
            .delay_ms = t->delay_ms,
            .leaves_upload = t->leaves_upload,
        };
        b->sequential |= t->row.sequential;
    }
    rows_add_end(request, b->ends, b->n, b->sequential, &b->index);
    w->end_in_flight = true;
    pg_request_send(request, on_ended, b);
}

/* ---- where uploads can be taken up again ---- */

enum { SAVE_MAX = 64, SAVE_BYTES_MAX = 16 << 20 };

struct saving {
    struct worker *worker;
    int n;
    struct task *tasks[SAVE_MAX]; /* they stay: a driver doesn't end before its answer */
};

static bool contains(const PGresult *r, int64_t id);

static void on_states_saved(void *data, const struct pg_results *results, const struct error *err)
{
    struct saving *s = data;
    struct worker *w = s->worker;
    w->save_in_flight = false;
    if (results == NULL) {
        worker_complain(w, "PostgreSQL: recording uploads", err);
        w->pg_retry_at_ms = clock_monotonic_ms() + PG_RETRY_MS;
    }
    for (int i = 0; i < s->n; i++) {
        struct task *t = s->tasks[i];
        if (results)
            task_saved(t, contains(results->results[0], t->row.id));
        else if (t->stop != STOP_NOT || !err->retryable)
            task_saved(t, false);
        else
            t->save.state = SAVE_WAITS;
    }
    free(s);
    worker_work_changed(w);
}

static void send_saves(struct worker *w)
{
    struct saving *s = calloc(1, sizeof *s);
    struct pg_request *request = s ? pg_request_new(w->pg) : NULL;
    if (request == NULL) {
        free(s);
        return;
    }
    s->worker = w;
    size_t bytes = 0;
    for (struct task *t = w->tasks; t && s->n < SAVE_MAX && bytes < SAVE_BYTES_MAX / 4; t = t->next) {
        if (t->save.state != SAVE_WAITS)
            continue;
        bytes += t->save.text ? strlen(t->save.text) : 0;
        s->tasks[s->n++] = t;
        t->save.state = SAVE_WRITING;
    }
    struct strbuf ids, fences, states;
    strbuf_init(&ids, 64 * 1024);
    strbuf_init(&fences, 64 * 1024);
    strbuf_init(&states, SAVE_BYTES_MAX);
    pg_array_begin(&ids);
    pg_array_begin(&fences);
    pg_array_begin(&states);
    for (int i = 0; i < s->n; i++) {
        pg_array_int(&ids, s->tasks[i]->row.id);
        pg_array_int(&fences, s->tasks[i]->row.fence);
        pg_array_text(&states, s->tasks[i]->save.text);
    }
    pg_array_end(&ids);
    pg_array_end(&fences);
    pg_array_end(&states);
    int index;
    rows_add_save_resume(request, strbuf_cstr(&ids), strbuf_cstr(&fences), strbuf_cstr(&states), &index);
    strbuf_deinit(&ids);
    strbuf_deinit(&fences);
    strbuf_deinit(&states);
    w->save_in_flight = true;
    pg_request_send(request, on_states_saved, s);
}

void batch_flush(struct worker *w)
{
    bool take = false, end = false, save = false;
    for (struct task *t = w->tasks; t && !(take && end && save); t = t->next) {
        take |= t->state == TASK_TAKE;
        end |= t->state == TASK_END;
        save |= t->save.state == SAVE_WAITS;
    }
    if (save && !w->save_in_flight && clock_monotonic_ms() >= w->pg_retry_at_ms)
        send_saves(w);
    if (take && !w->take_in_flight)
        send_take(w);
    if (end && !w->end_in_flight && clock_monotonic_ms() >= w->pg_retry_at_ms)
        send_end(w);
}

/* ---- leases and progress ---- */

struct renewal {
    struct worker *worker;
    int64_t sent_at_ms;
    bool of_artifacts;
    int n;
    int64_t ids[2048], fences[2048];
};

static bool contains(const PGresult *r, int64_t id)
{
    for (int i = 0; i < PQntuples(r); i++)
        if (pg_int(r, i, 0, 0) == id)
            return true;
    return false;
}

static void on_renewed(void *data, const struct pg_results *results, const struct error *err)
{
    struct renewal *n = data;
    struct worker *w = n->worker;
    w->asking--;
    if (!n->of_artifacts)
        w->renew_in_flight = false;
    if (results == NULL) {
        worker_complain(w, "PostgreSQL: renewing leases", err); /* the deadlines decide what becomes of it */
        free(n);
        return;
    }
    int64_t deadline = n->sent_at_ms + w->lease_ms - w->lease_ms / 5;
    const PGresult *r = results->results[0];
    for (int i = 0; i < n->n; i++) {
        bool ours = contains(r, n->ids[i]);
        if (n->of_artifacts) {
            for (struct production *p = w->productions; p; p = p->next) {
                if (p->backup_id != n->ids[i] || p->fence != n->fences[i] || !p->running)
                    continue;
                if (ours)
                    p->deadline_ms = deadline;
                else
                    production_stop(p, STOP_STALE);
            }
            continue;
        }
        for (struct task *t = w->tasks; t; t = t->next) {
            if (t->row.id != n->ids[i] || t->row.fence != n->fences[i])
                continue;
            if (ours)
                t->deadline_ms = deadline;
            else if (t->state == TASK_ACQUIRE || t->state == TASK_UPLOAD || t->state == TASK_CLEAN)
                task_stop(t, STOP_STALE);
            break;
        }
    }
    free(n);
}

struct lists {
    struct strbuf ids, fences, bytes;
};

static void lists_begin(struct lists *l)
{
    strbuf_init(&l->ids, 1u << 20);
    strbuf_init(&l->fences, 1u << 20);
    strbuf_init(&l->bytes, 1u << 20);
    pg_array_begin(&l->ids);
    pg_array_begin(&l->fences);
    pg_array_begin(&l->bytes);
}

static void lists_add(struct lists *l, struct renewal *n, int64_t id, int64_t fence, uint64_t bytes)
{
    pg_array_int(&l->ids, id);
    pg_array_int(&l->fences, fence);
    pg_array_int(&l->bytes, (int64_t)bytes);
    n->ids[n->n] = id;
    n->fences[n->n] = fence;
    n->n++;
}

static void lists_send(struct lists *l, struct renewal *n)
{
    struct worker *w = n->worker;
    pg_array_end(&l->ids);
    pg_array_end(&l->fences);
    pg_array_end(&l->bytes);
    struct pg_request *request = n->n > 0 ? pg_request_new(w->pg) : NULL;
    if (request) {
        int index;
        int (*add)(struct pg_request *, const char *, const char *, const char *, int64_t, int *) =
            n->of_artifacts ? rows_add_renew_artifacts : rows_add_renew;
        add(request, strbuf_cstr(&l->ids), strbuf_cstr(&l->fences), strbuf_cstr(&l->bytes), w->lease_ms,
            &index);
        w->asking++;
        if (!n->of_artifacts)
            w->renew_in_flight = true;
        pg_request_send(request, on_renewed, n);
    } else
        free(n);
    strbuf_deinit(&l->ids);
    strbuf_deinit(&l->fences);
    strbuf_deinit(&l->bytes);
}

static struct renewal *renewal_new(struct worker *w, bool of_artifacts)
{
    struct renewal *n = calloc(1, sizeof *n);
    if (n == NULL)
        abort();
    n->worker = w;
    n->of_artifacts = of_artifacts;
    n->sent_at_ms = clock_monotonic_ms();
    return n;
}

void batch_renew(struct worker *w, bool progress_only)
{
    if (w->renew_in_flight)
        return;
    bool moved = false;
    for (struct task *t = w->tasks; t; t = t->next)
        moved |= t->state == TASK_UPLOAD && atomic_load(&t->put.bytes_done) != t->bytes_written;
    for (struct production *p = w->productions; p; p = p->next)
        moved |= p->running && atomic_load(&p->request.source_bytes) != p->bytes_written;
    if (progress_only && !moved)
        return;
    w->renewed_at_ms = clock_monotonic_ms();

    struct lists rows, artifacts;
    struct renewal *n = renewal_new(w, false);
    lists_begin(&rows);
    for (struct task *t = w->tasks; t && n->n < 2048; t = t->next) {
        /* ENDING is left out: its end is under way and would make the answer ambiguous */
        if (!task_holds_row(t) || t->state == TASK_ENDING)
            continue;
        t->bytes_written = t->state == TASK_UPLOAD ? atomic_load(&t->put.bytes_done) : t->bytes_written;
        lists_add(&rows, n, t->row.id, t->row.fence, t->bytes_written);
    }
    lists_send(&rows, n);

    n = renewal_new(w, true);
    lists_begin(&artifacts);
    for (struct production *p = w->productions; p && n->n < 2048; p = p->next) {
        if (!p->running)
            continue;
        p->bytes_written = atomic_load(&p->request.source_bytes);
        lists_add(&artifacts, n, p->backup_id, p->fence, p->bytes_written);
    }
    lists_send(&artifacts, n);
}
