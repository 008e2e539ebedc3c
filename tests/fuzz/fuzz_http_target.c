/* A request's target (path?query) and header fields: paths never reach a row by '..', '//' or an encoded
 * slash; a query gives values within the table's ranges or an error that can be told. */
#include <string.h>

#include "fuzz.h"
#include "http_fields.h"
#include "input.h"
#include "route.h"

static void handler(struct api *api, struct http_request *request)
{
    (void)api;
    (void)request;
}

static const struct route table[] = {
    {HTTP_GET, "/a", ROLE_NONE, ROUTE_BODY_NONE, 0, handler},
    {HTTP_GET, "/a/{id}", ROLE_NONE, ROUTE_BODY_NONE, 0, handler},
    {HTTP_GET, "/a/{id}/b/{bigid}", ROLE_NONE, ROUTE_BODY_NONE, 0, handler},
    {HTTP_GET, "/n/{name}", ROLE_NONE, ROUTE_BODY_NONE, 0, handler},
    {HTTP_GET, "/f/{file}", ROLE_NONE, ROUTE_BODY_NONE, 0, handler},
};

static void try_path(const char *path)
{
    struct route_match m;
    MUST(route_find(table, sizeof table / sizeof *table, HTTP_GET, path, &m));
    MUST((m.route != NULL) == (m.status == 0));
    for (unsigned i = 0; m.route && i < m.n_parameters; i++) {
        const char *text = m.texts[i];
        MUST(*text && strcmp(text, "..") != 0 && strncmp(text, "../", 3) != 0 &&
             strstr(text, "/../") == NULL);
        MUST(strstr(text, "//") == NULL && text[0] != '/');
        MUST(m.route != &table[3] || strchr(text, '/') == NULL);
    }
    if (m.route == &table[1] || m.route == &table[2])
        MUST(m.ids[0] >= 1 && m.ids[0] <= INT32_MAX);
    if (m.route == &table[2])
        MUST(m.ids[1] >= 1);
    route_match_deinit(&m);
}

static void try_query(const char *query)
{
    static const struct input_field fields[] = {
        {"limit", INPUT_INTEGER, .min = 1, .max = 200},
        {"on", INPUT_BOOLEAN},
        {"tags", INPUT_TEXTS, .max = 5},
        {"q", INPUT_TEXT, .max = 10},
        {"at", INPUT_TIME},
    };
    struct problem problem;
    struct input *in = input_parse_query(query, fields, 5, &problem);
    if (in) {
        MUST(!in->values[0].given || (in->values[0].integer >= 1 && in->values[0].integer <= 200));
        MUST(!in->values[3].given || strlen(in->values[3].text) <= 10);
        input_free(in);
        return;
    }
    json_t *document = problem_document(&problem);
    char *text = json_dumps(document, JSON_COMPACT);
    MUST(text && problem.status == 400 && problem_has_errors(&problem));
    free(text);
    json_decref(document);
    problem_deinit(&problem);
}

static void try_fields(const char *text)
{
    int64_t first, length;
    fields_accept_gzip(text);
    fields_match_etag(text, "\"x\"");
    fields_are_json(text);
    fields_compressible(text);
    enum fields_range result = fields_range(text, 1000, &first, &length);
    MUST(first >= 0 && length >= 0 && first + length <= 1000);
    MUST((length == 0) == (result == FIELDS_RANGE_UNSATISFIABLE));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    MUST(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    try_fields(text);
    char *query = strchr(text, '?');
    if (query)
        *query++ = '\0';
    try_path(text);
    try_query(query ? query : text);
    free(text);
    return 0;
}
