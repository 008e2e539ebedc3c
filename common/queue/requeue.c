/*
 *   READING a page of the dead list -> RETRYING its rows, one transaction -> FORGETTING its entries ->
 * READING ... | nothing more, or `most` seen, or an error in any state
 *      v
 *   told
 *
 * Pages begin behind the entries that stay. New ones come in at the list's head: then some entries are seen
 * twice, which does nothing.
 */
#include "queue/requeue.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "queue/job.h"
#include "queue/queue.h"
#include "store/backup_ops.h"

enum { PAGE = 200 };

struct requeue {
    struct requeue_options options;
    char queue[QUEUE_NAME_MAX + 1];
    requeue_done_fn cb;
    void *cb_data;
    struct requeue_report report;
    int64_t seen, staying; /* entries looked at; of them, those that stay */
    int n;                 /* entries of this page */
    int before;            /* statements before the retry's own */
    char *entries[PAGE];
    int64_t ids[PAGE]; /* 0 = malformed */
};

static void read_page(struct requeue *q);

static void clear_page(struct requeue *q)
{
    for (int i = 0; i < q->n; i++)
        free(q->entries[i]);
    q->n = 0;
}

static void finish(struct requeue *q, const struct error *err)
{
    q->cb(q->cb_data, &q->report, err);
    clear_page(q);
    free(q);
}

static void fail(struct requeue *q)
{
    struct error err;
    error_set(&err, ERROR_SYSTEM, true, "out of memory");
    finish(q, &err);
}

/* -- FORGETTING -- */

static void on_forgotten(void *data, const redisReply *reply, const struct error *err)
{
    struct requeue *q = data;
    if (err) {
        finish(q, err);
        return;
    }
    int64_t gone = reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0;
    q->report.forgotten += gone;
    q->staying += q->n - gone;
    clear_page(q);
    read_page(q);
}

static bool is_failed(const PGresult *failed, int64_t id)
{
    for (int i = 0; i < PQntuples(failed); i++)
        if (pg_int(failed, i, 0, 0) == id)
            return true;
    return false;
}

/* failed: rows that still are. */
static void forget(struct requeue *q, const PGresult *failed)
{
    const char *leaving[PAGE];
    int n = 0;
    for (int i = 0; i < q->n; i++)
        if (q->ids[i] ? !is_failed(failed, q->ids[i]) : q->options.drop_malformed)
            leaving[n++] = q->entries[i];
    if (n > 0) {
        queue_forget_dead(q->options.redis, q->queue, leaving, n, on_forgotten, q);
        return;
    }
    q->staying += q->n;
    clear_page(q);
    read_page(q);
}

/* -- RETRYING -- */

static void on_retried(void *data, const struct pg_results *results, const struct error *err)
{
    struct requeue *q = data;
    if (err) {
        finish(q, err);
        return;
    }
    q->report.requeued += PQntuples(results->results[q->before + 1]);
    forget(q, results->results[q->before + 2]);
}

static void retry(struct requeue *q)
{
    static const struct pg_statement still_failed = {
        NULL, "SELECT id FROM backup_destinations WHERE id = ANY ($1::bigint[]) AND status = 'failed'", 1};
    struct pg_request *request = pg_request_new(q->options.pg);
    struct strbuf ids;
    strbuf_init(&ids, 16 << 10);
    pg_array_begin(&ids);
    for (int i = 0; i < q->n; i++)
        if (q->ids[i])
            pg_array_int(&ids, q->ids[i]);
    pg_array_end(&ids);
    const char *value = strbuf_cstr(&ids);
    int before = 0;
    if (request && q->options.add_before)
        before = q->options.add_before(q->options.data, request);
    bool good = request && !ids.failed && before >= 0 && backup_add_retry_rows(request, value) == 0 &&
                pg_request_add(request, &still_failed, &value) == 0;
    strbuf_deinit(&ids);
    if (!good) {
        pg_request_free(request);
        fail(q);
        return;
    }
    q->before = before;
    pg_request_send(request, on_retried, q);
}

/* -- READING -- */

static void on_page(void *data, const redisReply *reply, const struct error *err)
{
    struct requeue *q = data;
    if (err || reply->type != REDIS_REPLY_ARRAY || reply->elements == 0) {
        finish(q, err);
        return;
    }
    for (size_t i = 0; i < reply->elements && i < PAGE; i++) {
        const redisReply *entry = reply->element[i];
        struct job job;
        char *copy = strndup(entry->str ? entry->str : "", entry->len);
        if (copy == NULL) {
            fail(q);
            return;
        }
        bool good =
            job_parse(entry->str, entry->len, &job, NULL) == 0 && job.op == JOB_UPLOAD && job.id <= INT32_MAX;
        q->entries[q->n] = copy;
        q->ids[q->n++] = good ? job.id : 0;
        q->report.malformed += !good;
    }
    q->seen += q->n;
    retry(q);
}

static void read_page(struct requeue *q)
{
    char key[QUEUE_KEY_SIZE], from[24], to[24];
    int64_t n = q->options.most - q->seen < PAGE ? q->options.most - q->seen : PAGE;
    if (n <= 0) {
        q->report.more = true;
        finish(q, NULL);
        return;
    }
    queue_key(key, q->queue, ":dead");
    snprintf(from, sizeof from, "%" PRId64, q->staying);
    snprintf(to, sizeof to, "%" PRId64, q->staying + n - 1);
    const char *argv[] = {"LRANGE", key, from, to};
    redis_command(q->options.redis, 4, argv, NULL, 0, on_page, q);
}

int requeue_dead(const struct requeue_options *options, requeue_done_fn cb, void *data)
{
    struct requeue *q = calloc(1, sizeof *q);
    if (q == NULL)
        return -1;
    q->options = *options;
    q->cb = cb;
    q->cb_data = data;
    snprintf(q->queue, sizeof q->queue, "%s", options->queue);
    read_page(q);
    return 0;
}
