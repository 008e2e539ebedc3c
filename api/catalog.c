#include "catalog.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "base/log.h"
#include "page.h"
#include "problem.h"
#include "store/json_rows.h"

static bool sees_all(const struct http_request *request)
{
    return http_request_identity(request)->role >= ROLE_ADMIN;
}

const char *catalog_first_text(const PGresult *result)
{
    return PQntuples(result) > 0 ? pg_text(result, 0, 0) : NULL;
}

/* --- lists --- */

const char *const catalog_storage_types[] = {"local",     "local_external", "s3",  "minio", "spaces",
                                             "backblaze", "azure_blob",     "gcs", NULL};

#define AN_ID INPUT_INTEGER, .min = 1, .max = INT32_MAX

static const struct {
    enum catalog_filters filter;
    struct input_field field;
    size_t offset; /* in struct catalog_filter */
} filters[] = {
    {CATALOG_BY_TEXT, {"q", INPUT_TEXT, .min = 1, .max = 200}, offsetof(struct catalog_filter, text)},
    {CATALOG_BY_ACTIVE, {"active", INPUT_BOOLEAN}, offsetof(struct catalog_filter, active)},
    {CATALOG_BY_ENABLED, {"enabled", INPUT_BOOLEAN}, offsetof(struct catalog_filter, active)},
    {CATALOG_BY_DATABASE, {"database_id", AN_ID}, offsetof(struct catalog_filter, database_id)},
    {CATALOG_BY_DESTINATION, {"destination_id", AN_ID}, offsetof(struct catalog_filter, destination_id)},
    {CATALOG_BY_SCHEDULE, {"schedule_id", AN_ID}, offsetof(struct catalog_filter, schedule_id)},
    {CATALOG_BY_TYPE,
     {"storage_type", INPUT_CHOICE, .choices = catalog_storage_types},
     offsetof(struct catalog_filter, storage_type)},
};
enum { N_FILTERS = sizeof filters / sizeof *filters };

struct list {
    const struct catalog_resource *resource;
    struct page page;
};

static void on_list(struct ask *ask, const struct pg_results *results)
{
    const struct list *list = ask->data;
    const struct catalog_resource *resource = list->resource;
    json_t *rows = catalog_read_rows(ask_result(ask, results, 0), resource->kind), *row;
    size_t i;
    if (resource->hide && !sees_all(ask->request))
        json_array_foreach(rows, i, row) resource->hide(row);
    page_reply(ask->request, &list->page, resource->plural, rows);
}

/* False: has been replied to. */
static bool read_query(struct http_request *request, unsigned wanted, struct page *page,
                       struct catalog_filter *filter)
{
    struct input_field fields[N_FILTERS];
    size_t offsets[N_FILTERS], n = 0;
    for (size_t i = 0; i < N_FILTERS; i++) {
        if (!(wanted & filters[i].filter))
            continue;
        fields[n] = filters[i].field;
        offsets[n++] = filters[i].offset;
    }
    const struct input_value *values = page_read_filters(request, page, fields, n);
    for (size_t i = 0; values && i < n; i++) {
        const char **text = (const char **)((char *)filter + offsets[i]);
        if (values[i].given && fields[i].type == INPUT_BOOLEAN)
            *text = values[i].boolean ? "true" : "false";
        else if (values[i].given)
            *text = values[i].text;
    }
    return values != NULL;
}

void catalog_list(struct api *api, struct http_request *request, const struct catalog_resource *resource)
{
    struct catalog_filter filter = {0};
    struct list *list = calloc(1, sizeof *list);
    if (!http_keep(request, list, free)) {
        problem_reply(request, 503, "out of memory");
        return;
    }
    list->resource = resource;
    if (!read_query(request, resource->filters, &list->page, &filter))
        return;
    struct ask *ask = ask_new(api, request, on_list, list);
    if (ask)
        ask_send(ask, catalog_add_page(ask->question, resource->kind, list->page.after, list->page.limit + 1,
                                       &filter));
}

/* --- one row --- */

int catalog_add_shown(const struct catalog_resource *resource, struct pg_request *question,
                      const struct http_request *request, int64_t id)
{
    return resource->add_shown ? resource->add_shown(question, request, id)
                               : catalog_add_one(question, resource->kind, id);
}

json_t *catalog_read_shown(const struct catalog_resource *resource, const struct http_request *request,
                           const PGresult *result)
{
    json_t *rows = resource->read_shown ? NULL : catalog_read_rows(result, resource->kind);
    json_t *row = resource->read_shown ? resource->read_shown(result) : json_incref(json_array_get(rows, 0));
    json_decref(rows);
    if (row && resource->hide && !sees_all(request))
        resource->hide(row);
    return row;
}

void catalog_reply_gone(struct http_request *request, const struct catalog_resource *resource)
{
    problem_reply(request, 404, "there is no %s %lld", catalog_kind_name(resource->kind),
                  (long long)http_request_id(request, 0));
}

static void on_shown(struct ask *ask, const struct pg_results *results)
{
    const PGresult *result = ask_result(ask, results, 0);
    if (PQntuples(result) == 0)
        catalog_reply_gone(ask->request, ask->data);
    else
        http_reply(ask->request, 200, catalog_read_shown(ask->data, ask->request, result));
}

void catalog_show(struct api *api, struct http_request *request, const struct catalog_resource *resource)
{
    if (input_query(request, NULL, 0) == NULL)
        return;
    struct ask *ask = ask_new(api, request, on_shown, (void *)resource);
    if (ask)
        ask_send(ask, catalog_add_shown(resource, ask->question, request, http_request_id(request, 0)));
}

/* --- what somebody else did --- */

bool catalog_check_match(struct http_request *request, const struct catalog_resource *resource,
                         const json_t *shown)
{
    if (http_matches(request, shown))
        return true;
    problem_reply(request, 412,
                  "the %s is not what If-Match names any more; GET it again and look at what changed",
                  catalog_kind_name(resource->kind));
    return false;
}

void catalog_reply_changed(struct http_request *request, const struct catalog_resource *resource)
{
    bool matched = http_header(request, "If-Match") != NULL;
    problem_reply(request, matched ? 412 : 409, "somebody else has changed the %s at the same time; %s",
                  catalog_kind_name(resource->kind),
                  matched ? "GET it again and look at what changed" : "ask again");
}

/* --- removal --- */

struct removal {
    struct api *api;
    struct http_request *request;
    const struct catalog_resource *resource;
    int64_t id;
    char version[24];
};

static void on_removed(struct ask *ask, const struct pg_results *results)
{
    enum { ROW, REMOVED = CATALOG_REMOVE_STATEMENTS, NEEDED };
    const struct removal *removal = ask->data;
    const struct catalog_resource *resource = removal->resource;
    const char *needed = catalog_first_text(ask_result(ask, results, NEEDED));
    if (PQntuples(ask_result(ask, results, ROW)) == 0) {
        catalog_reply_gone(ask->request, resource);
    } else if (PQntuples(ask_result(ask, results, REMOVED)) > 0) {
        http_reply_empty(ask->request, 204);
    } else if (needed) {
        json_t *row = catalog_read_shown(resource, ask->request, ask_result(ask, results, ROW));
        problem_reply(ask->request, 409, "%s '%s' can't be removed: %s", catalog_kind_name(resource->kind),
                      json_string_value(json_object_get(row, "name")), needed);
        json_decref(row);
    } else {
        catalog_reply_changed(ask->request, resource);
    }
}

/* Something that needs it was made between the look for such things and the removal. */
static void on_not_removed(struct ask *ask, const struct error *err)
{
    const struct removal *removal = ask->data;
    if (strcmp(err->native, "23503") == 0)
        problem_reply(ask->request, 409,
                      "the %s can't be removed: something that needs it has just been made; ask again, and "
                      "you are told what",
                      catalog_kind_name(removal->resource->kind));
    else
        api_reply_pg_error(ask->request, err);
}

/* version NULL: whatever it is by now. */
static void send_removal(const struct removal *removal, const char *version)
{
    enum catalog_kind kind = removal->resource->kind;
    struct ask *ask = ask_new_change(removal->api, removal->request, on_removed, (void *)removal);
    if (ask == NULL)
        return;
    ask->failed = on_not_removed;
    int added = catalog_add_shown(removal->resource, ask->question, removal->request, removal->id);
    added |= catalog_add_remove(ask->question, kind, removal->id, version);
    added |= catalog_add_needed(ask->question, kind, removal->id);
    ask_send(ask, added);
}

static void on_matched(struct ask *ask, const struct pg_results *results)
{
    struct removal *removal = ask->data;
    json_t *shown = catalog_read_shown(removal->resource, ask->request, ask_result(ask, results, 1));
    const char *version = catalog_first_text(ask_result(ask, results, 0));
    if (shown == NULL || version == NULL) {
        catalog_reply_gone(ask->request, removal->resource);
    } else if (catalog_check_match(ask->request, removal->resource, shown)) {
        snprintf(removal->version, sizeof removal->version, "%s", version);
        send_removal(removal, removal->version);
    }
    json_decref(shown);
}

void catalog_remove(struct api *api, struct http_request *request, const struct catalog_resource *resource)
{
    if (input_query(request, NULL, 0) == NULL)
        return;
    struct removal *removal = malloc(sizeof *removal);
    if (removal)
        *removal = (struct removal){api, request, resource, http_request_id(request, 0), ""};
    if (!http_keep(request, removal, free)) {
        problem_reply(request, 503, "out of memory");
        return;
    }
    if (http_header(request, "If-Match") == NULL) {
        send_removal(removal, NULL);
        return;
    }
    struct ask *ask = ask_new(api, request, on_matched, removal);
    if (ask == NULL)
        return;
    int added = catalog_add_version(ask->question, resource->kind, removal->id);
    ask_send(ask, added | catalog_add_shown(resource, ask->question, request, removal->id));
}
