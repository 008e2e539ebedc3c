/*
 * POST /api/backups/{id}/retry and .../cancel: the backup is looked at, so that a refusal says why, then
 * changed under its lock. The answer is {"changed": [the copies], "backup": {as it is now}}.
 */
#include "backups.h"

#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "ask.h"
#include "input.h"
#include "problem.h"
#include "relay.h"
#include "store/backup_list.h"
#include "store/backup_ops.h"
#include "store/json_rows.h"

/* The actor's statement, the lock, the change, the backup. */
enum { CHANGED = 1, BACKUP = 2 };

/* A cancel that changed the backup alone names no copy. */
static json_t *copies_of(const PGresult *changed)
{
    return PQntuples(changed) > 0 && PQgetisnull(changed, 0, 0) ? json_array() : json_rows(changed);
}

/* False: somebody else was faster. */
static bool reply_changed(struct ask *ask, const struct pg_results *results)
{
    const PGresult *changed = ask_result(ask, results, CHANGED), *backup = ask_result(ask, results, BACKUP);
    if (PQntuples(changed) == 0 || PQntuples(backup) == 0) {
        problem_reply(ask->request, 409, "the backup has changed meanwhile; look at it again");
        return false;
    }
    http_reply(ask->request, 200,
               json_pack("{s:o, s:o}", "changed", copies_of(changed), "backup", backup_shown(backup)));
    return true;
}

/* --- retry --- */

struct retry {
    const char *destination; /* the request's; NULL: all copies that failed */
};

static void on_retried(struct ask *ask, const struct pg_results *results)
{
    struct api *api = ask->api;
    if (reply_changed(ask, results))
        relay_soon(api, MAINTENANCE_RELAY);
}

static void on_to_retry(struct ask *ask, const struct pg_results *results)
{
    const char *destination = ((const struct retry *)ask->data)->destination;
    json_t *backup = backup_looked(ask, results);
    struct error err = {0};
    struct ask *next = NULL;
    if (backup == NULL)
        return;
    int rc = backup_check_retry(backup, destination, &err);
    if (rc == ERROR_NOT_FOUND)
        problem_reply_field(ask->request, "destination", "%s", err.message);
    else if (rc)
        problem_reply(ask->request, 409, "%s", err.message);
    else
        next = ask_new_change(ask->api, ask->request, on_retried, NULL);
    json_decref(backup);
    if (next == NULL)
        return;
    int64_t id = http_request_id(next->request, 0);
    int added = backup_add_retry(next->question, id, destination);
    added |= backup_add_select_id(next->question, id);
    ask_send(next, added);
}

void backup_retry(struct api *api, struct http_request *request)
{
    enum { DESTINATION, FIELDS };
    static const struct input_field fields[FIELDS] = {
        [DESTINATION] = {"destination", INPUT_TEXT, .min = 1, .max = 255,
                         .hint = "the name or the id of the destination whose copy is to be tried again"},
    };
    const struct input *input = input_body(request, fields, FIELDS);
    if (input == NULL)
        return;
    struct retry *retry = calloc(1, sizeof *retry);
    if (!http_keep(request, retry, free)) {
        problem_reply(request, 503, "out of memory");
        return;
    }
    retry->destination = input->values[DESTINATION].text;
    backup_look(api, request, on_to_retry, retry);
}

/* --- cancel --- */

static void on_cancelled(struct ask *ask, const struct pg_results *results)
{
    reply_changed(ask, results);
}

static void on_to_cancel(struct ask *ask, const struct pg_results *results)
{
    json_t *backup = backup_looked(ask, results);
    struct error err = {0};
    struct ask *next = NULL;
    if (backup == NULL)
        return;
    if (backup_check_cancel(backup, &err))
        problem_reply(ask->request, 409, "%s", err.message);
    else
        next = ask_new_change(ask->api, ask->request, on_cancelled, NULL);
    json_decref(backup);
    if (next == NULL)
        return;
    int64_t id = http_request_id(next->request, 0);
    int added = backup_add_cancel(next->question, id);
    added |= backup_add_select_id(next->question, id);
    ask_send(next, added);
}

void backup_cancel(struct api *api, struct http_request *request)
{
    if (input_body(request, NULL, 0))
        backup_look(api, request, on_to_cancel, NULL);
}
