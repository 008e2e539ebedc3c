/*
 * backupctl destination sweep: uploads to a destination that were begun and neither completed nor aborted.
 * Listed are those of ours: at keys that rows of backup_destinations have, or below the destination's prefix.
 * Those older than --older-than hours are aborted, except what a live row's resume state names: that one will
 * be taken up again. Where the store drops them by itself, and nobody else can (Azure), that is said. Where
 * it doesn't tell which are open (Google), those are taken that resume states of rows name.
 */
#include "destination_sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "catalog_commands.h"
#include "copies.h"
#include "destination_place.h"

enum { UPLOADS_MAX = 100000, DEFAULT_HOURS = 24 };

struct sweep {
    struct cli *cli;
    json_t *uploads;
    char below[1024]; /* the destination's prefix as a folder: "ours/", or "" */
    bool by_key;      /* some may be told a second time */
    bool unlisted;    /* the store doesn't tell them */
    bool too_many;
};

static bool is_known(const struct sweep *s, const char *upload_id)
{
    size_t i;
    const json_t *known;
    json_array_foreach(s->uploads, i, known)
    {
        if (strcmp(json_string_value(json_object_get(known, "upload_id")), upload_id) == 0)
            return true;
    }
    return false;
}

static bool on_upload(void *data, const struct storage_entry *entry)
{
    struct sweep *s = data;
    char began[CLOCK_ISO8601_SIZE] = "";
    if (s->by_key && is_known(s, entry->upload_id))
        return true;
    if (json_array_size(s->uploads) == UPLOADS_MAX) {
        s->too_many = true;
        return false;
    }
    if (entry->time_ms > 0)
        clock_iso8601(entry->time_ms, began);
    json_array_append_new(s->uploads, json_pack("{s:s, s:s, s:s?, s:I}", "key", entry->key, "upload_id",
                                                entry->upload_id, "began_at", *began ? began : NULL,
                                                "began_ms", (json_int_t)entry->time_ms));
    return true;
}

/* What PostgreSQL knows of keys: id of the row (the newest where several have one), whether its upload goes
 * on. */
static const char select_rows[] =
    "SELECT DISTINCT ON (u.at) u.at, d.id, coalesce(position(u.upload_id IN l.resume_state), 0) > 0"
    " FROM unnest($1::text[], $2::text[]) WITH ORDINALITY u (key, upload_id, at)"
    " LEFT JOIN backup_destinations d ON d.file_path = u.key AND d.storage_type = $3"
    " LEFT JOIN backup_destinations l ON l.file_path = u.key AND l.storage_type = $3"
    "  AND l.status IN ('pending', 'uploading')"
    " ORDER BY u.at, 3 DESC, d.id DESC";

/* A store that lists open uploads of one whole key only (MinIO) is asked about the keys of copies that
 * failed. */
static const char select_failed[] =
    "SELECT DISTINCT d.file_path FROM backup_destinations d WHERE d.destination_id = $1::int AND d.attempts > 0"
    " AND d.status <> 'completed' LIMIT 1000";

static int list_failed(struct sweep *s, const struct storage_place *place, int64_t destination,
                       struct error *err)
{
    char id[24];
    PGresult *keys;
    snprintf(id, sizeof id, "%lld", (long long)destination);
    int rc = cli_query(s->cli, select_failed, 1, (const char *const[]){id}, &keys, err);
    if (rc)
        return rc;
    for (int i = 0; rc == 0 && i < PQntuples(keys); i++)
        rc = copies_list(s->cli, place, STORAGE_LIST_UPLOADS, pg_text(keys, i, 0), on_upload, s, err);
    PQclear(keys);
    return rc;
}

/* What attempts have recorded, where the store tells nothing. */
static const char select_recorded[] =
    "SELECT d.file_path, d.id, d.fence, d.status IN ('pending', 'uploading'), d.resume_state,"
    " (extract(epoch FROM d.upload_started_at AT TIME ZONE 'UTC') * 1000)::bigint"
    " FROM backup_destinations d WHERE d.destination_id = $1::int AND d.resume_state IS NOT NULL"
    " AND d.status <> 'completed' ORDER BY d.id LIMIT 10000";

static int list_recorded(struct sweep *s, int64_t destination, struct error *err)
{
    char id[24];
    PGresult *rows;
    snprintf(id, sizeof id, "%lld", (long long)destination);
    int rc = cli_query(s->cli, select_recorded, 1, (const char *const[]){id}, &rows, err);
    if (rc)
        return rc;
    for (int i = 0; i < PQntuples(rows); i++) {
        char began[CLOCK_ISO8601_SIZE] = "";
        int64_t began_ms = pg_int(rows, i, 5, 0);
        if (began_ms > 0)
            clock_iso8601(began_ms, began);
        json_array_append_new(s->uploads,
                              json_pack("{s:s, s:I, s:I, s:b, s:s, s:s?, s:I}", "key", pg_text(rows, i, 0),
                                        "row_id", (json_int_t)pg_int(rows, i, 1, 0), "fence",
                                        (json_int_t)pg_int(rows, i, 2, 0), "live", pg_bool(rows, i, 3, false),
                                        "resume_state", pg_text(rows, i, 4), "began_at",
                                        *began ? began : NULL, "began_ms", (json_int_t)began_ms));
    }
    PQclear(rows);
    return 0;
}

/* The row is left as it was, should it have been taken again meanwhile. */
static int abort_recorded(struct sweep *s, const struct storage_place *place, const json_t *upload,
                          struct error *err)
{
    const char *state = json_string_value(json_object_get(upload, "resume_state"));
    int64_t row = json_integer_value(json_object_get(upload, "row_id"));
    int64_t fence = json_integer_value(json_object_get(upload, "fence"));
    char id[24], fence_text[24];
    PGresult *result;
    int rc = copies_sweep(s->cli, place, json_string_value(json_object_get(upload, "key")), row, fence, state,
                          err);
    if (rc)
        return rc;
    snprintf(id, sizeof id, "%lld", (long long)row);
    snprintf(fence_text, sizeof fence_text, "%lld", (long long)fence);
    rc = cli_query(
        s->cli,
        "UPDATE backup_destinations SET resume_state = NULL WHERE id = $1::int AND fence = $2::bigint"
        " AND status NOT IN ('pending', 'uploading') AND resume_state = $3",
        3, (const char *const[]){id, fence_text, state}, &result, err);
    if (rc == 0)
        PQclear(result);
    return rc;
}

static int abort_listed(struct sweep *s, const struct storage_place *place, const json_t *upload,
                        struct error *err)
{
    bool existed;
    return copies_abort(s->cli, place, json_string_value(json_object_get(upload, "key")),
                        json_string_value(json_object_get(upload, "upload_id")), &existed, err);
}

static int ask_rows(struct sweep *s, const char *storage_type, size_t from, size_t n, PGresult **ret,
                    struct error *err)
{
    struct strbuf keys, ids;
    strbuf_init(&keys, 4u << 20);
    strbuf_init(&ids, 4u << 20);
    pg_array_begin(&keys);
    pg_array_begin(&ids);
    for (size_t i = from; i < from + n; i++) {
        const json_t *upload = json_array_get(s->uploads, i);
        pg_array_text(&keys, json_string_value(json_object_get(upload, "key")));
        pg_array_text(&ids, json_string_value(json_object_get(upload, "upload_id")));
    }
    pg_array_end(&keys);
    pg_array_end(&ids);
    int rc =
        keys.failed || ids.failed
            ? error_set(err, ERROR_LIMIT, false, "too many open uploads to ask about at once")
            : cli_query(s->cli, select_rows, 3,
                        (const char *const[]){strbuf_cstr(&keys), strbuf_cstr(&ids), storage_type}, ret, err);
    strbuf_deinit(&keys);
    strbuf_deinit(&ids);
    return rc;
}

/* Keeps those that are ours, each with the row it belongs to and whether that row goes on with it. */
static int know_rows(struct sweep *s, const struct storage_place *place, struct error *err)
{
    enum { AT_ONCE = 1000 };
    json_t *ours = json_array();
    int rc = 0;
    size_t n_all = json_array_size(s->uploads);
    for (size_t from = 0; from < n_all && rc == 0; from += AT_ONCE) {
        size_t n = n_all - from < AT_ONCE ? n_all - from : AT_ONCE;
        PGresult *rows = NULL;
        rc = ask_rows(s, place->location.storage_type, from, n, &rows, err);
        for (int i = 0; rc == 0 && i < PQntuples(rows); i++) {
            json_t *upload = json_array_get(s->uploads, from + (size_t)pg_int(rows, i, 0, 1) - 1);
            int64_t row = pg_int(rows, i, 1, 0);
            if (row == 0 && s->below[0] == '\0')
                continue;
            json_object_set_new(upload, "row_id", row ? json_integer(row) : json_null());
            json_object_set_new(upload, "live", json_boolean(pg_bool(rows, i, 2, false)));
            json_array_append(ours, upload);
        }
        PQclear(rows);
    }
    json_decref(s->uploads);
    s->uploads = ours;
    return rc;
}

static int abort_old(struct sweep *s, const struct storage_place *place, int64_t hours, struct error *err)
{
    int64_t before = clock_wall_ms() - hours * 3600 * 1000;
    bool failed = false;
    size_t i;
    json_t *upload;
    json_array_foreach(s->uploads, i, upload)
    {
        struct error why = {0};
        const char *state = "aborted";
        if (json_is_true(json_object_get(upload, "live")))
            state = "kept: its copy goes on with it";
        else if (place->driver->capabilities & STORAGE_CAP_EXPIRE)
            state = "left: the store drops it, a week after its last part";
        else if (json_integer_value(json_object_get(upload, "began_ms")) > before)
            state = "kept: too young";
        else if (json_object_get(upload, "resume_state") ? abort_recorded(s, place, upload, &why)
                                                         : abort_listed(s, place, upload, &why))
            state = "not aborted";
        json_object_set_new(upload, "state", json_string(state));
        if (why.code) {
            failed = true;
            json_object_set_new(upload, "error", json_string(why.message));
            *err = why;
        }
    }
    return failed ? err->code : 0;
}

static void print(struct sweep *s, const struct arguments *args)
{
    static const struct output_column columns[] = {{"KEY", "key", OUTPUT_TEXT},
                                                   {"BEGAN", "began_at", OUTPUT_TEXT},
                                                   {"COPY", "row_id", OUTPUT_NUMBER},
                                                   {"STATE", "state", OUTPUT_TEXT},
                                                   {NULL, NULL, OUTPUT_TEXT}};
    size_t i;
    json_t *upload;
    json_array_foreach(s->uploads, i, upload)
    {
        json_object_del(upload, "began_ms");
        json_object_del(upload, "resume_state"); /* it may hold a secret, encrypted */
        json_object_del(upload, "fence");
        if (json_object_get(upload, "state") == NULL)
            json_object_set_new(upload, "state",
                                json_string(json_is_true(json_object_get(upload, "live"))
                                                ? "open: its copy goes on with it"
                                                : "open: abandoned"));
    }
    if (args->json)
        output_json(s->uploads);
    else
        output_table(s->uploads, columns, "no open uploads of ours");
    if (s->unlisted)
        fprintf(stderr,
                "backupctl: the store doesn't tell which uploads are open, so that only those which copies "
                "remember are listed; it ends the others by itself within a week\n");
    if (s->too_many)
        fprintf(stderr, "backupctl: only the first %d open uploads were looked at; run it again\n",
                UPLOADS_MAX);
}

static int list_from_store(struct sweep *s, const struct storage_place *place, int64_t destination,
                           struct error *err)
{
    storage_place_key(place, "", s->below, sizeof s->below); /* a prefix has at most 900 bytes */
    int rc = copies_list(s->cli, place, STORAGE_LIST_UPLOADS, s->below, on_upload, s, err);
    s->by_key = strcmp(place->location.storage_type, "minio") == 0;
    if (rc == 0 && s->by_key)
        rc = list_failed(s, place, destination, err);
    return rc == 0 ? know_rows(s, place, err) : rc;
}

int run_destination_sweep(struct cli *cli, const struct arguments *args, struct error *err)
{
    json_t *row;
    struct destination_place destination;
    int64_t hours = DEFAULT_HOURS;
    int rc = arguments_number(args, "older-than", 0, 87600, &hours, err);
    if (rc == 0)
        rc = catalog_find(cli, CATALOG_DESTINATION, args->operands[0], 0, &row, err);
    if (rc)
        return rc;
    int64_t id = catalog_row_id(row);
    rc = destination_place_open(cli, id, &destination, err);
    json_decref(row);
    if (rc)
        return rc;
    struct sweep s = {.cli = cli, .uploads = json_array()};
    const struct storage_place *place = &destination.place;
    s.unlisted = place->driver->capabilities & STORAGE_CAP_UNLISTED_UPLOADS;
    rc = s.unlisted ? list_recorded(&s, id, err) : list_from_store(&s, place, id, err);
    bool known = rc == 0;
    if (known && !arguments_has(args, "dry-run"))
        rc = abort_old(&s, place, hours, err);
    if (known)
        print(&s, args);
    json_decref(s.uploads);
    destination_place_close(&destination);
    return rc;
}
