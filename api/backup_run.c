/*
 * POST /api/backups. The key of a request that may come twice is written in the transaction that makes the
 * backup: of two at once, one makes it and the other's transaction fails on the key, which is then looked up.
 *
 *   without a key:  MAKE -> 201
 *   with one:       LOOK_UP --free--> MAKE --taken meanwhile--> LOOK_UP --> REPEAT
 *                      +----taken---> REPEAT: the backup that was made -> 201
 */
#include "backups.h"

#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "ask.h"
#include "base/log.h"
#include "input.h"
#include "problem.h"
#include "relay.h"
#include "store/backup_create.h"
#include "store/backup_list.h"
#include "store/idempotency.h"

enum { LOOK_UPS_MAX = 2, MAKES_MAX = 3 };

struct run {
    struct api *api;
    struct http_request *request;
    struct backup_create wanted; /* its texts are the request's, or stand below */
    char scope[40];
    char asked[64];
    int look_ups, makes;
};

static void make(struct run *run);
static void look_up(struct run *run);

static void reply_backup(struct run *run, const PGresult *result)
{
    char location[48];
    json_t *backup = backup_shown(result);
    snprintf(location, sizeof location, "/api/backups/%lld",
             (long long)json_integer_value(json_object_get(backup, "id")));
    http_set_header(run->request, "Location", location);
    http_reply(run->request, 201, backup);
}

/* --- one that was made before --- */

static void on_repeated(struct ask *ask, const struct pg_results *results)
{
    const PGresult *result = ask_result(ask, results, 0);
    if (PQntuples(result) == 0)
        problem_reply(
            ask->request, 409,
            "the backup that was made with this Idempotency-Key has been deleted; for a new one use "
            "another key");
    else
        reply_backup(ask->data, result);
}

static void repeat(struct run *run, const PGresult *key)
{
    const char *asked = pg_text(key, 0, 0);
    if (strcmp(asked, run->asked) != 0) {
        problem_reply(
            run->request, 409,
            "this Idempotency-Key belongs to another request (%s) of the last 24 hours; use another "
            "key",
            asked);
        return;
    }
    struct ask *ask = ask_new(run->api, run->request, on_repeated, run);
    if (ask)
        ask_send(ask, backup_add_select_id(ask->question, pg_int(key, 0, 1, 0)));
}

static void on_key(struct ask *ask, const struct pg_results *results)
{
    const PGresult *key = ask_result(ask, results, IDEMPOTENCY_LOOKUP_STATEMENTS - 1);
    if (PQntuples(key) > 0)
        repeat(ask->data, key);
    else
        make(ask->data);
}

static void look_up(struct run *run)
{
    struct ask *ask = ask_new(run->api, run->request, on_key, run);
    run->look_ups++;
    if (ask)
        ask_send(ask, idempotency_add_lookup(ask->question, run->scope, run->wanted.key));
}

/* --- a new one --- */

static void on_made(struct ask *ask, const struct pg_results *results)
{
    struct run *run = ask->data;
    struct backup_created created;
    struct error err = {0};
    if (backup_create_read(ask_result(ask, results, BACKUP_CREATE_STATEMENTS - 1), &created, &err)) {
        problem_reply_field(run->request, "database_id", "there is no database %lld",
                            (long long)run->wanted.database_id);
        return;
    }
    if (!created.failed)
        relay_soon(run->api, MAINTENANCE_RELAY);
    reply_backup(run, ask_result(ask, results, BACKUP_CREATE_STATEMENTS));
}

static void on_failed(struct ask *ask, const struct error *err)
{
    struct run *run = ask->data;
    if (err->code == ERROR_EXISTS && run->wanted.key && run->look_ups < LOOK_UPS_MAX) {
        look_up(run);
    } else if (strcmp(err->native, "23503") == 0 && run->makes < MAKES_MAX) {
        make(run); /* the database or a destination was removed meanwhile: this time that is seen */
    } else if (pg_maybe_committed(err)) {
        log_warn("%s; whether a backup of database %lld was made is not known", err->message,
                 (long long)run->wanted.database_id);
        problem_reply(run->request, 503,
                      "the backup may have been made, the answer was lost (%s): look at GET "
                      "/api/backups?database_id=%lld before you ask again%s",
                      err->message, (long long)run->wanted.database_id,
                      run->wanted.key ? ", or ask again with the same Idempotency-Key" : "");
    } else
        api_reply_pg_error(run->request, err);
}

static void make(struct run *run)
{
    struct ask *ask = ask_new_change(run->api, run->request, on_made, run);
    run->makes++;
    if (ask == NULL)
        return;
    ask->failed = on_failed;
    int added = backup_create_add(ask->question, &run->wanted);
    added |= backup_add_select_made(ask->question);
    ask_send(ask, added);
}

/* False: replied to. */
static bool take_key(struct run *run)
{
    const char *key = http_header(run->request, "Idempotency-Key");
    const struct identity *identity = http_request_identity(run->request);
    if (key == NULL)
        return true;
    if (!idempotency_key_acceptable(key)) {
        problem_reply(run->request, 400,
                      "Idempotency-Key: use 1 to %d visible ASCII characters, for example a UUID",
                      IDEMPOTENCY_KEY_MAX);
        return false;
    }
    snprintf(run->scope, sizeof run->scope, "%s:%lld", identity->user_id ? "user" : "token",
             (long long)(identity->user_id ? identity->user_id : identity->token_id));
    snprintf(run->asked, sizeof run->asked, "database_id %lld, %s", (long long)run->wanted.database_id,
             run->wanted.ordering);
    run->wanted.key = key;
    run->wanted.key_scope = run->scope;
    run->wanted.key_request = run->asked;
    return true;
}

void backup_run(struct api *api, struct http_request *request)
{
    enum { DATABASE, ORDERING, FIELDS };
    static const char *const orderings[] = {"parallel", "sequential", NULL};
    static const struct input_field fields[FIELDS] = {
        [DATABASE] = {"database_id", INPUT_INTEGER, INPUT_REQUIRED, .min = 1, .max = INT32_MAX,
                      .hint = "a database's id"},
        [ORDERING] = {"ordering", INPUT_CHOICE, .choices = orderings},
    };
    const struct input *input = input_body(request, fields, FIELDS);
    if (input == NULL)
        return;
    const struct input_value *values = input->values;
    struct run *run = calloc(1, sizeof *run);
    if (!http_keep(request, run, free)) {
        problem_reply(request, 503, "out of memory");
        return;
    }
    *run = (struct run){.api = api, .request = request};
    run->wanted.database_id = values[DATABASE].integer;
    run->wanted.ordering = values[ORDERING].given ? values[ORDERING].text : orderings[0];
    if (!take_key(run))
        return;
    if (run->wanted.key)
        look_up(run);
    else
        make(run);
}
