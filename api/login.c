/*
 *   login_post --> LOOK_UP (who has that name) --> VERIFY (thread pool) --> OPEN (session, log) --> the
 * cookie
 *                     +------------------------------+-----------------------+--> refused, or an error
 *
 * Wrong names and wrong passwords get the same answer after the same work.
 */
#include "login.h"

#include <stdio.h>
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
#include "store/audit.h"
#include "store/sessions.h"
#include "store/users.h"

enum state { LOOK_UP, VERIFY, OPEN };

struct login {
    struct api *api;
    struct http_request *request;
    enum state state;
    const char *username, *password; /* the request's */
    char address[CLIENT_ADDRESS_SIZE];
    int64_t user_id;
    enum role role;
    char old_hash[PASSWORD_HASH_SIZE];
    char new_hash[PASSWORD_HASH_SIZE];
    char cookie[BEARER_SIZE];
};

static void login_free(struct login *login)
{
    explicit_bzero(login, sizeof *login);
    free(login);
}

int login_check_settings(const struct settings *settings, struct error *err)
{
    const char *text = settings->cookie_secure;
    if (strcmp(text, "auto") == 0 || strcmp(text, "always") == 0 || strcmp(text, "never") == 0)
        return 0;
    return error_set(err, ERROR_INPUT, false, "BM_COOKIE_SECURE: '%.40s' is not auto, always or never", text);
}

bool login_set_cookie(struct api *api, struct http_request *request, const char *value, long max_age_s)
{
    const char *secure = api->settings->cookie_secure;
    bool https = strcmp(secure, "always") == 0 ||
                 (strcmp(secure, "auto") == 0 && client_is_https(request, api->settings->trusted_proxies));
    char text[200];
    snprintf(text, sizeof text, IDENTITY_COOKIE "=%s; Path=/; Max-Age=%ld; HttpOnly; SameSite=Lax%s", value,
             max_age_s, https ? "; Secure" : "");
    bool set = http_set_header(request, "Set-Cookie", text);
    explicit_bzero(text, sizeof text);
    return set;
}

json_t *login_facts(int64_t user_id, const char *username, enum role role, const char *token_name,
                    const char *csrf_token)
{
    json_t *facts =
        json_pack("{s:o, s:s?, s:s, s:s?}", "user_id", user_id ? json_integer(user_id) : json_null(),
                  "username", username, "role", role_name(role), "token_name", token_name);
    if (facts)
        json_object_set_new(facts, "csrf_token", csrf_token ? json_string(csrf_token) : json_null());
    return facts;
}

/* --- login --- */

static void refuse(struct login *login)
{
    log_warn("login of '%.100s' from %s refused", login->username, login->address);
    http_set_header(login->request, "WWW-Authenticate", "Session");
    problem_reply(login->request, 401, "the user name or the password is wrong");
    login_free(login);
}

static void fail(struct login *login, const struct error *err)
{
    login_limit_take_back(login->api->logins, login->username, login->address);
    problem_reply_error(login->request, err);
    login_free(login);
}

static void on_opened(struct ask *ask, const struct pg_results *results)
{
    struct login *login = ask->data;
    char csrf[DIGEST_SHA256_SIZE];
    struct error err = {0};
    (void)results;
    if (bearer_derive(login->cookie, IDENTITY_CSRF_PURPOSE, csrf, &err)) {
        fail(login, &err);
        return;
    }
    login_limit_succeeded(login->api->logins, login->username, login->address);
    login_set_cookie(login->api, login->request, login->cookie, SESSION_MAX_SECONDS);
    http_reply(login->request, 200, login_facts(login->user_id, login->username, login->role, NULL, csrf));
    login_free(login);
}

static void on_pg_error(struct ask *ask, const struct error *err)
{
    struct login *login = ask->data;
    login_limit_take_back(login->api->logins, login->username, login->address);
    api_reply_pg_error(login->request, err);
    login_free(login);
}

static void on_not_opened(struct ask *ask, const struct error *err)
{
    if (strcmp(err->native, SESSION_REFUSED) == 0)
        refuse(ask->data);
    else
        on_pg_error(ask, err);
}

static void open_session(struct login *login)
{
    char hash[DIGEST_SHA256_SIZE];
    struct error err = {0};
    login->state = OPEN;
    if (bearer_make("", login->cookie, &err)) {
        fail(login, &err);
        return;
    }
    bearer_hash(login->cookie, hash);
    struct audit_actor actor = {login->user_id, login->username, NULL, login->address};
    struct ask *ask = ask_new(login->api, login->request, on_opened, login);
    if (ask == NULL) {
        login_free(login);
        return;
    }
    ask->failed = on_not_opened;
    int added = audit_add_actor(ask->question, &actor);
    added |= session_add_insert(ask->question, hash, login->user_id, login->old_hash, login->address);
    added |= user_add_logged_in(ask->question, login->user_id, login->old_hash,
                                login->new_hash[0] ? login->new_hash : NULL);
    added |= audit_add_event(ask->question, "login", "user", login->user_id, login->username, NULL);
    ask_send(ask, added);
    if (added)
        login_free(login);
}

static void on_verified(void *data, const struct password_answer *answer, const struct error *err)
{
    struct login *login = data;
    if (err) {
        fail(login, err);
    } else if (!answer->matches) {
        refuse(login);
    } else {
        if (answer->new_hash)
            snprintf(login->new_hash, sizeof login->new_hash, "%s", answer->new_hash);
        open_session(login);
    }
}

static void on_user(struct ask *ask, const struct pg_results *results)
{
    struct login *login = ask->data;
    const PGresult *row = ask_result(ask, results, 0); /* id, hashed_password, role, username */
    struct error err = {0};
    bool there = PQntuples(row) > 0 && role_parse(pg_text(row, 0, 2), &login->role);
    if (there) {
        login->user_id = pg_int(row, 0, 0, 0);
        snprintf(login->old_hash, sizeof login->old_hash, "%s", pg_text(row, 0, 1));
    }
    login->state = VERIFY;
    if (password_checks_verify(login->api->passwords, there ? login->old_hash : NULL, login->password,
                               on_verified, login, &err))
        fail(login, &err);
}

bool login_may_try(struct api *api, struct http_request *request, const char *username, const char *address)
{
    int64_t wait_ms = login_limit_try(api->logins, username, address, (int64_t)uv_now(api->loop));
    unsigned wait_s = (unsigned)((wait_ms + 999) / 1000);
    if (wait_ms > 0)
        problem_reply_later(request, 429, wait_s, "too many logins failed; try again in %u seconds", wait_s);
    return wait_ms == 0;
}

void login_post(struct api *api, struct http_request *request)
{
    enum { USERNAME, PASSWORD, FIELDS };
    static const struct input_field fields[FIELDS] = {
        [USERNAME] = {"username", INPUT_TEXT, INPUT_REQUIRED, .min = 1, .max = 100},
        [PASSWORD] = {"password", INPUT_TEXT, INPUT_REQUIRED | INPUT_SECRET, .min = 1,
                      .max = PASSWORD_MAX_BYTES},
    };
    const struct input *input = input_body(request, fields, FIELDS);
    if (input == NULL)
        return;
    struct login *login = calloc(1, sizeof *login);
    struct ask *ask = login ? ask_new(api, request, on_user, login) : NULL;
    if (ask == NULL) {
        if (login == NULL)
            problem_reply(request, 503, "out of memory");
        free(login);
        return;
    }
    *login = (struct login){.api = api,
                            .request = request,
                            .username = input->values[USERNAME].text,
                            .password = input->values[PASSWORD].text};
    ask->failed = on_pg_error;
    client_address(request, api->settings->trusted_proxies, login->address);
    if (!login_may_try(api, request, login->username, login->address)) {
        ask_free(ask);
        login_free(login);
        return;
    }
    int added = user_add_login(ask->question, login->username);
    ask_send(ask, added);
    if (added)
        login_free(login);
}

/* --- logout --- */

static void on_logged_out(struct ask *ask, const struct pg_results *results)
{
    (void)results;
    identities_forget(ask->api->identities);
    login_set_cookie(ask->api, ask->request, "", 0);
    http_reply_empty(ask->request, 204);
}

void logout_post(struct api *api, struct http_request *request)
{
    const struct identity *identity = http_request_identity(request);
    const char *cookie = http_cookie(request, IDENTITY_COOKIE);
    char hash[DIGEST_SHA256_SIZE];
    if (identity->session_id == 0 || cookie == NULL || !bearer_hash(cookie, hash)) {
        problem_reply(request, 409,
                      "only sessions are logged out; a token is revoked by DELETE /api/tokens/{id}");
        return;
    }
    struct ask *ask = ask_new_change(api, request, on_logged_out, NULL);
    if (ask == NULL)
        return;
    int added = session_add_remove(ask->question, hash);
    added |= audit_add_event(ask->question, "logout", "user", identity->user_id, identity->user_name, NULL);
    ask_send(ask, added);
}
