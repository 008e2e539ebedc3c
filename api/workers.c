#include "workers.h"

#include "api.h"
#include "ask.h"
#include "base/strbuf.h"
#include "members.h"
#include "problem.h"
#include "store/json_rows.h"

enum { JOBS_MAX = 5000 }; /* of all workers, that PostgreSQL is asked about */

static const char copies_sql[] =
    "SELECT d.id, d.backup_id, b.name AS backup, b.database_id, db.name AS database, d.destination_id,"
    " d.storage_type, d.storage_name, d.status, d.bytes_done, b.artifact_size, d.attempts,"
    " to_char(d.upload_started_at, 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS since"
    " FROM backup_destinations d JOIN backups b ON b.id = d.backup_id JOIN databases db ON db.id = b.database_id"
    " WHERE d.id = ANY ($1::int[])";

static void workers_free(void *found)
{
    json_decref(found);
}

static json_t *copy_of(const json_t *by_id, const json_t *job)
{
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)json_integer_value(json_object_get(job, "id")));
    return json_object_get(by_id, id);
}

/* A job is {op, id, ...}; what Redis says of it beyond that may be old. */
static json_t *described(const json_t *by_id, const json_t *job)
{
    static const char *const columns[] = {"backup_id",      "backup",        "database_id",  "database",
                                          "destination_id", "storage_type",  "storage_name", "status",
                                          "bytes_done",     "artifact_size", "attempts",     "since"};
    const json_t *copy = copy_of(by_id, job);
    const json_t *op = json_object_get(job, "op"), *id = json_object_get(job, "id");
    json_t *told = json_object();
    json_object_set_new(told, "op", json_is_string(op) ? json_incref((json_t *)op) : json_null());
    json_object_set_new(told, "id", json_is_integer(id) ? json_incref((json_t *)id) : json_null());
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        json_t *value = json_object_get(copy, columns[i]);
        json_object_set_new(told, columns[i], value ? json_incref(value) : json_null());
    }
    return told;
}

/* The answer's array. */
static json_t *describe(const json_t *workers, const json_t *copies)
{
    static const struct member members[] = {{"queue", JSON_STRING},    {"worker", JSON_STRING},
                                            {"host", JSON_STRING},     {"pid", JSON_INTEGER},
                                            {"seen_at", JSON_STRING},  {"concurrency", JSON_INTEGER},
                                            {"running", JSON_INTEGER}, {"lease_seconds", JSON_INTEGER},
                                            {"n_jobs", JSON_INTEGER},  {NULL, JSON_NULL}};
    json_t *by_id = json_object(), *told = json_array(), *row;
    const json_t *worker, *job;
    size_t i, j;
    json_array_foreach(copies, i, row)
    {
        char id[24];
        snprintf(id, sizeof id, "%lld", (long long)json_integer_value(json_object_get(row, "id")));
        json_object_set(by_id, id, row);
    }
    json_array_foreach(workers, i, worker)
    {
        json_t *one = members_fixed(worker, members), *jobs = json_array();
        json_array_foreach(json_object_get(worker, "jobs"), j, job)
            json_array_append_new(jobs, described(by_id, job));
        json_object_set_new(one, "jobs", jobs);
        json_array_append_new(told, one);
    }
    json_decref(by_id);
    return told;
}

static void on_copies(struct ask *ask, const struct pg_results *results)
{
    const json_t *workers = ask->data;
    json_t *copies = json_rows(ask_result(ask, results, 0));
    if (copies == NULL) {
        problem_reply(ask->request, 503, "out of memory");
        return;
    }
    json_t *told = describe(workers, copies);
    json_decref(copies);
    http_reply(ask->request, 200, json_pack("{s:o}", "workers", told));
}

/* Ids of all jobs, as an array literal. */
static void add_ids(struct strbuf *ids, const json_t *workers)
{
    const json_t *worker, *job;
    size_t i, j;
    int n = 0;
    pg_array_begin(ids);
    json_array_foreach(workers, i, worker)
    {
        json_array_foreach(json_object_get(worker, "jobs"), j, job)
        {
            json_int_t id = json_integer_value(json_object_get(job, "id"));
            if (id > 0 && id <= INT32_MAX && n++ < JOBS_MAX)
                pg_array_int(ids, id);
        }
    }
    pg_array_end(ids);
}

void workers_reply(struct api *api, struct http_request *request, json_t *found)
{
    static const struct pg_statement statement = {"api_workers_copies", copies_sql, 1};
    if (!http_keep(request, found, workers_free)) {
        problem_reply(request, 503, "out of memory");
        return;
    }
    struct ask *ask = ask_new(api, request, on_copies, found);
    if (ask == NULL)
        return;
    struct strbuf ids;
    strbuf_init(&ids, 128 << 10);
    add_ids(&ids, found);
    const char *value = strbuf_cstr(&ids);
    int added = pg_request_add(ask->question, &statement, &value);
    strbuf_deinit(&ids);
    ask_send(ask, added);
}
