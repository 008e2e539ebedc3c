/* backupctl queue: what stands in Redis, pauses, and jobs that died. fsck is in fsck.c. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog_commands.h"
#include "fsck.h"
#include "queue/queue.h"
#include "queue/requeue.h"
#include "queue_stats.h"
#include "redis_ask.h"
#include "relay.h"
#include "store/queues.h"

enum { LIST_DEFAULT = 100, LIST_MAX = 1000000 };

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
    json_t *rows;
    json_t *stats;
    int rc = queue_rows(cli, args, &rows, err);
    if (rc)
        return rc;
    rc = queue_stats(cli, rows, &stats, err);
    json_decref(rows);
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

/* What the last column shows of a job. */
static void add_detail(json_t *job)
{
    static const char *const members[] = {"worker", "due_at", "why", "error"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (json_object_get(job, members[i]))
            json_object_set(job, "detail", json_object_get(job, members[i]));
    if (json_object_get(job, "malformed"))
        json_object_set_new(job, "detail", json_string("malformed"));
}

static int run_list(struct cli *cli, const struct arguments *args, struct error *err)
{
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
    struct queue_look look = {.kind = QUEUE_LOOK_JOBS, .limit = LIST_DEFAULT};
    for (size_t i = 0; state && queue_states[i]; i++)
        if (strcmp(state, queue_states[i]) == 0)
            look.state = queue_states[i];
    if (state && look.state == NULL)
        return error_set(err, ERROR_INPUT, false,
                         "--state: '%s' is unknown; use one of: ready, active, retry, parked, dead", state);
    json_t *rows, *jobs, *job;
    int rc = arguments_number(args, "limit", 1, LIST_MAX, &look.limit, err);
    if (rc == 0)
        rc = queue_rows(cli, args, &rows, err);
    if (rc)
        return rc;
    rc = queue_look_wait(cli, rows, &look, &jobs, err);
    json_decref(rows);
    if (rc)
        return rc;
    size_t n;
    if (args->json) {
        output_json(jobs);
    } else {
        json_array_foreach(jobs, n, job) add_detail(job);
        output_table(jobs, columns, "no jobs");
    }
    json_decref(jobs);
    return 0;
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
    struct pg_request *request = rc ? NULL : catalog_request(cli, err);
    if (request == NULL)
        return err->code;
    queues_add_pause(request, queue);
    rc = catalog_run(request, &result, err);
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
    struct pg_request *request = rc ? NULL : catalog_request(cli, err);
    if (request == NULL)
        return err->code;
    queues_add_resume(request, queue);
    rc = catalog_run(request, &result, err);
    if (rc)
        return rc;
    bool was_paused = PQntuples(result) == 1;
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

struct requeued {
    struct requeue_report report;
    struct error err;
    bool done;
};

static void on_requeued(void *data, const struct requeue_report *report, const struct error *err)
{
    struct requeued *r = data;
    r->report.requeued += report->requeued;
    r->report.forgotten += report->forgotten;
    r->report.malformed += report->malformed;
    if (err)
        r->err = *err;
    r->done = true;
}

static int run_requeue(struct cli *cli, const struct arguments *args, struct error *err)
{
    struct requeue_options options = {.drop_malformed = arguments_has(args, "drop-malformed"),
                                      .most = LIST_MAX};
    struct requeued r = {0};
    json_t *names;
    if ((options.pg = cli_pg(cli, err)) == NULL || (options.redis = cli_redis(cli, err)) == NULL ||
        queue_names(cli, args, &names, err))
        return err->code;
    size_t n;
    const json_t *name;
    json_array_foreach(names, n, name)
    {
        options.queue = json_string_value(name);
        r.done = r.err.code != 0;
        if (!r.done && requeue_dead(&options, on_requeued, &r))
            r.done = error_set(&r.err, ERROR_SYSTEM, true, "out of memory") != 0;
        while (!r.done)
            uv_run(&cli->loop, UV_RUN_ONCE);
    }
    json_decref(names);
    if (r.report.requeued > 0)
        cli_relay(cli);
    if (r.err.code) {
        *err = r.err;
        return err->code;
    }
    printf("%" PRId64 " copies will be tried again, %" PRId64 " entries taken off the dead lists\n",
           r.report.requeued, r.report.forgotten);
    if (r.report.malformed > 0 && !options.drop_malformed)
        printf("%" PRId64 " malformed entries stay; --drop-malformed removes them\n", r.report.malformed);
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
