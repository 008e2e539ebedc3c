/*
 * A new row, or a changed one:
 *
 *   READING --> CHECKING --> WRITING --> replied
 *
 * READING  the row as it is, its version with it; a new one begins with CHECKING
 * CHECKING catalog_apply, in the thread pool when it looks at directories
 * WRITING  one transaction: who acts, the row (only in the version that was read), why it was not written,
 * how it is shown now
 *
 * Any failure replies. Input that is wrong is answered with 422 and its field.
 */
#include "catalog.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apply.h"
#include "auth/secret.h"
#include "base/clock.h"
#include "problem.h"
#include "store/json_rows.h"

enum change_state { CHANGE_READING, CHANGE_CHECKING, CHANGE_WRITING };

struct change {
    struct api *api;
    struct http_request *request;
    const struct catalog_resource *resource;
    const struct input *input;
    enum change_state state;
    int64_t id; /* 0: a new row */
    char version[24];
    json_t *current, *changes; /* until they are checked */
    json_t *row;               /* what is written */
};

static void change_free(void *data)
{
    struct change *change = data;
    json_decref(change->current);
    secret_json_free(change->changes);
    json_decref(change->row);
    free(change);
}

/* The state before what leads to the next one is submitted. */
static void enter(struct change *change, enum change_state state)
{
    assert(state >= change->state);
    change->state = state;
}

/* --- input --- */

static const struct input *read_body(struct http_request *request, const struct catalog_resource *resource,
                                     bool new)
{
    struct input_field fields[INPUT_FIELDS_MAX];
    size_t n = new ? resource->n_fields : resource->n_change;
    memcpy(fields, resource->fields, n * sizeof *fields);
    for (size_t i = 0; i < n && !new; i++)
        fields[i].flags &= ~(unsigned)INPUT_REQUIRED;
    const struct input *input = input_body(request, fields, n);
    if (input == NULL || new || input->n_given > 0)
        return input;
    problem_reply(request, 422,
                  "there is nothing to change: write what is to be different, such as {\"%s\": ...}",
                  fields[0].name);
    return NULL;
}

static json_t *value_of(const struct input_field *field, const struct input_value *value)
{
    if (value->is_null)
        return json_null();
    switch (field->type) {
    case INPUT_TEXT:
    case INPUT_CHOICE:
        return json_string(value->text);
    case INPUT_INTEGER:
        return json_integer(value->integer);
    case INPUT_BOOLEAN:
        return json_boolean(value->boolean);
    case INPUT_TIME:
    case INPUT_TEXTS:
    case INPUT_OBJECT:
        break;
    }
    return NULL;
}

/* NULL: out of memory. What the resource completes is null here when it was written as null, else absent. */
static json_t *columns_of(const struct change *change)
{
    const struct catalog_resource *resource = change->resource;
    size_t n = change->id ? resource->n_change : resource->n_fields;
    json_t *changes = json_object();
    for (size_t i = 0; changes && i < n; i++) {
        json_t *value = NULL;
        if (change->input->values[i].given)
            value = value_of(&resource->fields[i], &change->input->values[i]);
        if (value && json_object_set_new(changes, resource->fields[i].name, value)) {
            json_decref(changes);
            return NULL;
        }
    }
    return changes;
}

/* --- WRITING --- */

static void reply_obstacles(struct change *change, const PGresult *obstacles)
{
    struct problem problem;
    bool taken = true;
    for (int i = 0; i < PQntuples(obstacles); i++)
        taken = taken && pg_bool(obstacles, i, 2, 0);
    problem_init(&problem, taken ? 409 : 422, "the %s can't be written: %s",
                 catalog_kind_name(change->resource->kind), pg_text(obstacles, 0, 1));
    for (int i = 0; i < PQntuples(obstacles); i++)
        problem_add(&problem, pg_text(obstacles, i, 0), "%s", pg_text(obstacles, i, 1));
    problem_send(&problem, change->request);
}

static void on_written(struct ask *ask, const struct pg_results *results)
{
    enum { WRITTEN = 1, OBSTACLES, SHOWN, VERSION };
    struct change *change = ask->data;
    const PGresult *written = ask_result(ask, results, WRITTEN),
                   *obstacles = ask_result(ask, results, OBSTACLES);
    if (PQntuples(written) > 0) {
        char location[80];
        snprintf(location, sizeof location, "%s/%lld", change->resource->path,
                 (long long)pg_int(written, 0, 0, 0));
        if (change->id == 0)
            http_set_header(change->request, "Location", location);
        http_reply(change->request, change->id ? 200 : 201,
                   catalog_read_shown(change->resource, change->request, ask_result(ask, results, SHOWN)));
        return;
    }
    const char *version = change->id ? catalog_first_text(ask_result(ask, results, VERSION)) : NULL;
    if (change->id && version == NULL)
        catalog_reply_gone(change->request, change->resource);
    else if (PQntuples(obstacles) > 0 && (version == NULL || strcmp(version, change->version) == 0))
        reply_obstacles(change, obstacles);
    else
        catalog_reply_changed(change->request, change->resource);
}

/* What it refers to was removed between the look at it and the writing, or an older program took the place.
 */
static void on_not_written(struct ask *ask, const struct error *err)
{
    const char *kind = catalog_kind_name(((struct change *)ask->data)->resource->kind);
    if (strcmp(err->native, "23503") == 0)
        problem_reply(ask->request, 409, "something that the %s refers to has just been removed; look again",
                      kind);
    else if (err->code == ERROR_EXISTS)
        problem_reply(ask->request, 409, "there is such a %s already; look again", kind);
    else
        api_reply_pg_error(ask->request, err);
}

static void write_row(struct change *change)
{
    enum catalog_kind kind = change->resource->kind;
    struct ask *ask = ask_new_change(change->api, change->request, on_written, change);
    if (ask == NULL)
        return;
    enter(change, CHANGE_WRITING);
    ask->failed = on_not_written;
    int added = change->id ? catalog_add_update(ask->question, kind, change->row, change->version)
                           : catalog_add_insert(ask->question, kind, change->row);
    added |= catalog_add_obstacles(ask->question, kind, change->row);
    added |= catalog_add_shown(change->resource, ask->question, change->request, change->id);
    if (change->id)
        added |= catalog_add_version(ask->question, kind, change->id);
    ask_send(ask, added);
}

/* --- CHECKING --- */

static void refuse(struct change *change, const char *field, const struct error *err)
{
    if (field && !(err->code == ERROR_SYSTEM && err->retryable))
        problem_reply_field(change->request, field, "%s", err->message);
    else
        problem_reply_error(change->request, err);
}

static void on_checked(void *data, json_t *row, const char *field, const struct error *err)
{
    struct change *change = data;
    if (err) {
        refuse(change, field, err);
        return;
    }
    change->row = row;
    write_row(change);
}

static void check(struct change *change, const PGresult *current)
{
    const struct catalog_resource *resource = change->resource;
    const char *field = NULL;
    struct error err = {0};
    json_t *row = NULL;
    change->changes = columns_of(change);
    int rc = change->changes ? 0 : error_set(&err, ERROR_SYSTEM, true, "out of memory");
    if (rc == 0 && resource->complete)
        rc = resource->complete(change->api, change->input, current, change->changes, &field, &err);
    if (rc) {
        refuse(change, field, &err);
        return;
    }
    enter(change, CHANGE_CHECKING);
    if (!catalog_apply_blocks(resource->kind, change->current, change->changes)) {
        rc = catalog_apply(resource->kind, change->current, change->changes, change->api->settings,
                           clock_wall_ms(), &row, &field, &err);
        on_checked(change, row, field, rc ? &err : NULL);
        return;
    }
    rc = apply_start(change->api->applies, resource->kind, change->current, change->changes, on_checked,
                     change, &err);
    change->current = change->changes = NULL;
    if (rc)
        refuse(change, NULL, &err);
}

/* --- READING --- */

static void on_read(struct ask *ask, const struct pg_results *results)
{
    enum { VERSION, ROW, SHOWN };
    struct change *change = ask->data;
    const PGresult *row = ask_result(ask, results, ROW);
    const char *version = catalog_first_text(ask_result(ask, results, VERSION));
    json_t *shown = catalog_read_shown(change->resource, change->request, ask_result(ask, results, SHOWN));
    json_t *rows = catalog_read_rows(row, change->resource->kind);
    if (version == NULL || shown == NULL || json_array_size(rows) == 0) {
        catalog_reply_gone(change->request, change->resource);
    } else if (catalog_check_match(change->request, change->resource, shown)) {
        snprintf(change->version, sizeof change->version, "%s", version);
        change->current = json_incref(json_array_get(rows, 0));
        json_decref(rows);
        rows = NULL; /* the thread gets the only reference */
        check(change, row);
    }
    json_decref(rows);
    json_decref(shown);
}

static void read_row(struct change *change)
{
    struct ask *ask = ask_new(change->api, change->request, on_read, change);
    if (ask == NULL)
        return;
    int added = catalog_add_version(ask->question, change->resource->kind, change->id);
    added |= catalog_add_one(ask->question, change->resource->kind, change->id);
    added |= catalog_add_shown(change->resource, ask->question, change->request, change->id);
    ask_send(ask, added);
}

static void begin(struct api *api, struct http_request *request, const struct catalog_resource *resource,
                  bool new)
{
    if (input_query(request, NULL, 0) == NULL)
        return;
    const struct input *input = read_body(request, resource, new);
    struct change *change = input ? calloc(1, sizeof *change) : NULL;
    if (input == NULL)
        return;
    if (change)
        *change = (struct change){.api = api, .request = request, .resource = resource, .input = input};
    if (!http_keep(request, change, change_free)) {
        problem_reply(request, 503, "out of memory");
        return;
    }
    change->id = new ? 0 : http_request_id(request, 0);
    if (new)
        check(change, NULL);
    else
        read_row(change);
}

void catalog_create(struct api *api, struct http_request *request, const struct catalog_resource *resource)
{
    begin(api, request, resource, true);
}

void catalog_change(struct api *api, struct http_request *request, const struct catalog_resource *resource)
{
    begin(api, request, resource, false);
}
