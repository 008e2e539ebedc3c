/* backupctl queue: what stands in Redis, pauses, and jobs that died. fsck is in fsck.c. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/strbuf.h"
#include "catalog_commands.h"
#include "fsck.h"
#include "queue/job.h"
#include "queue/queue.h"
#include "queue_stats.h"
#include "redis_ask.h"
#include "relay.h"
#include "store/backup_ops.h"

enum { LIST_DEFAULT = 100, LIST_MAX = 1000000, REQUEUE_PAGE = 500 };

/* --- stats --- */

static int run_stats(struct cli *cli, const struct arguments *args, struct error *err)
{
    static const struct output_column columns[] = {{"QUEUE", "queue", OUTPUT_TEXT},
                                                   {"READY", "ready", OUTPUT_NUMBER},
                                                   {"ACTIVE", "active", OUTPUT_NUMBER},
                                                   {"RETRY", "retry", OUTPUT_NUMBER},
                                                   {"PARKED", "parked", OUTPUT_NUMBER},
                                                   {"DEAD", "dead", OUTPUT_NUMBER},
                                                   {"WORKERS", "workers", OUTPUT_NUMBER},
                                                   {"PAUSED SINCE (UTC)", "paused_at", OUTPUT_TIME},
                                                   {"PARKED BY REASON", "parked_by_reason", OUTPUT_TEXT},
                                                   {NULL, NULL, OUTPUT_TEXT}};
    json_t *names;
    json_t *stats;
    int rc = queue_names(cli, args, &names, err);
    if (rc)
        return rc;
    rc = queue_stats(cli, names, &stats, err);
    json_decref(names);
    if (rc)
        return rc;
    if (args->json)
        output_json(stats);
    else
        output_table(stats, columns, "no queues");
    json_decref(stats);
    return 0;
}

/* --- list --- */

struct listing {
    struct cli *cli;
    const char *queue;
    json_t *jobs;
    int64_t limit; /* per queue and state */
    struct error *err;
};

/* The job's own JSON with where it stands; what is no JSON object is shown as text. */
static json_t *listed(struct listing *l, const char *state, const char *payload, size_t size)
{
    json_t *job = json_loadb(payload, size, 0, NULL);
    if (!json_is_object(job)) {
        json_decref(job);
        json_t *text = json_stringn(payload, size);
        job = json_pack("{s:o, s:s}", "malformed", text ? text : json_string("(not UTF-8)"), "detail",
                        "malformed");
    }
    json_object_set_new(job, "queue", json_string(l->queue));
    json_object_set_new(job, "state", json_string(state));
    json_array_append_new(l->jobs, job);
    return job;
}

static void set_time(json_t *job, const char *key, int64_t at_ms)
{
    char text[CLOCK_ISO8601_SIZE];
    clock_iso8601_ms(at_ms, text);
    json_object_set_new(job, key, json_string(text));
}

static redisReply *page(struct listing *l, const char *command, const char *place, const char *last)
{
    char key[QUEUE_KEY_SIZE];
    char suffix[QUEUE_KEY_SIZE / 2];
    char to[24];
    snprintf(suffix, sizeof suffix, ":%.230s", place);
    queue_key(key, l->queue, suffix);
    snprintf(to, sizeof to, "%" PRId64, l->limit - 1);
    return redis_ask(l->cli, l->err, command, key, "0", to, last, NULL);
}

static int list_ready(struct listing *l)
{
    for (int p = 0; p < QUEUE_BANDS; p++) {
        char place[16];
        snprintf(place, sizeof place, "ready:%d", p);
        redisReply *r = page(l, "LRANGE", place, NULL);
        if (r == NULL)
            return l->err->code;
        for (size_t i = 0; i < r->elements; i++)
            listed(l, "ready", r->element[i]->str, r->element[i]->len);
        freeReplyObject(r);
    }
    return 0;
}

/* Leases name the keys; the hash of jobs has worker and payload: "active:<worker> <token> <payload>". */
static int list_active(struct listing *l)
{
    char key[QUEUE_KEY_SIZE];
    redisReply *leases = page(l, "ZRANGE", "lease", "WITHSCORES");
    if (leases == NULL)
        return l->err->code;
    queue_key(key, l->queue, ":jobs");
    int rc = 0;
    for (size_t i = 0; rc == 0 && i + 1 < leases->elements; i += 2) {
        redisReply *place = redis_ask(l->cli, l->err, "HGET", key, leases->element[i]->str, NULL);
        if (place == NULL) {
            rc = l->err->code;
            break;
        }
        const char *token = place->str ? strchr(place->str, ' ') : NULL;
        const char *payload = token ? strchr(token + 1, ' ') : NULL;
        if (payload && strncmp(place->str, "active:", 7) == 0) {
            json_t *job = listed(l, "active", payload + 1, strlen(payload + 1));
            json_t *worker = json_stringn(place->str + 7, (size_t)(token - place->str) - 7);
            json_object_set(job, "detail", worker);
            json_object_set_new(job, "worker", worker);
            set_time(job, "lease_until", (int64_t)strtod(leases->element[i + 1]->str, NULL));
        }
        freeReplyObject(place);
    }
    freeReplyObject(leases);
    return rc;
}

static int list_retry(struct listing *l)
{
    redisReply *r = page(l, "ZRANGE", "retry", "WITHSCORES");
    if (r == NULL)
        return l->err->code;
    for (size_t i = 0; i + 1 < r->elements; i += 2) {
        json_t *job = listed(l, "retry", r->element[i]->str, r->element[i]->len);
        set_time(job, "due_at", (int64_t)strtod(r->element[i + 1]->str, NULL));
        json_object_set(job, "detail", json_object_get(job, "due_at"));
    }
    freeReplyObject(r);
    return 0;
}

static int list_parked(struct listing *l)
{
    char key[QUEUE_KEY_SIZE];
    queue_key(key, l->queue, ":parked");
    redisReply *names = redis_ask(l->cli, l->err, "SMEMBERS", key, NULL);
    if (names == NULL)
        return l->err->code;
    int rc = 0;
    for (size_t n = 0; rc == 0 && n < names->elements; n++) {
        char place[QUEUE_KEY_SIZE / 2];
        snprintf(place, sizeof place, "parked:%.200s", names->element[n]->str);
        redisReply *r = page(l, "LRANGE", place, NULL);
        rc = r ? 0 : l->err->code;
        for (size_t i = 0; r && i < r->elements; i++) {
            json_t *job = listed(l, "parked", r->element[i]->str, r->element[i]->len);
            json_object_set_new(job, "why", json_string(names->element[n]->str));
            json_object_set_new(job, "detail", json_string(names->element[n]->str));
        }
        freeReplyObject(r);
    }
    freeReplyObject(names);
    return rc;
}

static int list_dead(struct listing *l)
{
    redisReply *r = page(l, "LRANGE", "dead", NULL);
    if (r == NULL)
        return l->err->code;
    for (size_t i = 0; i < r->elements; i++) {
        json_t *job = listed(l, "dead", r->element[i]->str, r->element[i]->len);
        json_t *at = json_object_get(job, "dead_at_ms");
        if (at)
            set_time(job, "dead_at", (int64_t)json_number_value(at));
        json_object_del(job, "dead_at_ms");
        if (json_object_get(job, "error"))
            json_object_set(job, "detail", json_object_get(job, "error"));
    }
    freeReplyObject(r);
    return 0;
}

static int run_list(struct cli *cli, const struct arguments *args, struct error *err)
{
    static const struct {
        const char *name;
        int (*list)(struct listing *l);
    } states[] = {{"ready", list_ready},
                  {"active", list_active},
                  {"retry", list_retry},
                  {"parked", list_parked},
                  {"dead", list_dead}};
    static const struct output_column columns[] = {{"QUEUE", "queue", OUTPUT_TEXT},
                                                   {"STATE", "state", OUTPUT_TEXT},
                                                   {"OP", "op", OUTPUT_TEXT},
                                                   {"ID", "id", OUTPUT_NUMBER},
                                                   {"BACKUP", "backup", OUTPUT_TEXT},
                                                   {"DESTINATION", "storage_name", OUTPUT_TEXT},
                                                   {"PRIORITY", "priority", OUTPUT_NUMBER},
                                                   {"ATTEMPT", "attempt", OUTPUT_NUMBER},
                                                   {"ENQUEUED (UTC)", "enqueued_at", OUTPUT_TIME},
                                                   {"DETAIL", "detail", OUTPUT_TEXT},
                                                   {NULL, NULL, OUTPUT_TEXT}};
    const char *state = arguments_get(args, "state");
    bool known = state == NULL;
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        known |= state && strcmp(state, states[i].name) == 0;
    if (!known)
        return error_set(err, ERROR_INPUT, false,
                         "--state: '%s' is unknown; use one of: ready, active, retry, parked, dead", state);
    struct listing l = {.cli = cli, .limit = LIST_DEFAULT, .err = err};
    json_t *names;
    int rc = arguments_number(args, "limit", 1, LIST_MAX, &l.limit, err);
    if (rc == 0)
        rc = queue_names(cli, args, &names, err);
    if (rc)
        return rc;
    l.jobs = json_array();
    size_t n;
    const json_t *name;
    json_array_foreach(names, n, name)
    {
        l.queue = json_string_value(name);
        for (size_t i = 0; rc == 0 && i < sizeof states / sizeof *states; i++)
            if (state == NULL || strcmp(state, states[i].name) == 0)
                rc = states[i].list(&l);
    }
    if (rc == 0 && args->json) {
        json_t *job;
        json_array_foreach(l.jobs, n, job) json_object_del(job, "detail");
        output_json(l.jobs);
    } else if (rc == 0) {
        output_table(l.jobs, columns, "no jobs");
    }
    json_decref(l.jobs);
    json_decref(names);
    return rc;
}

/* --- pause, resume --- */

static int queue_given(const struct arguments *args, const char **ret_queue, struct error *err)
{
    const char *queue = arguments_get(args, "queue");
    *ret_queue = queue ? queue : "default";
    return queue_name_check(*ret_queue, err);
}

static int run_pause(struct cli *cli, const struct arguments *args, struct error *err)
{
    const char *queue;
    PGresult *result;
    int rc = queue_given(args, &queue, err);
    if (rc == 0)
        rc =
            cli_query(cli,
                      "INSERT INTO queues (name, paused_at) VALUES ($1, clock_timestamp()) ON CONFLICT (name)"
                      " DO UPDATE SET paused_at = coalesce(queues.paused_at, excluded.paused_at)",
                      1, &queue, &result, err);
    if (rc)
        return rc;
    PQclear(result);
    printf("queue '%s' is paused: running uploads go on, none begins until backupctl queue resume\n", queue);
    return 0;
}

static int run_resume(struct cli *cli, const struct arguments *args, struct error *err)
{
    const char *queue;
    PGresult *result;
    int rc = queue_given(args, &queue, err);
    if (rc == 0)
        rc = cli_query(cli, "UPDATE queues SET paused_at = NULL WHERE name = $1 AND paused_at IS NOT NULL", 1,
                       &queue, &result, err);
    if (rc)
        return rc;
    bool was_paused = strcmp(PQcmdTuples(result), "1") == 0;
    PQclear(result);
    printf("queue '%s' %s\n", queue, was_paused ? "goes on" : "was not paused");
    if (!was_paused)
        return 0;
    struct maintenance_report report;
    struct error later = {0};
    if (cli_maintenance(cli, MAINTENANCE_RECONCILE | MAINTENANCE_NOW, &report, &later))
        fprintf(stderr, "backupctl: %s; its jobs go on within the reconciler's period\n", later.message);
    return 0;
}

/* --- requeue-dead --- */

struct requeue {
    struct cli *cli;
    char key[QUEUE_KEY_SIZE];
    bool drop_malformed;
    int64_t requeued, forgotten, malformed;
    struct error *err;
};

/* Entries of the dead list whose row has left `failed` are taken off. */
static int drop(struct requeue *q, const char *entry)
{
    int64_t n;
    return redis_ask_number(q->cli, &n, q->err, "LREM", q->key, "0", entry, NULL);
}

static int retry_rows(struct requeue *q, const char *ids, PGresult **ret_kept)
{
    struct pg_request *request = catalog_request(q->cli, q->err);
    if (request == NULL)
        return q->err->code;
    if (backup_add_retry_rows(request, ids)) {
        pg_request_free(request);
        return error_set(q->err, ERROR_SYSTEM, true, "out of memory");
    }
    PGresult *changed;
    int rc = catalog_run(request, &changed, q->err);
    if (rc)
        return rc;
    q->requeued += PQntuples(changed);
    PQclear(changed);
    return cli_query(q->cli,
                     "SELECT id FROM backup_destinations WHERE id = ANY ($1::bigint[]) AND status = 'failed'",
                     1, &ids, ret_kept, q->err);
}

static bool is_kept(const PGresult *kept, int64_t id)
{
    for (int i = 0; i < PQntuples(kept); i++)
        if (pg_int(kept, i, 0, 0) == id)
            return true;
    return false;
}

static int requeue_page(struct requeue *q, redisReply *const *entries, size_t n)
{
    int64_t ids[REQUEUE_PAGE];
    struct strbuf array;
    strbuf_init(&array, 1 << 20);
    pg_array_begin(&array);
    for (size_t i = 0; i < n; i++) {
        struct job job;
        bool good = job_parse(entries[i]->str, entries[i]->len, &job, NULL) == 0 && job.op == JOB_UPLOAD &&
                    job.id <= INT32_MAX;
        ids[i] = good ? job.id : 0;
        if (good)
            pg_array_int(&array, job.id);
        else
            q->malformed++;
    }
    pg_array_end(&array);
    PGresult *kept = NULL;
    int rc = retry_rows(q, strbuf_cstr(&array), &kept);
    strbuf_deinit(&array);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        bool leave = ids[i] ? is_kept(kept, ids[i]) : !q->drop_malformed;
        if (!leave)
            rc = drop(q, entries[i]->str);
        q->forgotten += !leave;
    }
    PQclear(kept);
    return rc;
}

static int run_requeue(struct cli *cli, const struct arguments *args, struct error *err)
{
    struct requeue q = {.cli = cli, .drop_malformed = arguments_has(args, "drop-malformed"), .err = err};
    json_t *names;
    int rc = queue_names(cli, args, &names, err);
    if (rc)
        return rc;
    size_t n;
    const json_t *name;
    json_array_foreach(names, n, name)
    {
        queue_key(q.key, json_string_value(name), ":dead");
        redisReply *dead = rc ? NULL : redis_ask(cli, err, "LRANGE", q.key, "0", "-1", NULL);
        if (dead == NULL) {
            rc = err->code;
            break;
        }
        for (size_t at = 0; rc == 0 && at < dead->elements; at += REQUEUE_PAGE) {
            size_t count = dead->elements - at < REQUEUE_PAGE ? dead->elements - at : REQUEUE_PAGE;
            rc = requeue_page(&q, dead->element + at, count);
        }
        freeReplyObject(dead);
    }
    json_decref(names);
    if (rc)
        return rc;
    if (q.requeued > 0)
        cli_relay(cli);
    printf("%" PRId64 " copies will be tried again, %" PRId64 " entries taken off the dead lists\n",
           q.requeued, q.forgotten);
    if (q.malformed > 0 && !q.drop_malformed)
        printf("%" PRId64 " malformed entries stay; --drop-malformed removes them\n", q.malformed);
    return 0;
}

static const struct flag queue_flag[] = {{"queue", "Q", "only this queue; default all", NULL, false}, {0}};
static const struct flag one_queue_flag[] = {{"queue", "Q", "default 'default'", NULL, false}, {0}};
static const struct flag list_flags[] = {
    {"queue", "Q", "only this queue; default all", NULL, false},
    {"state", "WORD", "ready, active, retry, parked or dead; default all", NULL, false},
    {"limit", "N", "at most that many of each list; default 100", NULL, true},
    {0}};
static const struct flag requeue_flags[] = {
    {"queue", "Q", "only this queue; default all", NULL, false},
    {"drop-malformed", NULL, "also remove entries that are no jobs", NULL, false},
    {0}};

static const struct command commands[] = {
    {"stats", "", "Count the jobs of each queue by state", NULL, 0, 0, false, true, 0, queue_flag, run_stats},
    {"list", "", "List jobs", NULL, 0, 0, false, true, 0, list_flags, run_list},
    {"fsck", "", "Check the queue's invariants live",
     "Each suspect is read again before it is called a breach. What heals by itself within a lease and a\n"
     "reconciler's period is reported as stale. Exit status 1 on a breach.",
     0, 0, false, true, 0, queue_flag, run_fsck},
    {"pause", "", "Let no upload of a queue begin", NULL, 0, 0, false, false, 0, one_queue_flag, run_pause},
    {"resume", "", "Let it go on", NULL, 0, 0, false, false, 0, one_queue_flag, run_resume},
    {"requeue-dead", "", "Retry the copies whose jobs died", NULL, 0, 0, false, false, 0, requeue_flags,
     run_requeue},
    {0}};

const struct group group_queue = {"queue", "The queue in Redis", commands};
