/*
 * Which copy, and is it there: nothing is answered before its first bytes are in memory, so that a store that
 * is gone or a copy that is damaged is told in words. After that only a cut connection can tell.
 *
 * An operation that makes no progress for LIMIT_MS is given up: the request is answered, or its connection
 * cut, and the download stays until the driver has ended, for as long as a disk hangs (hung_disks.h).
 */
#include "download.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "api.h"
#include "ask.h"
#include "base/digest.h"
#include "base/percent.h"
#include "http_fields.h"
#include "problem.h"

enum { LIMIT_MS = 30000 };

const struct copy *download_source(const struct download *d)
{
    return &d->copies.all[d->at];
}

/* --- its end --- */

static void on_limit_closed(uv_handle_t *handle)
{
    struct download *d = handle->data;
    for (int i = 0; i < 2; i++)
        if (d->windows[i].fd >= 0)
            close(d->windows[i].fd);
    digest_free(d->digest);
    copies_free(&d->copies);
    free(d);
}

void download_leave(struct download *d)
{
    if (d->op) {
        storage_op_cancel(d->op);
        return;
    }
    if (d->closing)
        return;
    d->closing = true;
    hung_disk_remove(&d->hung);
    LIST_REMOVE(d, link);
    d->api->n_downloads--;
    uv_close((uv_handle_t *)&d->limit, on_limit_closed);
}

/* Before the body began: the request is answered with a problem. */
static void refuse(struct download *d, unsigned status, const char *text)
{
    struct http_request *request = d->request;
    d->request = NULL;
    problem_reply(request, status, "%s", text);
    download_leave(d);
}

void downloads_end(struct api *api)
{
    struct download *d, *next;
    for (d = LIST_FIRST(&api->downloads); d; d = next) {
        next = LIST_NEXT(d, link);
        if (d->request && !d->answered && d->state != DOWNLOAD_ASKS && d->state != DOWNLOAD_RECORDS)
            refuse(d, 503, "the server is ending; ask again in a moment");
    }
}

/* --- one operation of the driver at a time, and for how long --- */

static void on_limit(uv_timer_t *timer)
{
    struct download *d = timer->data;
    uint64_t seen = d->state == DOWNLOAD_LOOKS ? 0 : atomic_load(&d->get.bytes_done);
    struct error err = {0};
    if (d->request == NULL || seen != d->seen_bytes) {
        d->seen_bytes = seen;
        return;
    }
    error_set(&err, ERROR_TIMEOUT, true, "'%s' has not answered for %d s", download_source(d)->name,
              LIMIT_MS / 1000);
    hung_disk_add(&d->api->hung_disks, &d->hung, download_source(d)->place.location.base_path);
    if (d->state == DOWNLOAD_ANSWERS) {
        download_cut(d, &err);
        storage_op_cancel(d->op);
    } else {
        refuse(d, 503, err.message);
    }
}

void download_watch(struct download *d, struct storage_op *op)
{
    d->op = op;
    d->seen_bytes = 0;
    uv_timer_start(&d->limit, on_limit, LIMIT_MS, LIMIT_MS);
}

void download_unwatch(struct download *d)
{
    d->op = NULL;
    uv_timer_stop(&d->limit);
    hung_disk_remove(&d->hung);
}

/* --- which copy --- */

static unsigned status_for(int code)
{
    switch (code) {
    case ERROR_NOT_FOUND:
        return 404;
    case ERROR_CORRUPT:
    case ERROR_DENIED:
    case ERROR_INPUT:
    case ERROR_PROTOCOL:
    case ERROR_UNSAFE_PATH:
    case ERROR_UNSUPPORTED:
        return 502; /* what stands behind this server is not as it should be */
    default:
        return 503;
    }
}

static void look(struct download *d);

static void note_problem(struct download *d, const struct error *err)
{
    size_t n = strlen(d->problems);
    snprintf(d->problems + n, sizeof d->problems - n, "%s'%.60s': %.280s", n ? "; " : "",
             download_source(d)->name, err->message);
    if (n == 0 || !download_source(d)->found_damaged) /* that was known: the others' problem is the news */
        d->last_code = err->code;
    if (err->code == ERROR_CORRUPT)
        download_record_damage(d, err);
}

/* This copy can't be read: the next one that is completed, or the end. */
static void next_copy(struct download *d, const struct error *err)
{
    note_problem(d, err);
    d->fetched = 0;
    d->windows[0].size = d->windows[1].size = 0;
    while (++d->at < d->copies.n)
        if (copy_is_completed(download_source(d))) {
            look(d);
            return;
        }
    d->at = 0;
    refuse(d, status_for(d->last_code), d->problems);
}

/* --- what is sent --- */

static const char *content_type(const char *key)
{
    static const char *const types[][2] = {
        {".gz", "application/gzip"},   {".tgz", "application/gzip"}, {".zip", "application/zip"},
        {".tar", "application/x-tar"}, {".sql", "application/sql"},
    };
    const char *dot = strrchr(key, '.');
    for (size_t i = 0; dot && i < sizeof types / sizeof *types; i++)
        if (strcasecmp(dot, types[i][0]) == 0)
            return types[i][1];
    return "application/octet-stream";
}

/* RFC 6266: a name for everybody in ASCII, and the right one (RFC 8187). */
static void set_disposition(struct http_request *request, const char *key)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$&+-.^_`|~";
    const char *slash = strrchr(key, '/');
    const char *name = slash && slash[1] ? slash + 1 : key;
    char ascii[256], encoded[3 * 255 + 1], text[sizeof ascii + sizeof encoded + 64];
    size_t n = 0, m = 0;
    for (const char *p = name; *p && n + 1 < sizeof ascii && m + 4 < sizeof encoded; p++) {
        bool same = strchr(plain, *p) != NULL;
        ascii[n++] = *p >= ' ' && *p < 0x7f && *p != '"' && *p != '\\' && *p != '%' ? *p : '_';
        m += (size_t)snprintf(encoded + m, sizeof encoded - m, same ? "%c" : "%%%02X", (unsigned char)*p);
    }
    ascii[n] = encoded[m] = '\0';
    snprintf(text, sizeof text, "attachment; filename=\"%s\"; filename*=UTF-8''%s", ascii, encoded);
    http_set_header(request, "Content-Disposition", text);
}

static void answer(struct download *d)
{
    const struct copy *c = download_source(d);
    char text[DIGEST_SHA256_SIZE + HTTP_CONTENT_RANGE_SIZE];
    set_disposition(d->request, c->key);
    http_set_header(d->request, "Accept-Ranges", "bytes");
    if (c->checksum) {
        snprintf(text, sizeof text, "\"%s\"", c->checksum);
        http_set_header(d->request, "ETag", text);
        http_set_header(d->request, "Cache-Control", "private, no-cache");
    }
    if (d->range_status == 206) {
        http_content_range(text, (int64_t)d->first, (int64_t)d->length, (int64_t)d->size);
        http_set_header(d->request, "Content-Range", text);
    }
    download_send(d, content_type(c->key));
}

static void on_recorded(struct ask *ask, const struct pg_results *results)
{
    struct download *d = ask->data;
    struct error err = {0};
    (void)results;
    if (download_fill(d, &err))
        download_cut(d, &err);
    answer(d);
}

static void on_not_recorded(struct ask *ask, const struct error *err)
{
    struct download *d = ask->data;
    api_reply_pg_error(d->request, err);
    d->request = NULL;
    download_leave(d);
}

/* Who takes a backup away stands in the log before the first byte leaves. */
static void record(struct download *d)
{
    struct ask *ask = ask_new_change(d->api, d->request, on_recorded, d);
    if (ask == NULL) {
        d->request = NULL;
        download_leave(d);
        return;
    }
    d->state = DOWNLOAD_RECORDS;
    ask->failed = on_not_recorded;
    if (download_add_taken(d, ask->question, http_request_id(d->request, 0))) {
        ask_free(ask);
        refuse(d, 503, "out of memory");
    } else {
        ask_send(ask, 0);
    }
}

void download_on_first_window(struct download *d, const struct error *err)
{
    if (err)
        next_copy(d, err);
    else
        record(d);
}

static void refuse_range(struct download *d)
{
    char text[HTTP_CONTENT_RANGE_SIZE];
    http_content_range(text, 0, 0, (int64_t)d->size);
    http_set_header(d->request, "Content-Range", text);
    snprintf(d->problems, sizeof d->problems, "the copy has %llu bytes: ask for some of those",
             (unsigned long long)d->size);
    refuse(d, 416, d->problems);
}

/* The copy is there, of d->size bytes. */
static void prepare(struct download *d)
{
    const struct copy *c = download_source(d);
    struct http_request *request = d->request;
    char quoted[DIGEST_SHA256_SIZE + 2] = "";
    int64_t first, length;
    struct error err = {0};
    if (c->checksum)
        snprintf(quoted, sizeof quoted, "\"%s\"", c->checksum);
    enum http_range_result range =
        http_range(request, (int64_t)d->size, *quoted ? quoted : NULL, &first, &length);
    d->first = (uint64_t)first;
    d->length = (uint64_t)length;
    d->range_status = range == HTTP_RANGE_PART ? 206 : 200;
    if (*quoted && fields_match_etag(http_header(request, "If-None-Match"), quoted)) {
        d->range_status = 304;
        d->first = 0;
        d->length = d->size;
        answer(d);
        return;
    }
    if (range == HTTP_RANGE_UNSATISFIABLE) {
        refuse_range(d);
        return;
    }
    if (http_request_method(request) == HTTP_HEAD) {
        answer(d);
        return;
    }
    digest_free(d->digest);
    d->digest = d->length == d->size && c->checksum ? digest_new() : NULL;
    if (d->length == 0) {
        record(d);
        return;
    }
    d->state = DOWNLOAD_READS;
    if (download_fill(d, &err))
        next_copy(d, &err);
}

static void on_stat(struct storage_stat *stat, const struct storage_stat_result *result,
                    const struct error *err)
{
    struct download *d = stat->data;
    struct error found = {0};
    download_unwatch(d);
    if (d->request == NULL) {
        download_leave(d);
        return;
    }
    const struct copy *c = download_source(d);
    if (err)
        found = *err;
    else if (!result->exists)
        error_set(&found, ERROR_NOT_FOUND, false, "the copy is not there");
    else if (c->size >= 0 && result->size != (uint64_t)c->size)
        error_set(&found, ERROR_CORRUPT, false, "the copy has %llu bytes, recorded are %lld: it is damaged",
                  (unsigned long long)result->size, (long long)c->size);
    if (found.code) {
        next_copy(d, &found);
        return;
    }
    d->size = result->size;
    prepare(d);
}

static void look(struct download *d)
{
    const struct copy *c = download_source(d);
    struct storage_op *op;
    struct error err = c->err;
    d->state = DOWNLOAD_LOOKS;
    d->stat = (struct storage_stat){
        .loop = d->api->loop, .location = c->place.location, .key = c->key, .done = on_stat, .data = d};
    if (c->place.driver && hung_disks_have(&d->api->hung_disks, c->place.location.base_path))
        error_set(&err, ERROR_UNREACHABLE, true, "its disk does not answer");
    if (err.code == 0 && c->place.driver && c->place.driver->stat_start(&d->stat, &op, &err) == 0)
        download_watch(d, op);
    else
        next_copy(d, &err);
}

/* --- what is asked --- */

/* Damage shows only at the end of a download: who asks again must not be given the same copy. */
static void put_damaged_last(struct copies *copies)
{
    int n_good = 0;
    for (int i = 0; i < copies->n; i++) {
        struct copy c = copies->all[i];
        if (c.found_damaged)
            continue;
        memmove(&copies->all[n_good + 1], &copies->all[n_good], (size_t)(i - n_good) * sizeof c);
        copies->all[n_good++] = c;
    }
}

static void on_copies(struct ask *ask, const struct pg_results *results)
{
    struct download *d = ask->data;
    const PGresult *backup = ask_result(ask, results, 0);
    struct error err = {0};
    if (PQntuples(backup) == 0) {
        refuse(d, 404, "there is no such backup");
        return;
    }
    snprintf(d->backup_name, sizeof d->backup_name, "%s", PQgetvalue(backup, 0, 0));
    PGresult *rows = PQcopyResult(ask_result(ask, results, 1), PG_COPYRES_ATTRS | PG_COPYRES_TUPLES);
    if (copies_read(rows, d->api->legacy_base, d->api->access, &d->copies, &err)) {
        refuse(d, 503, err.message);
        return;
    }
    if (d->copies.n == 0 && !d->any_copy) {
        refuse(d, 404, "this backup has no such copy");
        return;
    }
    put_damaged_last(&d->copies);
    for (d->at = 0; d->at < d->copies.n; d->at++)
        if (copy_is_completed(download_source(d))) {
            look(d);
            return;
        }
    d->at = 0;
    refuse(d, 409,
           d->any_copy ? "this backup has no completed copy: there is nothing to download"
                       : "this copy is not completed: there is nothing to download");
}

/* Counted in what there is, so that whatever ends one gives its place back. False: replied to. */
static bool check_share(struct api *api, struct http_request *request)
{
    int held = 0, left_behind = 0;
    char hanging[80] = "";
    const struct download *d;
    LIST_FOREACH(d, &api->downloads, link)
    {
        if (!identity_is_same(&d->identity, http_request_identity(request)))
            continue;
        held++;
        left_behind += d->request == NULL;
    }
    if (held < DOWNLOADS_PER_USER)
        return true;
    if (left_behind)
        snprintf(hanging, sizeof hanging, " (%d of them end when their disk or store answers)", left_behind);
    problem_reply_later(request, 429, 15,
                        "%d of your downloads are under way%s, as many as one user may have at once: let one "
                        "end, or stop one, then ask again",
                        held, hanging);
    return false;
}

static void begin(struct api *api, struct http_request *request, int64_t copy_id)
{
    if (!check_share(api, request))
        return;
    if (api->n_downloads >= DOWNLOADS_AT_ONCE) {
        problem_reply_later(request, 503, 15,
                            "%d downloads are under way, as many as there may be; ask again later",
                            DOWNLOADS_AT_ONCE);
        return;
    }
    struct download *d = calloc(1, sizeof *d);
    if (d == NULL) {
        problem_reply(request, 503, "out of memory");
        return;
    }
    *d = (struct download){.api = api,
                           .request = request,
                           .identity = *http_request_identity(request),
                           .any_copy = copy_id == 0,
                           .windows = {{.fd = -1}, {.fd = -1}},
                           .filling = -1};
    uv_timer_init(api->loop, &d->limit);
    d->limit.data = d;
    LIST_INSERT_HEAD(&api->downloads, d, link);
    api->n_downloads++;
    struct ask *ask = ask_new(api, request, on_copies, d);
    if (ask == NULL) {
        d->request = NULL;
        download_leave(d);
        return;
    }
    int64_t id = http_request_id(request, 0);
    char number[24];
    snprintf(number, sizeof number, "%lld", (long long)id);
    const struct pg_statement name = {.sql = "SELECT name FROM backups WHERE id = $1::bigint", .n_params = 1};
    int added = pg_request_add(ask->question, &name, (const char *const[]){number});
    added |= copies_add_select(ask->question, id, NULL, copy_id);
    ask->failed = on_not_recorded;
    if (added) {
        ask_free(ask);
        refuse(d, 503, "out of memory");
    } else {
        ask_send(ask, 0);
    }
}

void download_backup(struct api *api, struct http_request *request)
{
    begin(api, request, 0);
}

void download_copy(struct api *api, struct http_request *request)
{
    begin(api, request, http_request_id(request, 1));
}
