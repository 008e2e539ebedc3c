/*
 * GET /api/me, PATCH /api/me.
 *
 *   me_change --> LOOK_UP (the hash) --> VERIFY (thread pool) --> HASH (thread pool) --> REPLACE --> a new
 * cookie
 *                    +------------------------+----------------------+-------------------+--> refused
 *
 * Whoever stole a cookie must not be able to guess the password with it: tries count as those of logins.
 */
#include "login.h"

#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "ask.h"
#include "auth/bearer.h"
#include "auth/password.h"
#include "base/log.h"
#include "client.h"
#include "identity.h"
#include "input.h"
#include "login_limit.h"
#include "problem.h"
#include "store/sessions.h"
#include "store/users.h"

void me_get(struct api *api, struct http_request *request)
{
    const struct identity *identity = http_request_identity(request);
    char csrf[DIGEST_SHA256_SIZE];
    (void)api;
    bool session = identity->session_id != 0 && identity_csrf_token(request, csrf);
    http_reply(request, 200,
               login_facts(identity->user_id, identity->user_name[0] ? identity->user_name : NULL,
                           identity->role, identity->token_id ? identity->token_name : NULL,
                           session ? csrf : NULL));
}

/* --- another password --- */

enum state { LOOK_UP, VERIFY, HASH, REPLACE };

struct change {
    struct api *api;
    struct http_request *request;
    enum state state;
    const struct identity *identity;             /* the request's */
    const char *current_password, *new_password; /* the request's */
    char address[CLIENT_ADDRESS_SIZE];
    char old_hash[PASSWORD_HASH_SIZE];
    char cookie[BEARER_SIZE];
};

static void change_free(void *object)
{
    explicit_bzero(object, sizeof(struct change));
    free(object);
}

static void on_replaced(struct ask *ask, const struct pg_results *results)
{
    struct change *change = ask->data;
    const struct identity *identity = change->identity;
    char csrf[DIGEST_SHA256_SIZE];
    struct error err = {0};
    if (PQntuples(ask_result(ask, results, USER_OWN_PASSWORD)) == 0) {
        problem_reply(change->request, 409, "the user has been changed meanwhile; log in again");
        return;
    }
    identities_forget(change->api->identities);
    if (bearer_derive(change->cookie, IDENTITY_CSRF_PURPOSE, csrf, &err)) {
        problem_reply_error(change->request, &err);
        return;
    }
    log_info("'%.100s' from %s has another password", identity->user_name, change->address);
    login_set_cookie(change->api, change->request, change->cookie, SESSION_MAX_SECONDS);
    http_reply(change->request, 200,
               login_facts(identity->user_id, identity->user_name, identity->role, NULL, csrf));
}

static void on_hash(void *data, const struct password_answer *answer, const struct error *err)
{
    struct change *change = data;
    char secret_hash[DIGEST_SHA256_SIZE];
    struct error trouble = {0};
    if (err || bearer_make("", change->cookie, &trouble)) {
        problem_reply_error(change->request, err ? err : &trouble);
        return;
    }
    bearer_hash(change->cookie, secret_hash);
    change->state = REPLACE;
    struct ask *ask = ask_new_change(change->api, change->request, on_replaced, change);
    if (ask)
        ask_send(ask, user_add_own_password(ask->question, change->identity->user_id, change->old_hash,
                                            answer->new_hash, change->identity->session_id, secret_hash));
}

/* Before it is known whether the password is right. */
static void give_up(struct change *change, const struct error *err)
{
    login_limit_take_back(change->api->logins, change->identity->user_name, change->address);
    problem_reply_error(change->request, err);
}

static void on_verified(void *data, const struct password_answer *answer, const struct error *err)
{
    struct change *change = data;
    struct error trouble = {0};
    if (err) {
        give_up(change, err);
        return;
    }
    if (!answer->matches) {
        log_warn("another password for '%.100s' from %s refused: the current one is wrong",
                 change->identity->user_name, change->address);
        problem_reply_field(change->request, "current_password", "this is not your password");
        return;
    }
    login_limit_succeeded(change->api->logins, change->identity->user_name, change->address);
    change->state = HASH;
    if (password_checks_hash(change->api->passwords, change->new_password, on_hash, change, &trouble))
        problem_reply_error(change->request, &trouble);
}

static void on_user(struct ask *ask, const struct pg_results *results)
{
    struct change *change = ask->data;
    const PGresult *row = ask_result(ask, results, 0); /* id, hashed_password, role, username */
    struct error err = {0};
    if (PQntuples(row) > 0 && pg_int(row, 0, 0, 0) == change->identity->user_id)
        snprintf(change->old_hash, sizeof change->old_hash, "%s", pg_text(row, 0, 1));
    change->state = VERIFY;
    if (password_checks_verify(change->api->passwords, change->old_hash[0] ? change->old_hash : NULL,
                               change->current_password, on_verified, change, &err))
        give_up(change, &err);
}

static void on_no_user(struct ask *ask, const struct error *err)
{
    struct change *change = ask->data;
    login_limit_take_back(change->api->logins, change->identity->user_name, change->address);
    api_reply_pg_error(change->request, err);
}

static void begin(struct api *api, struct http_request *request, const struct input_value *current,
                  const struct input_value *wanted)
{
    struct change *change = calloc(1, sizeof *change);
    if (!http_keep(request, change, change_free)) {
        problem_reply(request, 503, "out of memory");
        return;
    }
    *change = (struct change){.api = api,
                              .request = request,
                              .identity = http_request_identity(request),
                              .current_password = current->text,
                              .new_password = wanted->text};
    client_address(request, api->settings->trusted_proxies, change->address);
    if (!login_may_try(api, request, change->identity->user_name, change->address))
        return;
    struct ask *ask = ask_new(api, request, on_user, change);
    if (ask == NULL)
        return;
    ask->failed = on_no_user;
    ask_send(ask, user_add_login(ask->question, change->identity->user_name));
}

void me_change(struct api *api, struct http_request *request)
{
    enum { CURRENT, NEW, FIELDS };
    static const struct input_field fields[FIELDS] = {
        [CURRENT] = {"current_password", INPUT_TEXT, INPUT_REQUIRED | INPUT_SECRET, .min = 1,
                     .max = PASSWORD_MAX_BYTES},
        [NEW] = {"new_password", INPUT_TEXT, INPUT_REQUIRED | INPUT_SECRET, .min = PASSWORD_MIN_BYTES,
                 .max = PASSWORD_MAX_BYTES},
    };
    const struct input *input = input_body(request, fields, FIELDS);
    struct error err = {0};
    if (input == NULL)
        return;
    if (http_request_identity(request)->session_id == 0)
        problem_reply(
            request, 403,
            "a token can't change a password: log in; admins give another one by PATCH /api/users/{id}");
    else if (password_acceptable(input->values[NEW].text, &err))
        problem_reply_field(request, "new_password", "%s", err.message);
    else if (strcmp(input->values[CURRENT].text, input->values[NEW].text) == 0)
        problem_reply_field(request, "new_password", "choose one that is not the current one");
    else
        begin(api, request, &input->values[CURRENT], &input->values[NEW]);
}
