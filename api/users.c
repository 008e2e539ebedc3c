/*
 * /api/users. A password that is written is hashed in the thread pool before anything is asked of PostgreSQL:
 *
 *   users_create, users_change --> (hash) --> one transaction: who acts, the change, the row as it is now -->
 * reply
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accounts.h"
#include "api.h"
#include "ask.h"
#include "auth/password.h"
#include "identity.h"
#include "input.h"
#include "page.h"
#include "problem.h"
#include "store/users.h"

enum { USERNAME, EMAIL, ROLE, IS_ACTIVE, PASSWORD, FIELDS };

/* --- reading --- */

static void on_page(struct ask *ask, const struct pg_results *results)
{
    page_reply(ask->request, ask->data, "users", user_read_rows(ask_result(ask, results, 0)));
}

void users_list(struct api *api, struct http_request *request)
{
    struct page *page = page_read(request);
    struct ask *ask = page ? ask_new(api, request, on_page, page) : NULL;
    if (ask)
        ask_send(ask, user_add_page(ask->question, page->after, page->limit + 1));
}

static void on_shown(struct ask *ask, const struct pg_results *results)
{
    ask_reply_row(ask, ask_result(ask, results, 0), 200, "user");
}

void users_show(struct api *api, struct http_request *request)
{
    char id[24];
    struct ask *ask = ask_new(api, request, on_shown, NULL);
    snprintf(id, sizeof id, "%lld", (long long)http_request_id(request, 0));
    if (ask)
        ask_send(ask, user_add_select(ask->question, id));
}

/* --- changes --- */

struct change {
    struct api *api;
    struct http_request *request;
    int64_t id;      /* 0 = a new one */
    json_t *changes; /* columns */
    char name[24];   /* for messages where nothing better is known */
};

static void change_free(void *object)
{
    struct change *change = object;
    json_decref(change->changes);
    free(change);
}

static const char *text_of(const struct change *change, const char *column)
{
    return json_string_value(json_object_get(change->changes, column));
}

static void on_pg_error(struct ask *ask, const struct error *err)
{
    if (err->code == ERROR_EXISTS) /* the older system's table may have an index on email */
        problem_reply(ask->request, 409, "a user with that name or email exists already");
    else
        api_reply_pg_error(ask->request, err);
}

static void on_created(struct ask *ask, const struct pg_results *results)
{
    const struct change *change = ask->data;
    struct error err = {0};
    int64_t id;
    if (user_read_inserted(ask_result(ask, results, 1), text_of(change, "username"), &id, &err)) {
        problem_reply_error(ask->request, &err);
        return;
    }
    char location[40];
    snprintf(location, sizeof location, "/api/users/%lld", (long long)id);
    http_set_header(ask->request, "Location", location);
    ask_reply_row(ask, ask_result(ask, results, 2), 201, "user");
}

static void on_changed(struct ask *ask, const struct pg_results *results)
{
    const struct change *change = ask->data;
    struct error err = {0};
    if (user_read_changed(results->results, (int)ask->before, change->name, &err)) {
        problem_reply_error(ask->request, &err);
        return;
    }
    identities_forget(ask->api->identities);
    ask_reply_row(ask, ask_result(ask, results, USER_CHANGE_STATEMENTS), 200, "user");
}

static void send_change(struct change *change)
{
    struct ask *ask =
        ask_new_change(change->api, change->request, change->id ? on_changed : on_created, change);
    int added;
    if (ask == NULL)
        return;
    ask->failed = on_pg_error;
    if (change->id) {
        added = user_add_update(ask->question, change->id, change->changes);
        added |= user_add_select(ask->question, change->name);
    } else {
        added = user_add_insert(ask->question, text_of(change, "username"), text_of(change, "email"),
                                text_of(change, "role"), text_of(change, "hashed_password"));
        added |= user_add_select(ask->question, text_of(change, "username"));
    }
    ask_send(ask, added);
}

static void on_hash(void *data, const struct password_answer *answer, const struct error *err)
{
    struct change *change = data;
    if (err) {
        problem_reply_error(change->request, err);
        return;
    }
    json_object_set_new(change->changes, "hashed_password", json_string(answer->new_hash));
    send_change(change);
}

/* False: replied to. */
static bool check(struct change *change, const char *password)
{
    struct error err = {0};
    const char *field = "password";
    if (change->changes && user_check(change->changes, &field, &err) == 0 &&
        (password == NULL || password_acceptable(password, &err) == 0))
        return true;
    problem_reply_field(change->request, field, "%s", change->changes ? err.message : "out of memory");
    return false;
}

static void begin(struct api *api, struct http_request *request, int64_t id, const struct input *input)
{
    const struct input_value *values = input->values;
    const char *password = values[PASSWORD].text;
    struct error err = {0};
    struct change *change = calloc(1, sizeof *change);
    if (!http_keep(request, change, change_free)) {
        problem_reply(request, 503, "out of memory");
        return;
    }
    *change = (struct change){.api = api, .request = request, .id = id};
    snprintf(change->name, sizeof change->name, "%lld", (long long)id);
    change->changes = json_pack("{s:s*, s:s*, s:s*}", "username", values[USERNAME].text, "email",
                                values[EMAIL].text, "role", values[ROLE].text);
    if (change->changes && values[IS_ACTIVE].given)
        json_object_set_new(change->changes, "is_active", json_boolean(values[IS_ACTIVE].boolean));
    if (!check(change, password))
        return;
    if (password == NULL)
        send_change(change);
    else if (password_checks_hash(api->passwords, password, on_hash, change, &err))
        problem_reply_error(request, &err);
}

void users_create(struct api *api, struct http_request *request)
{
    static const struct input_field fields[FIELDS] = {
        [USERNAME] = {"username", INPUT_TEXT, INPUT_REQUIRED, .min = 1, .max = 100},
        [EMAIL] = {"email", INPUT_TEXT, .min = 3, .max = 254},
        [ROLE] = {"role", INPUT_CHOICE, INPUT_REQUIRED, .choices = role_names},
        [IS_ACTIVE] = {"is_active", INPUT_BOOLEAN},
        [PASSWORD] = {"password", INPUT_TEXT, INPUT_REQUIRED | INPUT_SECRET, .min = PASSWORD_MIN_BYTES,
                      .max = PASSWORD_MAX_BYTES},
    };
    const struct input *input = input_body(request, fields, FIELDS);
    if (input && input->values[IS_ACTIVE].given && !input->values[IS_ACTIVE].boolean)
        problem_reply_field(request, "is_active", "a new user is active; switch them off afterwards");
    else if (input)
        begin(api, request, 0, input);
}

void users_change(struct api *api, struct http_request *request)
{
    static const struct input_field fields[FIELDS] = {
        [USERNAME] = {"username", INPUT_TEXT, .min = 1, .max = 100},
        [EMAIL] = {"email", INPUT_TEXT, .min = 3, .max = 254},
        [ROLE] = {"role", INPUT_CHOICE, .choices = role_names},
        [IS_ACTIVE] = {"is_active", INPUT_BOOLEAN},
        [PASSWORD] = {"password", INPUT_TEXT, INPUT_SECRET, .min = PASSWORD_MIN_BYTES,
                      .max = PASSWORD_MAX_BYTES},
    };
    const struct input *input = input_body(request, fields, FIELDS);
    if (input && input->n_given == 0)
        problem_reply(request, 422, "nothing to change: write username, email, role, is_active or password");
    else if (input)
        begin(api, request, http_request_id(request, 0), input);
}

static void on_removed(struct ask *ask, const struct pg_results *results)
{
    char name[24];
    struct error err = {0};
    snprintf(name, sizeof name, "%lld", (long long)http_request_id(ask->request, 0));
    if (user_read_changed(results->results, (int)ask->before, name, &err)) {
        problem_reply_error(ask->request, &err);
        return;
    }
    identities_forget(ask->api->identities);
    http_reply_empty(ask->request, 204);
}

void users_remove(struct api *api, struct http_request *request)
{
    struct ask *ask = ask_new_change(api, request, on_removed, NULL);
    if (ask)
        ask_send(ask, user_add_remove(ask->question, http_request_id(request, 0)));
}
