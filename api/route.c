/* What follows from a request's row in the table, before its handler runs: see route.h. */
#include "route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cors.h"
#include "http_fields.h"
#include "problem.h"

#define EXPOSED_HEADERS "Content-Disposition, Content-Range, ETag, Location, Retry-After"
#define ALLOWED_HEADERS                                                                                      \
    "Authorization, Cache-Control, Content-Type, Idempotency-Key, If-Match, If-None-Match, If-Range, "       \
    "Last-Event-ID, Range, X-CSRF-Token"
#define PREFLIGHT_AGE_S "600"

struct route_call {
    const struct router *router;
    struct route_match match;
    struct identity identity;
    bool identified;
};

static void call_free(void *object)
{
    struct route_call *call = object;
    route_match_deinit(&call->match);
    free(call);
}

/* Answers may be read by pages of the origins listed. What a shared cache keeps depends on who asked. */
static bool set_cors_headers(const struct router *router, struct http_request *request)
{
    const char *origin = http_header(request, "Origin");
    if (router->cors == NULL || router->cors->n_origins == 0)
        return false;
    http_set_header(request, "Vary", "Origin");
    if (!cors_allows(router->cors, origin))
        return false;
    http_set_header(request, "Access-Control-Allow-Origin", origin);
    http_set_header(request, "Access-Control-Allow-Credentials", "true");
    http_set_header(request, "Access-Control-Expose-Headers", EXPOSED_HEADERS);
    return true;
}

static void reply_options(struct http_request *request, unsigned allowed, bool origin_allowed)
{
    char methods[ROUTE_ALLOW_SIZE];
    route_allow(allowed, methods);
    http_set_header(request, "Allow", methods);
    if (origin_allowed && http_header(request, "Access-Control-Request-Method")) {
        http_set_header(request, "Access-Control-Allow-Methods", methods);
        http_set_header(request, "Access-Control-Allow-Headers", ALLOWED_HEADERS);
        http_set_header(request, "Access-Control-Max-Age", PREFLIGHT_AGE_S);
    }
    http_reply_empty(request, 204);
}

/* False: replied to. */
static bool check_match(struct http_request *request, const struct route_match *match, bool origin_allowed)
{
    if (strcmp(http_request_path(request), "*") == 0) {
        reply_options(request, (1u << HTTP_METHODS) - 1, origin_allowed);
    } else if (match->status == 405) {
        char methods[ROUTE_ALLOW_SIZE];
        route_allow(match->allowed, methods);
        http_set_header(request, "Allow", methods);
        problem_reply(request, 405, "this path takes %s", methods);
    } else if (match->status) {
        problem_reply(request, match->status, "%s: %.200s", match->why, http_request_path(request));
    } else if (match->route == NULL) {
        reply_options(request, match->allowed, origin_allowed);
    } else {
        return true;
    }
    return false;
}

/* False: replied to. */
static bool check_body(struct http_request *request, enum route_body body)
{
    int64_t declared = http_body_declared(request);
    if (declared > 0 && body == ROUTE_BODY_NONE)
        problem_reply(request, 400, "a body is not taken here");
    else if (declared < 0 && body == ROUTE_BODY_JSON)
        problem_reply(request, 411, "a JSON body is needed here, with its Content-Length");
    else if (declared > 0 && !fields_are_json(http_header(request, "Content-Type")))
        problem_reply(request, 415, "the body must be JSON: send Content-Type: application/json");
    else
        return true;
    return false;
}

void route_begin(void *data, struct http_request *request)
{
    const struct router *router = data;
    bool origin_allowed = set_cors_headers(router, request);
    struct route_call *call = calloc(1, sizeof *call);
    if (!http_keep(request, call, call_free) ||
        !route_find(router->routes, router->n_routes, http_request_method(request),
                    http_request_path(request), &call->match)) {
        problem_reply(request, 503, "out of memory");
        return;
    }
    call->router = router;
    http_set_context(request, call);
    if (!check_match(request, &call->match, origin_allowed) || !check_body(request, call->match.route->body))
        return;
    if (http_is_crowded(request) && !(call->match.route->flags & ROUTE_AT_ONCE))
        problem_reply_later(request, 503, 5, "too many requests at once; ask again later");
    else if (call->match.route->role == ROLE_NONE)
        http_accept(request);
    else if (router->identify)
        router->identify(router->api, request);
    else
        route_identified(request, NULL);
}

void route_identified(struct http_request *request, const struct identity *identity)
{
    struct route_call *call = http_context(request);
    enum role needed = call->match.route->role;
    if (identity == NULL) {
        problem_reply(request, 401, "say who you are: send Authorization: Bearer TOKEN, or log in");
        return;
    }
    if (identity->role < needed) {
        problem_reply(request, 403, "this needs the role %s; yours is %s", role_name(needed),
                      role_name(identity->role));
        return;
    }
    call->identity = *identity;
    call->identified = true;
    http_accept(request);
}

void route_serve(void *data, struct http_request *request)
{
    const struct router *router = data;
    const struct route_call *call = http_context(request);
    if (call->match.route->flags & ROUTE_ETAG)
        http_use_etag(request);
    call->match.route->handler(router->api, request);
}

int64_t http_request_id(const struct http_request *request, unsigned n)
{
    const struct route_call *call = http_context(request);
    return n < call->match.n_parameters ? call->match.ids[n] : 0;
}

const char *http_request_parameter(const struct http_request *request, unsigned n)
{
    const struct route_call *call = http_context(request);
    return n < call->match.n_parameters ? call->match.texts[n] : "";
}

const struct identity *http_request_identity(const struct http_request *request)
{
    const struct route_call *call = http_context(request);
    return call->identified ? &call->identity : NULL;
}

const struct route *http_request_route(const struct http_request *request)
{
    const struct route_call *call = http_context(request);
    return call->match.route;
}
