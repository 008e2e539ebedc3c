/* /api/tokens: what scripts show. A token is shown once, by the answer that makes it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accounts.h"
#include "api.h"
#include "ask.h"
#include "auth/bearer.h"
#include "identity.h"
#include "input.h"
#include "page.h"
#include "problem.h"
#include "store/json_rows.h"
#include "store/tokens.h"

/* Whose tokens the asker may see: 0 = everybody's; -1 = nobody's, a script of the command line. */
static int64_t owner_of(const struct http_request *request)
{
    const struct identity *identity = http_request_identity(request);
    if (identity->role == ROLE_ADMIN)
        return 0;
    return identity->user_id ? identity->user_id : -1;
}

static void on_page(struct ask *ask, const struct pg_results *results)
{
    page_reply(ask->request, ask->data, "tokens", json_rows(ask_result(ask, results, 0)));
}

void tokens_list(struct api *api, struct http_request *request)
{
    struct page *page = page_read(request);
    struct ask *ask = page ? ask_new(api, request, on_page, page) : NULL;
    if (ask)
        ask_send(ask, token_add_page(ask->question, owner_of(request), page->after, page->limit + 1));
}

static void on_shown(struct ask *ask, const struct pg_results *results)
{
    ask_reply_row(ask, ask_result(ask, results, 0), 200, "token");
}

void tokens_show(struct api *api, struct http_request *request)
{
    char id[24];
    struct ask *ask = ask_new(api, request, on_shown, NULL);
    snprintf(id, sizeof id, "%lld", (long long)http_request_id(request, 0));
    if (ask)
        ask_send(ask, token_add_select(ask->question, id, owner_of(request)));
}

/* --- create --- */

struct creation {
    const char *name; /* the request's */
    char secret[BEARER_SIZE];
};

static void creation_free(void *object)
{
    explicit_bzero(object, sizeof(struct creation));
    free(object);
}

static void on_created(struct ask *ask, const struct pg_results *results)
{
    const struct creation *creation = ask->data;
    struct error err = {0};
    json_t *token;
    char location[40];
    if (token_read_inserted(ask_result(ask, results, 0), creation->name, &token, &err)) {
        problem_reply_error(ask->request, &err);
        return;
    }
    json_object_set_new(token, "token", json_string(creation->secret));
    snprintf(location, sizeof location, "/api/tokens/%lld",
             (long long)json_integer_value(json_object_get(token, "id")));
    http_set_header(ask->request, "Location", location);
    http_reply(ask->request, 201, token);
}

/* False: replied to. */
static bool may_create(struct http_request *request, enum role role)
{
    const struct identity *identity = http_request_identity(request);
    if (role > identity->role)
        problem_reply_field(request, "role", "a token can't do more than its maker: at most %s",
                            role_name(identity->role));
    else if (identity->token_id && identity->role != ROLE_ADMIN)
        problem_reply(request, 403, "only an admin's token may make tokens; log in as a person");
    else
        return true;
    return false;
}

void tokens_create(struct api *api, struct http_request *request)
{
    enum { NAME, ROLE, EXPIRES_DAYS, FIELDS };
    static const struct input_field fields[FIELDS] = {
        [NAME] = {"name", INPUT_TEXT, INPUT_REQUIRED, .min = 1, .max = 100},
        [ROLE] = {"role", INPUT_CHOICE, INPUT_REQUIRED, .choices = role_names},
        [EXPIRES_DAYS] = {"expires_days", INPUT_INTEGER, .min = 1, .max = TOKEN_MAX_DAYS},
    };
    const struct input *input = input_body(request, fields, FIELDS);
    enum role role = ROLE_NONE;
    struct error err = {0};
    if (input == NULL)
        return;
    role_parse(input->values[ROLE].text, &role);
    if (!may_create(request, role))
        return;
    if (token_check_name(input->values[NAME].text, &err)) {
        problem_reply_field(request, "name", "%s", err.message);
        return;
    }
    struct creation *creation = calloc(1, sizeof *creation);
    char hash[DIGEST_SHA256_SIZE];
    if (!http_keep(request, creation, creation_free) ||
        bearer_make(BEARER_TOKEN_PREFIX, creation->secret, &err) || !bearer_hash(creation->secret, hash)) {
        problem_reply(request, 503, "no memory or no randomness for a token");
        return;
    }
    creation->name = input->values[NAME].text;
    struct ask *ask = ask_new_change(api, request, on_created, creation);
    if (ask)
        ask_send(ask, token_add_insert(ask->question, creation->name, hash, role_name(role),
                                       http_request_identity(request)->user_id,
                                       input->values[EXPIRES_DAYS].integer));
}

/* --- revoke --- */

static void on_revoked(struct ask *ask, const struct pg_results *results)
{
    (void)results;
    identities_forget(ask->api->identities);
    http_reply_empty(ask->request, 204);
}

/* There, and the asker's to revoke. */
static void on_found(struct ask *ask, const struct pg_results *results)
{
    struct api *api = ask->api;
    struct http_request *request = ask->request;
    if (PQntuples(ask_result(ask, results, 0)) == 0) {
        problem_reply(request, 404, "there is no such token");
        return;
    }
    struct ask *next = ask_new_change(api, request, on_revoked, NULL);
    if (next)
        ask_send(next, token_add_revoke(next->question, http_request_id(request, 0)));
}

void tokens_revoke(struct api *api, struct http_request *request)
{
    char id[24];
    struct ask *ask = ask_new(api, request, on_found, NULL);
    snprintf(id, sizeof id, "%lld", (long long)http_request_id(request, 0));
    if (ask)
        ask_send(ask, token_add_select(ask->question, id, owner_of(request)));
}
