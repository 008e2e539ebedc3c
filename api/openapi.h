/*
 * GET /openapi.json: the API, described for programs and for people (OpenAPI 3.1).
 *
 * It is written in pieces, openapi/<resource>.json, which are compiled in and put together once, at the
 * start. A piece is an object of paths        path -> method -> operation; two pieces may describe different
 * methods of one path components   section ("schemas", "parameters", ...) -> name -> what it stands for tags
 * [{name, description}] and base.json of everything else. What is said twice is refused. What follows from
 * the table of routes is not written but added: 304 where an ETag is sent, and who must say who they are.
 */
#pragma once

#include <jansson.h>

#include "route.h"

struct openapi_piece {
    const char *name;
    const char *text;
};

/* openapi_pieces.c, written by CMake. base comes first. */
extern const struct openapi_piece openapi_pieces[];
extern const size_t openapi_n_pieces;

/* The whole document, the caller's; NULL and err: the piece that is no JSON or says something twice, or
 * memory is out. */
json_t *openapi_merge(const struct openapi_piece *pieces, size_t n_pieces, const struct route *routes,
                      size_t n_routes, struct error *err);

/* The operation of a row of the table: document.paths[pattern][method], whatever the names of the parameters
 * in
 * {}; NULL when it is not there. ret_path (may be NULL): the path as the document writes it. Borrowed. */
json_t *openapi_operation(const json_t *document, const struct route *route, const char **ret_path);

struct openapi;

int openapi_new(struct openapi **ret_openapi, struct error *err);
void openapi_free(struct openapi *openapi); /* NULL does nothing */

void openapi_get(struct api *api, struct http_request *request);
