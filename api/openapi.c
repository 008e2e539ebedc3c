#include "openapi.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api.h"
#include "problem.h"

struct openapi {
    struct http_fixed *answer;
};

/* --- putting together --- */

/* Moves the members of `from` into `into`, `depth` levels down: only there something is said. */
static int move_members(json_t *into, json_t *from, unsigned depth, const char *piece, struct error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach(from, key, value)
    {
        json_t *known = json_object_get(into, key);
        int rc = 0;
        if (known == NULL)
            rc = json_object_set(into, key, value);
        else if (depth > 0 && json_is_object(known) && json_is_object(value))
            rc = move_members(known, value, depth - 1, piece, err);
        else
            return error_set(err, ERROR_CONFLICT, false, "openapi/%s.json: '%s' is there already", piece,
                             key);
        if (rc)
            return err->code ? rc : error_set(err, ERROR_SYSTEM, false, "out of memory");
    }
    return 0;
}

static int add_piece(json_t *document, const struct openapi_piece *piece, struct error *err)
{
    json_error_t where;
    json_t *parsed = json_loads(piece->text, JSON_REJECT_DUPLICATES, &where);
    json_t *tags = json_object_get(document, "tags");
    if (parsed == NULL)
        return error_set(err, ERROR_INPUT, false, "openapi/%s.json: line %d: %s", piece->name, where.line,
                         where.text);
    int rc = 0;
    if (json_is_array(tags) && json_object_get(parsed, "tags")) {
        rc = json_array_extend(tags, json_object_get(parsed, "tags"));
        json_object_del(parsed, "tags");
    }
    if (rc)
        error_set(err, ERROR_SYSTEM, false, "openapi/%s.json: tags must be an array", piece->name);
    else
        rc = move_members(document, parsed, 2, piece->name, err);
    json_decref(parsed);
    return rc;
}

/* --- what follows from the table of routes --- */

static bool same_shape(const char *path, const char *pattern)
{
    while (*path && *path == *pattern) {
        if (*path == '{') {
            path += strcspn(path, "}");
            pattern += strcspn(pattern, "}");
        } else {
            path++;
            pattern++;
        }
    }
    return *path == *pattern;
}

json_t *openapi_operation(const json_t *document, const struct route *route, const char **ret_path)
{
    const char *path, *name;
    json_t *item, *operation;
    json_object_foreach(json_object_get(document, "paths"), path, item)
    {
        if (!same_shape(path, route->pattern))
            continue;
        json_object_foreach(item, name, operation)
        {
            if (strcasecmp(name, http_method_name(route->method)) != 0)
                continue;
            if (ret_path)
                *ret_path = path;
            return operation;
        }
    }
    return NULL;
}

static json_t *security_of(const struct route *route)
{
    if (route->role == ROLE_NONE)
        return json_array();
    if (route->method == HTTP_GET)
        return json_pack("[{s:[]}, {s:[]}]", "token", "session");
    return json_pack("[{s:[]}, {s:[], s:[]}]", "token", "session", "csrf");
}

static int complete(json_t *operation, const struct route *route)
{
    json_t *responses = json_object_get(operation, "responses");
    int rc = json_object_set_new(operation, "security", security_of(route));
    if (rc == 0 && (route->flags & ROUTE_ETAG) && responses)
        rc = json_object_set_new(responses, "304",
                                 json_pack("{s:s}", "$ref", "#/components/responses/NotModified"));
    return rc;
}

json_t *openapi_merge(const struct openapi_piece *pieces, size_t n_pieces, const struct route *routes,
                      size_t n_routes, struct error *err)
{
    json_t *document = json_object();
    int rc = document ? 0 : error_set(err, ERROR_SYSTEM, false, "out of memory");
    for (size_t i = 0; rc == 0 && i < n_pieces; i++)
        rc = add_piece(document, &pieces[i], err);
    for (size_t i = 0; rc == 0 && i < n_routes; i++) {
        json_t *operation = openapi_operation(document, &routes[i], NULL);
        if (operation && complete(operation, &routes[i]))
            rc = error_set(err, ERROR_SYSTEM, false, "out of memory");
    }
    if (rc == 0)
        return document;
    json_decref(document);
    return NULL;
}

/* --- serving --- */

int openapi_new(struct openapi **ret_openapi, struct error *err)
{
    json_t *document = openapi_merge(openapi_pieces, openapi_n_pieces, api_routes, api_n_routes, err);
    struct openapi *openapi = document ? calloc(1, sizeof *openapi) : NULL;
    json_t *info = json_object_get(document, "info");
    char *text = openapi && json_object_set_new(info, "version", json_string(BM_VERSION)) == 0
                     ? json_dumps(document, JSON_COMPACT)
                     : NULL;
    json_decref(document);
    if (text)
        openapi->answer = http_fixed_new("application/json", text, strlen(text));
    if (openapi == NULL || openapi->answer == NULL) {
        openapi_free(openapi);
        return err->code ? err->code : error_set(err, ERROR_SYSTEM, false, "out of memory");
    }
    *ret_openapi = openapi;
    return 0;
}

void openapi_free(struct openapi *openapi)
{
    if (openapi)
        http_fixed_free(openapi->answer);
    free(openapi);
}

void openapi_get(struct api *api, struct http_request *request)
{
    http_set_header(request, "Cache-Control", "no-cache");
    http_reply_fixed(request, api->openapi->answer);
}
