/*
 * GET /api/databases/{id}/details: four statements in one round trip, then a look at the files.
 *
 *   details_get --> on_rows --> on_files --> reply
 *                     +-- no files to wait for --> reply
 */
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "base/clock.h"
#include "base/log.h"
#include "input.h"
#include "next_runs.h"
#include "problem.h"
#include "route.h"
#include "store/backup_list.h"
#include "store/catalog.h"
#include "store/json_rows.h"

#define LIMIT_DEFAULT 10
#define LIMIT_MAX 200
#define NEXT_RUNS 5

extern const char bm_sql_details_database[], bm_sql_details_statistics[], bm_sql_details_schedules[],
    bm_sql_details_backups[];

enum { DATABASE, STATISTICS, SCHEDULES, BACKUPS };

struct details {
    struct api *api;
    struct http_request *request;
    int64_t database_id;
    int64_t limit;
    json_t *answer;
};

static void on_files(void *data)
{
    struct details *d = data;
    http_reply(d->request, 200, d->answer);
    free(d);
}

/* "Reload" in a browser, and whoever wants to know it exactly. */
static bool wants_anew(const struct http_request *request)
{
    const char *control = http_header(request, "Cache-Control");
    return control && (strcasestr(control, "no-cache") || strcasestr(control, "max-age=0"));
}

static bool look_at_files(struct details *d, json_t *backups)
{
    struct file_check_batch *batch = file_check_batch_new(d->api->files, wants_anew(d->request));
    size_t i, k;
    json_t *backup, *copy;
    if (batch == NULL)
        return false;
    json_array_foreach(backups, i, backup)
    {
        backup_fill_legacy_fields(backup);
        json_array_foreach(json_object_get(backup, "destinations"), k, copy)
        {
            catalog_redact(copy);
            json_t *identity = json_incref(json_object_get(copy, "disk_identity"));
            json_object_del(copy, "disk_identity");
            file_check_add(batch, copy, json_string_value(identity));
            json_decref(identity);
        }
    }
    if (!file_check_batch_start(batch, on_files, d))
        on_files(d);
    return true;
}

/* Takes the row of this schedule (0: backups without one) out of rows, which become its statistics; for one
 * that has no backups yet, zeros. */
static json_t *statistics_of(json_t *rows, int64_t schedule_id)
{
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        json_t *id = json_object_get(row, "schedule_id");
        if (json_is_integer(id) && json_integer_value(id) == schedule_id)
            return json_incref(row);
    }
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:n, s:n}", "total", 0, "successful", 0, "failed", 0,
                     "partial", 0, "in_progress", 0, "last_success_id", "last_success_at");
}

/* The database's own: copies are counted there alone. */
static json_t *statistics_of_all(json_t *rows)
{
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row) if (json_is_null(json_object_get(row, "schedule_id")))
    {
        json_t *all = json_copy(row);
        json_object_del(all, "schedule_id");
        return all;
    }
    return NULL;
}

static void complete_schedules(json_t *schedules, json_t *statistics, bool database_active)
{
    static const char *const not_theirs[] = {"schedule_id", "completed_copies", "total_size"};
    int64_t now = clock_wall_ms() / 1000;
    size_t i;
    json_t *schedule;
    json_array_foreach(schedules, i, schedule)
    {
        json_t *own = statistics_of(statistics, json_integer_value(json_object_get(schedule, "id")));
        for (size_t k = 0; k < sizeof not_theirs / sizeof *not_theirs; k++)
            json_object_del(own, not_theirs[k]);
        json_object_set_new(schedule, "statistics", own);
        next_runs_add(schedule, database_active, now, NEXT_RUNS);
    }
}

/* The column is the older system's; what is newer is known from the backups. Texts of one form: comparable.
 */
static void set_last_backup_at(json_t *database, const json_t *statistics)
{
    json_t *success = json_object_get(statistics, "last_success_at");
    const char *old = json_string_value(json_object_get(database, "last_backup_at"));
    if (json_is_string(success) && (old == NULL || strcmp(old, json_string_value(success)) < 0))
        json_object_set(database, "last_backup_at", success);
}

/* One more than are shown was asked for: it says that there is a next page. */
static json_t *take_next_page(const struct details *d, json_t *backups)
{
    if ((int64_t)json_array_size(backups) <= d->limit)
        return json_null();
    json_array_remove(backups, (size_t)d->limit);
    return json_incref(json_object_get(json_array_get(backups, (size_t)d->limit - 1), "id"));
}

/* NULL: memory is out, or a text is not UTF-8. */
static json_t *make_answer(const struct details *d, PGresult *const *results)
{
    json_t *database = json_row(results[DATABASE], 0);
    json_t *rows = json_rows(results[STATISTICS]);
    json_t *schedules = json_rows(results[SCHEDULES]);
    json_t *backups = json_rows(results[BACKUPS]);
    json_t *all = rows ? statistics_of_all(rows) : NULL;
    json_t *answer = NULL;
    if (database && schedules && backups && all) {
        set_last_backup_at(database, all);
        complete_schedules(schedules, rows, json_is_true(json_object_get(database, "is_active")));
        answer = json_pack("{s:O, s:O, s:O, s:O, s:o}", "database", database, "statistics", all, "schedules",
                           schedules, "recent_backups", backups, "next_before", take_next_page(d, backups));
    }
    json_decref(database);
    json_decref(rows);
    json_decref(schedules);
    json_decref(backups);
    json_decref(all);
    return answer;
}

static void on_rows(void *data, const struct pg_results *results, const struct error *err)
{
    struct details *d = data;
    if (err) {
        api_reply_pg_error(d->request, err);
        free(d);
        return;
    }
    if (PQntuples(results->results[DATABASE]) == 0) {
        problem_reply(d->request, 404, "there is no database %lld", (long long)d->database_id);
        free(d);
        return;
    }
    d->answer = make_answer(d, results->results);
    if (d->answer == NULL || !look_at_files(d, json_object_get(d->answer, "recent_backups"))) {
        log_error(
            "the rows of database %lld can't be made into JSON: out of memory, or text that is not UTF-8",
            (long long)d->database_id);
        problem_reply(d->request, 500, "the rows can't be made into JSON");
        json_decref(d->answer);
        free(d);
    }
}

void details_get(struct api *api, struct http_request *request)
{
    enum { LIMIT, BEFORE, FIELDS };
    static const struct input_field fields[FIELDS] = {
        [LIMIT] = {"limit", INPUT_INTEGER, .min = 1, .max = LIMIT_MAX},
        [BEFORE] = {"before", INPUT_INTEGER, .min = 1, .max = INT32_MAX, .hint = "a backup's id"},
    };
    static const struct pg_statement database = {"api_database", bm_sql_details_database, 1};
    static const struct pg_statement statistics = {"api_statistics", bm_sql_details_statistics, 1};
    static const struct pg_statement schedules = {"api_schedules", bm_sql_details_schedules, 1};
    static const struct pg_statement backups = {"api_backups", bm_sql_details_backups, 3};
    const struct input *input = input_query(request, fields, FIELDS);
    if (input == NULL)
        return;
    struct details *d = calloc(1, sizeof *d);
    struct pg_request *question = d ? pg_request_new(api->pg) : NULL;
    if (question == NULL) {
        free(d);
        problem_reply(request, 503, "out of memory");
        return;
    }
    *d = (struct details){.api = api, .request = request, .database_id = http_request_id(request, 0)};
    d->limit = input->values[LIMIT].given ? input->values[LIMIT].integer : LIMIT_DEFAULT;
    char id[24], limit[24];
    snprintf(id, sizeof id, "%lld", (long long)d->database_id);
    snprintf(limit, sizeof limit, "%lld", (long long)d->limit + 1);
    pg_request_add(question, &database, (const char *const[]){id});
    pg_request_add(question, &statistics, (const char *const[]){id});
    pg_request_add(question, &schedules, (const char *const[]){id});
    pg_request_add(question, &backups, (const char *const[]){id, limit, input->values[BEFORE].text});
    pg_request_send(question, on_rows, d);
}
