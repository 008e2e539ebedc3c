/*
 * GET /api/databases/{id}/details: two statements in one round trip, then a look at the files.
 *
 *   details_get --> on_rows --> on_files --> reply
 *                     +-- no files to look at --> reply
 */
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "base/log.h"
#include "input.h"
#include "store/catalog.h"
#include "store/json_rows.h"

#define LIMIT_DEFAULT 50
#define LIMIT_MAX 200

extern const char bm_sql_details_database[], bm_sql_details_backups[];

struct details {
    struct api *api;
    struct http_request *request;
    int64_t database_id;
    json_t *answer;
};

static void on_files(void *data)
{
    struct details *d = data;
    http_reply(d->request, 200, d->answer);
    free(d);
}

static bool look_at_files(struct details *d, json_t *backups)
{
    struct file_check_batch *batch = file_check_batch_new(d->api->files);
    size_t i, k;
    json_t *backup, *copy;
    if (batch == NULL)
        return false;
    json_array_foreach(backups, i, backup)
    {
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

static void on_rows(void *data, const struct pg_results *results, const struct error *err)
{
    struct details *d = data;
    if (err) {
        api_reply_pg_error(d->request, err);
        free(d);
        return;
    }
    if (PQntuples(results->results[0]) == 0) {
        problem_reply(d->request, 404, "there is no database %lld", (long long)d->database_id);
        free(d);
        return;
    }
    json_t *backups = json_rows(results->results[1]);
    d->answer =
        json_pack("{s:o, s:O}", "database", json_row(results->results[0], 0), "recent_backups", backups);
    if (d->answer == NULL || !look_at_files(d, backups)) {
        log_error(
            "the rows of database %lld can't be made into JSON: out of memory, or text that is not UTF-8",
            (long long)d->database_id);
        problem_reply(d->request, 500, "the rows can't be made into JSON");
        json_decref(d->answer);
        free(d);
    }
    json_decref(backups);
}

void details_get(struct api *api, struct http_request *request)
{
    static const struct pg_statement database = {"api_database", bm_sql_details_database, 1};
    static const struct pg_statement backups = {"api_backups", bm_sql_details_backups, 2};
    static const struct input_field fields[] = {{"limit", INPUT_INTEGER, .min = 1, .max = LIMIT_MAX}};
    const struct input *input = input_query(request, fields, 1);
    if (input == NULL)
        return;
    int64_t database_id = http_request_id(request, 0);
    int limit = input->values[0].given ? (int)input->values[0].integer : LIMIT_DEFAULT;
    struct details *d = calloc(1, sizeof *d);
    struct pg_request *question = d ? pg_request_new(api->pg) : NULL;
    if (question == NULL) {
        free(d);
        problem_reply(request, 503, "out of memory");
        return;
    }
    *d = (struct details){.api = api, .request = request, .database_id = database_id};
    char id[24], n[24];
    snprintf(id, sizeof id, "%lld", (long long)database_id);
    snprintf(n, sizeof n, "%d", limit);
    pg_request_add(question, &database, (const char *const[]){id});
    pg_request_add(question, &backups, (const char *const[]){id, n});
    pg_request_send(question, on_rows, d);
}
