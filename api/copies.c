/*
 * A backup's copies, as the backup itself shows them; and what is asked to be done with them by operations
 * (operations.h): checks, and the removal of all together with the backup.
 */
#include "copies.h"

#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "ask.h"
#include "backups.h"
#include "input.h"
#include "operations.h"
#include "problem.h"
#include "store/backup_list.h"

static const char *text_of(const json_t *row, const char *column)
{
    const char *text = json_string_value(json_object_get(row, column));
    return text ? text : "";
}

/* --- list, show --- */

static void on_list(struct ask *ask, const struct pg_results *results)
{
    json_t *backup = backup_looked(ask, results);
    if (backup)
        http_reply(ask->request, 200, json_pack("{s:O}", "copies", json_object_get(backup, "destinations")));
    json_decref(backup);
}

void copies_list(struct api *api, struct http_request *request)
{
    if (input_query(request, NULL, 0))
        backup_look(api, request, on_list, NULL);
}

static void on_show(struct ask *ask, const struct pg_results *results)
{
    json_t *backup = backup_looked(ask, results), *copy, *found = NULL;
    size_t i;
    if (backup == NULL)
        return;
    json_array_foreach(json_object_get(backup, "destinations"), i, copy)
    {
        if (json_integer_value(json_object_get(copy, "id")) == http_request_id(ask->request, 1))
            found = copy;
    }
    if (found)
        http_reply(ask->request, 200, json_incref(found));
    else
        problem_reply(ask->request, 404, "backup '%s' has no copy %lld", text_of(backup, "name"),
                      (long long)http_request_id(ask->request, 1));
    json_decref(backup);
}

void copies_show(struct api *api, struct http_request *request)
{
    if (input_query(request, NULL, 0))
        backup_look(api, request, on_show, NULL);
}

/* --- verify --- */

struct wish {
    const char *destination; /* the request's; NULL: all copies */
    bool deep;
    bool forget_missing;
};

static bool is_at(const json_t *copy, const char *destination)
{
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)json_integer_value(json_object_get(copy, "destination_id")));
    return strcmp(id, destination) == 0 || strcmp(text_of(copy, "storage_name"), destination) == 0;
}

static void on_to_verify(struct ask *ask, const struct pg_results *results)
{
    const struct wish *wish = ask->data;
    json_t *backup = backup_looked(ask, results), *copy;
    size_t i;
    bool any = false, completed = false;
    if (backup == NULL)
        return;
    json_array_foreach(json_object_get(backup, "destinations"), i, copy)
    {
        if (wish->destination && !is_at(copy, wish->destination))
            continue;
        any = true;
        completed |= strcmp(text_of(copy, "status"), "completed") == 0;
    }
    const struct operation_order order = {.kind = OPERATION_VERIFY,
                                          .backup_id = http_request_id(ask->request, 0),
                                          .object_name = text_of(backup, "name"),
                                          .destination = wish->destination,
                                          .deep = wish->deep};
    if (wish->destination && !any)
        problem_reply_field(ask->request, "destination",
                            "backup '%s' has no copy at a destination called '%s'", order.object_name,
                            wish->destination);
    else if (!completed)
        problem_reply(ask->request, 409, "backup '%s' has no completed copy%s%s: there is nothing to check",
                      order.object_name, wish->destination ? " at " : "",
                      wish->destination ? wish->destination : "");
    else
        operation_submit(ask->api, ask->request, &order);
    json_decref(backup);
}

static struct wish *wish_new(struct http_request *request)
{
    struct wish *wish = calloc(1, sizeof *wish);
    if (http_keep(request, wish, free))
        return wish;
    problem_reply(request, 503, "out of memory");
    return NULL;
}

void operation_verify(struct api *api, struct http_request *request)
{
    enum { DESTINATION, DEEP, FIELDS };
    static const struct input_field fields[FIELDS] = {
        [DESTINATION] = {"destination", INPUT_TEXT, .min = 1, .max = 255,
                         .hint = "the name or the id of the destination whose copy is to be checked"},
        [DEEP] = {"deep", INPUT_BOOLEAN},
    };
    const struct input *input = input_body(request, fields, FIELDS);
    struct wish *wish = input ? wish_new(request) : NULL;
    if (wish == NULL)
        return;
    wish->destination = input->values[DESTINATION].text;
    wish->deep = input->values[DEEP].boolean;
    backup_look(api, request, on_to_verify, wish);
}

/* --- delete --- */

static void on_to_delete(struct ask *ask, const struct pg_results *results)
{
    const struct wish *wish = ask->data;
    json_t *backup = backup_looked(ask, results);
    struct error err = {0};
    if (backup == NULL)
        return;
    const struct operation_order order = {.kind = OPERATION_DELETE,
                                          .backup_id = http_request_id(ask->request, 0),
                                          .object_name = text_of(backup, "name"),
                                          .forget_missing = wish->forget_missing};
    if (copies_check_delete(backup, &err))
        problem_reply(ask->request, 409, "%s", err.message);
    else
        operation_submit(ask->api, ask->request, &order);
    json_decref(backup);
}

void operation_delete(struct api *api, struct http_request *request)
{
    static const struct input_field fields[] = {{"forget_missing", INPUT_BOOLEAN}};
    const struct input *input = input_query(request, fields, 1);
    struct wish *wish = input ? wish_new(request) : NULL;
    if (wish == NULL)
        return;
    wish->forget_missing = input->values[0].boolean;
    backup_look(api, request, on_to_delete, wish);
}
