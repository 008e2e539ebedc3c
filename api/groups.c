/* /api/groups: databases that belong together. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accounts.h"
#include "api.h"
#include "ask.h"
#include "base/clock.h"
#include "input.h"
#include "page.h"
#include "problem.h"
#include "store/catalog.h"

static void on_page(struct ask *ask, const struct pg_results *results)
{
    page_reply(ask->request, ask->data, "groups",
               catalog_read_rows(ask_result(ask, results, 0), CATALOG_GROUP));
}

void groups_list(struct api *api, struct http_request *request)
{
    struct page *page = calloc(1, sizeof *page);
    if (!http_keep(request, page, free)) {
        problem_reply(request, 503, "out of memory");
        return;
    }
    if (!page_read(request, page))
        return;
    struct ask *ask = ask_new(api, request, on_page, page);
    if (ask)
        ask_send(ask, catalog_add_page(ask->question, CATALOG_GROUP, page->after, page->limit + 1, NULL));
}

static int add_select(struct pg_request *question, int64_t id)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)id);
    return catalog_add_select(question, CATALOG_GROUP, text, 0);
}

static void on_shown(struct ask *ask, const struct pg_results *results)
{
    ask_reply_row(ask, ask_result(ask, results, 0), 200, "group");
}

void groups_show(struct api *api, struct http_request *request)
{
    struct ask *ask = ask_new(api, request, on_shown, NULL);
    if (ask)
        ask_send(ask, add_select(ask->question, http_request_id(request, 0)));
}

/* --- create, change --- */

static void row_free(void *row)
{
    json_decref(row);
}

/* The row to write, kept as long as the request; NULL: replied to. */
static json_t *apply(struct api *api, struct http_request *request, const json_t *current, bool named)
{
    enum { NAME, DESCRIPTION, FIELDS };
    const struct input_field fields[FIELDS] = {
        [NAME] = {"name", INPUT_TEXT, named ? INPUT_REQUIRED : 0, .min = 1, .max = 200},
        [DESCRIPTION] = {"description", INPUT_TEXT, INPUT_NULLABLE | INPUT_LINES, .max = 4000},
    };
    const struct input *input = input_body(request, fields, FIELDS);
    if (input == NULL)
        return NULL;
    const struct input_value *description = &input->values[DESCRIPTION];
    json_t *changes = json_pack("{s:s*}", "name", input->values[NAME].text), *row = NULL;
    struct error err = {0};
    if (changes && description->given)
        json_object_set_new(changes, "description",
                            description->is_null ? json_null() : json_string(description->text));
    if (changes == NULL)
        problem_reply(request, 503, "out of memory");
    else if (catalog_apply(CATALOG_GROUP, current, changes, api->settings, clock_wall_ms(), &row, NULL, &err))
        problem_reply_field(request, "name", "%s", err.message);
    else if (!http_keep(request, row, row_free)) {
        problem_reply(request, 503, "out of memory");
        row = NULL;
    }
    json_decref(changes);
    return row;
}

static void on_created(struct ask *ask, const struct pg_results *results)
{
    struct error err = {0};
    char location[40];
    int64_t id;
    if (catalog_read_inserted(ask_result(ask, results, 1), CATALOG_GROUP, ask->data, &id, &err)) {
        problem_reply_error(ask->request, &err);
        return;
    }
    snprintf(location, sizeof location, "/api/groups/%lld", (long long)id);
    http_set_header(ask->request, "Location", location);
    ask_reply_row(ask, ask_result(ask, results, 2), 201, "group");
}

void groups_create(struct api *api, struct http_request *request)
{
    json_t *row = apply(api, request, NULL, true);
    if (row == NULL)
        return;
    struct ask *ask = ask_new_change(api, request, on_created, row);
    if (ask == NULL)
        return;
    int added = catalog_add_insert(ask->question, CATALOG_GROUP, row);
    added |=
        catalog_add_select(ask->question, CATALOG_GROUP, json_string_value(json_object_get(row, "name")), 0);
    ask_send(ask, added);
}

static void on_changed(struct ask *ask, const struct pg_results *results)
{
    if (PQntuples(ask_result(ask, results, 1)) == 0)
        problem_reply(ask->request, 409, "the group is gone, or another one has that name already");
    else
        ask_reply_row(ask, ask_result(ask, results, 2), 200, "group");
}

static void on_current(struct ask *ask, const struct pg_results *results)
{
    struct api *api = ask->api;
    struct http_request *request = ask->request;
    json_t *current;
    struct error err = {0};
    if (catalog_read_one(ask_result(ask, results, 0), CATALOG_GROUP, "that id", &current, &err)) {
        problem_reply(request, 404, "there is no such group");
        return;
    }
    json_t *row = apply(api, request, current, false);
    json_decref(current);
    struct ask *next = row ? ask_new_change(api, request, on_changed, row) : NULL;
    if (next == NULL)
        return;
    int added = catalog_add_update(next->question, CATALOG_GROUP, row, NULL);
    added |= add_select(next->question, http_request_id(request, 0));
    ask_send(next, added);
}

void groups_change(struct api *api, struct http_request *request)
{
    struct ask *ask = ask_new(api, request, on_current, NULL);
    if (ask)
        ask_send(ask, add_select(ask->question, http_request_id(request, 0)));
}

/* --- remove --- */

static void on_removed(struct ask *ask, const struct pg_results *results)
{
    const PGresult *current = ask_result(ask, results, 0);
    struct error err = {0};
    json_t *row;
    if (catalog_read_one(current, CATALOG_GROUP, "that id", &row, &err)) {
        problem_reply(ask->request, 404, "there is no such group");
        return;
    }
    if (catalog_read_removed(ask_result(ask, results, CATALOG_REMOVE_STATEMENTS), CATALOG_GROUP, row, &err))
        problem_reply_error(ask->request, &err);
    else
        http_reply_empty(ask->request, 204);
    json_decref(row);
}

void groups_remove(struct api *api, struct http_request *request)
{
    struct ask *ask = ask_new_change(api, request, on_removed, NULL);
    if (ask == NULL)
        return;
    int added = add_select(ask->question, http_request_id(request, 0));
    added |= catalog_add_remove(ask->question, CATALOG_GROUP, http_request_id(request, 0), NULL);
    ask_send(ask, added);
}
