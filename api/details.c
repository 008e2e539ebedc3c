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
        http_reply_error(d->request, 404, "there is no database %lld", (long long)d->database_id);
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
        http_reply_error(d->request, 500, "the rows can't be made into JSON");
        json_decref(d->answer);
        free(d);
    }
    json_decref(backups);
}

/* 0 = not a number from 1 to LIMIT_MAX. */
static int read_limit(const struct http_request *request)
{
    const char *text = http_query(request, "limit");
    if (text == NULL)
        return LIMIT_DEFAULT;
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 6 || text[digits])
        return 0;
    int limit = atoi(text);
    return limit <= LIMIT_MAX ? limit : 0;
}

void details_get(struct api *api, struct http_request *request, int64_t database_id)
{
    static const struct pg_statement database = {"api_database", bm_sql_details_database, 1};
    static const struct pg_statement backups = {"api_backups", bm_sql_details_backups, 2};
    int limit = read_limit(request);
    if (limit == 0) {
        http_reply_error(request, 400, "limit must be a whole number from 1 to %d", LIMIT_MAX);
        return;
    }
    struct details *d = calloc(1, sizeof *d);
    struct pg_request *question = d ? pg_request_new(api->pg) : NULL;
    if (question == NULL) {
        free(d);
        http_reply_error(request, 503, "out of memory");
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
