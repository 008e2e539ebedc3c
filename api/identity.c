/*
 *   identity_find --> remembered? --yes--> found
 *                        +--no--> lookup (one for all who ask for the same secret) --> on_answer --> found of
 * each found --> CSRF header, if it came with a cookie and changes something --> route_identified
 *
 * Only hashes of secrets are kept here. Those that don't exist are not remembered: each costs one look at an
 * index.
 */
#include "identity.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api.h"
#include "auth/bearer.h"
#include "client.h"
#include "problem.h"
#include "store/audit.h"
#include "store/sessions.h"
#include "store/tokens.h"

#define BEARER "Bearer "
#define CSRF_HEADER "X-CSRF-Token"

enum { REMEMBERED = 1024, WAYS = 4 };

enum kind { KIND_SESSION, KIND_TOKEN };

struct remembered {
    char hash[DIGEST_SHA256_SIZE];
    enum kind kind;
    int64_t until_ms; /* 0 = nothing here */
    struct identity identity;
};

struct waiting {
    struct http_request *request;
    struct waiting *next;
};

struct lookup {
    struct identities *identities;
    struct lookup *next;
    enum kind kind;
    char hash[DIGEST_SHA256_SIZE];
    unsigned generation;
    struct waiting *waiting;
};

struct identities {
    uv_loop_t *loop;
    struct remembered remembered[REMEMBERED];
    struct lookup *lookups;
    unsigned generation; /* answers of lookups of an older one are not remembered */
};

int identities_new(uv_loop_t *loop, struct identities **ret_identities, struct error *err)
{
    struct identities *identities = calloc(1, sizeof *identities);
    if (identities == NULL)
        return error_set(err, ERROR_SYSTEM, false, "out of memory");
    identities->loop = loop;
    *ret_identities = identities;
    return 0;
}

void identities_free(struct identities *identities)
{
    free(identities);
}

void identities_forget(struct identities *identities)
{
    identities->generation++;
    for (int i = 0; i < REMEMBERED; i++)
        identities->remembered[i].until_ms = 0;
}

/* --- what is remembered --- */

/* The first of WAYS places where it may stand. */
static struct remembered *places_of(struct identities *identities, const char *hash)
{
    char digits[5] = {hash[0], hash[1], hash[2], hash[3]};
    return &identities->remembered[(strtoul(digits, NULL, 16) % (REMEMBERED / WAYS)) * WAYS];
}

static const struct identity *recall(struct identities *identities, enum kind kind, const char *hash)
{
    struct remembered *places = places_of(identities, hash);
    int64_t now_ms = (int64_t)uv_now(identities->loop);
    for (int i = 0; i < WAYS; i++)
        if (places[i].until_ms > now_ms && places[i].kind == kind && strcmp(places[i].hash, hash) == 0)
            return &places[i].identity;
    return NULL;
}

static void remember(struct identities *identities, enum kind kind, const char *hash,
                     const struct identity *identity, int64_t until_ms)
{
    struct remembered *places = places_of(identities, hash);
    struct remembered *oldest = &places[0];
    for (int i = 1; i < WAYS; i++)
        if (places[i].until_ms < oldest->until_ms)
            oldest = &places[i];
    *oldest = (struct remembered){.kind = kind, .until_ms = until_ms, .identity = *identity};
    memcpy(oldest->hash, hash, sizeof oldest->hash);
}

/* --- the answer --- */

bool identity_csrf_token(const struct http_request *request, char ret_token[DIGEST_SHA256_SIZE])
{
    const char *cookie = http_cookie(request, IDENTITY_COOKIE);
    return cookie && bearer_derive(cookie, IDENTITY_CSRF_PURPOSE, ret_token, NULL) == 0;
}

static bool changes_something(const struct http_request *request)
{
    enum http_method method = http_request_method(request);
    return method != HTTP_GET && method != HTTP_HEAD && method != HTTP_OPTIONS;
}

static void found(struct http_request *request, const struct identity *identity)
{
    char wanted[DIGEST_SHA256_SIZE];
    const char *shown = http_header(request, CSRF_HEADER);
    if (identity && identity->session_id && changes_something(request) &&
        (!identity_csrf_token(request, wanted) || shown == NULL || !bearer_equal(shown, wanted))) {
        problem_reply(request, 403,
                      "with a session's cookie this needs the header " CSRF_HEADER
                      ": its value is csrf_token in the answer to the login and to GET /api/me");
        return;
    }
    route_identified(request, identity);
}

/* False: nobody. */
static bool read_row(enum kind kind, const PGresult *result, struct identity *ret)
{
    enum role role, maker = ROLE_ADMIN;
    *ret = (struct identity){0};
    if (PQntuples(result) == 0)
        return false;
    if (kind == KIND_SESSION) { /* id, user_id, username, role */
        ret->session_id = pg_int(result, 0, 0, 0);
        ret->user_id = pg_int(result, 0, 1, 0);
        snprintf(ret->user_name, sizeof ret->user_name, "%s", pg_text(result, 0, 2));
        return role_parse(pg_text(result, 0, 3), &ret->role);
    }
    /* id, name, role, user_id, username, user_role */
    ret->token_id = pg_int(result, 0, 0, 0);
    snprintf(ret->token_name, sizeof ret->token_name, "%s", pg_text(result, 0, 1));
    ret->user_id = pg_int(result, 0, 3, 0);
    const char *name = pg_text(result, 0, 4), *maker_role = pg_text(result, 0, 5);
    snprintf(ret->user_name, sizeof ret->user_name, "%s", name ? name : "");
    if (!role_parse(pg_text(result, 0, 2), &role) || (ret->user_id && !role_parse(maker_role, &maker)))
        return false;
    ret->role = role_lesser(role, maker);
    return true;
}

static void unlink_lookup(struct lookup *lookup)
{
    struct lookup **link = &lookup->identities->lookups;
    while (*link != lookup)
        link = &(*link)->next;
    *link = lookup->next;
}

static void on_answer(void *data, const struct pg_results *results, const struct error *err)
{
    struct lookup *lookup = data;
    struct identities *identities = lookup->identities;
    struct identity identity;
    unlink_lookup(lookup);
    bool known = results && read_row(lookup->kind, results->results[0], &identity);
    if (known && lookup->generation == identities->generation)
        remember(identities, lookup->kind, lookup->hash, &identity,
                 (int64_t)uv_now(identities->loop) + IDENTITY_CACHE_MS);
    while (lookup->waiting) {
        struct waiting *waiting = lookup->waiting;
        lookup->waiting = waiting->next;
        if (err)
            api_reply_pg_error(waiting->request, err);
        else
            found(waiting->request, known ? &identity : NULL);
        free(waiting);
    }
    free(lookup);
}

/* --- the question --- */

static struct lookup *start_lookup(struct api *api, enum kind kind, const char *hash)
{
    struct identities *identities = api->identities;
    struct lookup *lookup = calloc(1, sizeof *lookup);
    struct pg_request *question = lookup ? pg_request_new(api->pg) : NULL;
    if (question == NULL) {
        free(lookup);
        return NULL;
    }
    *lookup = (struct lookup){.identities = identities,
                              .next = identities->lookups,
                              .kind = kind,
                              .generation = identities->generation};
    memcpy(lookup->hash, hash, sizeof lookup->hash);
    identities->lookups = lookup;
    if (kind == KIND_TOKEN)
        token_add_lookup(question, hash);
    else
        session_add_lookup(question, hash);
    pg_request_send(question, on_answer, lookup);
    return lookup;
}

static void look_up(struct api *api, struct http_request *request, enum kind kind, const char *hash)
{
    struct lookup *lookup = api->identities->lookups;
    struct waiting *waiting = malloc(sizeof *waiting);
    while (lookup && (lookup->kind != kind || lookup->generation != api->identities->generation ||
                      strcmp(lookup->hash, hash) != 0))
        lookup = lookup->next;
    if (lookup == NULL && waiting)
        lookup = start_lookup(api, kind, hash);
    if (lookup == NULL || waiting == NULL) {
        free(waiting);
        problem_reply(request, 503, "out of memory");
        return;
    }
    *waiting = (struct waiting){request, lookup->waiting};
    lookup->waiting = waiting;
}

void identity_find(struct api *api, struct http_request *request)
{
    const char *authorization = http_header(request, "Authorization");
    const char *secret = http_cookie(request, IDENTITY_COOKIE);
    enum kind kind = KIND_SESSION;
    char hash[DIGEST_SHA256_SIZE];
    /* Another scheme is a proxy's before us, which browsers send with every request once they know it. */
    if (authorization && strncasecmp(authorization, BEARER, strlen(BEARER)) == 0) {
        kind = KIND_TOKEN;
        secret = authorization + strlen(BEARER);
    }
    if (secret == NULL || !bearer_hash(secret, hash)) {
        route_identified(request, NULL);
        return;
    }
    const struct identity *known = recall(api->identities, kind, hash);
    if (known)
        found(request, known);
    else
        look_up(api, request, kind, hash);
}

bool identity_is_same(const struct identity *a, const struct identity *b)
{
    return a->user_id ? a->user_id == b->user_id : b->user_id == 0 && a->token_id == b->token_id;
}

int identity_add_actor(struct api *api, struct pg_request *question, const struct http_request *request)
{
    const struct identity *identity = http_request_identity(request);
    char address[CLIENT_ADDRESS_SIZE];
    client_address(request, api->settings->trusted_proxies, address);
    struct audit_actor actor = {.remote_address = address};
    if (identity) {
        actor.user_id = identity->user_id;
        actor.username = identity->user_name[0] ? identity->user_name : NULL;
        actor.token_name = identity->token_id ? identity->token_name : NULL;
    }
    return audit_add_actor(question, &actor);
}
