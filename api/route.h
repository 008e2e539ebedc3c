/*
 * Which handler answers: one const table (routes.c), and what follows from it: 404, 405 with Allow, OPTIONS
 * and CORS preflight, media types, who may.
 *
 *   begin: path -> row -> body wanted? -> identify (asynchronous, rows with a role) -> role enough? -> accept
 *   serve: row's handler
 */
#pragma once

#include "http.h"
#include "store/roles.h"

struct api;
struct cors;

/* Who asks. */
struct identity {
    int64_t user_id;
    int64_t token_id;   /* 0: came with a session's cookie */
    int64_t session_id; /* 0: came with a token */
    enum role role;
    char user_name[256];  /* "" for a token of the command line */
    char token_name[128]; /* "" for a session */
};

enum route_body {
    ROUTE_BODY_NONE,     /* one is refused: 400 */
    ROUTE_BODY_JSON,     /* must be there: Content-Length or 411, application/json or 415 */
    ROUTE_BODY_OPTIONAL, /* JSON, or none */
};

enum route_flags {
    ROUTE_ETAG = 1,    /* http_use_etag: lists, and what else is asked again and again */
    ROUTE_AT_ONCE = 2, /* answered without waiting for anything: never refused, however many wait */
};

typedef void (*route_handler)(struct api *api, struct http_request *request);

/*
 * pattern: literal parts and
 *   {id}     1 to 2147483647 (PostgreSQL's integer)
 *   {bigid}  1 to 9223372036854775807
 *   {name}   1 to 255 bytes of UTF-8 without control characters and '/', percent-decoded
 *   {file}   the rest of the path, at the end only: one or more parts, none of them "." or ".."
 * A literal part is preferred to a parameter; a GET row answers HEAD as well. At most ROUTE_PARAMETERS of
 * them.
 */
struct route {
    enum http_method method;
    const char *pattern;
    enum role role;
    enum route_body body;
    unsigned flags;
    route_handler handler;
};

#define ROUTE_PARAMETERS 4

/* -- for handlers. n counts from 0: the pattern's n-th parameter. */

int64_t http_request_id(const struct http_request *request, unsigned n); /* {id}, {bigid} */
const char *http_request_parameter(const struct http_request *request,
                                   unsigned n); /* {name}, {file}: decoded */
/* NULL for rows without a role. Valid as long as the request. */
const struct identity *http_request_identity(const struct http_request *request);
const struct route *http_request_route(const struct http_request *request);

/* -- who asks */

/*
 * Finds out who asks and calls route_identified, or replies (401, 403, 429, 503) itself; at once or later.
 * Runs for rows with a role only, before a body is taken in. Checks all that does not depend on the row: the
 * token or cookie, its end, the CSRF header of cookie requests that change something (X-CSRF-Token).
 */
typedef void (*route_identify)(struct api *api, struct http_request *request);

/* identity is copied; NULL: nobody (401). */
void route_identified(struct http_request *request, const struct identity *identity);

/* -- for api.c and tests */

struct router {
    const struct route *routes;
    size_t n_routes;
    const struct cors *cors;
    route_identify identify; /* NULL: rows with a role answer 401 */
    struct api *api;
};

/* http_app's begin and serve; data is a struct router that outlives the server. */
void route_begin(void *data, struct http_request *request);
void route_serve(void *data, struct http_request *request);

/* The table and its rows' count: routes.c. */
extern const struct route api_routes[];
extern const size_t api_n_routes;

/* -- the path alone; no request needed */

struct route_match {
    const struct route *route; /* NULL: see status */
    unsigned status;           /* 0 found; 400 the path can't be read; 404; 405 */
    unsigned allowed;          /* with 0 and 405: bit per enum http_method, HEAD and OPTIONS included */
    const char *why;           /* with 400 and 404: static, for people */
    unsigned n_parameters;
    int64_t ids[ROUTE_PARAMETERS];
    const char *texts[ROUTE_PARAMETERS]; /* into `decoded` */
    char *decoded;                       /* NULL unless some text was decoded */
};

/* path: as it came. False: memory is out. route_match_deinit must follow. */
bool route_find(const struct route *routes, size_t n_routes, enum http_method method, const char *path,
                struct route_match *ret_match);
void route_match_deinit(struct route_match *match);

/* "GET, HEAD, OPTIONS" into text, for the bits in allowed. */
#define ROUTE_ALLOW_SIZE 64
void route_allow(unsigned allowed, char text[ROUTE_ALLOW_SIZE]);
