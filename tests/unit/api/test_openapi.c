/* The document that the program serves: held against the table of routes; and the putting together itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "openapi.h"

static const char *const body_methods[] = {"get",     "put",  "post",  "delete",
                                           "options", "head", "patch", "trace"};

/* --- the whole document --- */

static json_t *document;

static int open_document(void **state)
{
    struct error err = {0};
    (void)state;
    document = openapi_merge(openapi_pieces, openapi_n_pieces, api_routes, api_n_routes, &err);
    if (document == NULL)
        print_error("%s\n", err.message);
    return document == NULL;
}

static int close_document(void **state)
{
    (void)state;
    json_decref(document);
    return 0;
}

/* What "#/a/b" names; NULL: nothing. */
static json_t *resolve(const char *reference)
{
    json_t *found = document;
    if (strncmp(reference, "#/", 2) != 0)
        return NULL;
    for (const char *p = reference + 2; found && *p;) {
        char part[200];
        size_t size = strcspn(p, "/");
        assert_true(size < sizeof part);
        snprintf(part, sizeof part, "%.*s", (int)size, p);
        found = json_object_get(found, part);
        p += size + (p[size] == '/');
    }
    return found;
}

static json_t *followed(json_t *value)
{
    const char *reference = json_string_value(json_object_get(value, "$ref"));
    return reference ? resolve(reference) : value;
}

static unsigned check_references(json_t *value)
{
    const char *key, *reference;
    size_t i;
    json_t *member;
    unsigned wrong = 0;
    json_array_foreach(value, i, member) wrong += check_references(member);
    json_object_foreach(value, key, member)
    {
        reference = strcmp(key, "$ref") == 0 ? json_string_value(member) : NULL;
        if (reference && resolve(reference) == NULL) {
            print_error("%s leads nowhere\n", reference);
            wrong++;
        }
        wrong += check_references(member);
    }
    return wrong;
}

static void test_references(void **state)
{
    (void)state;
    assert_int_equal(check_references(document), 0);
}

static unsigned is_wrong(const char *path, const char *method, const char *what)
{
    print_error("%s %s: %s\n", method, path, what);
    return 1;
}

static unsigned check_body(const struct route *route, const char *path, json_t *operation)
{
    static const char *const forms[] = {
        [ROUTE_BODY_NONE] = "takes no body, but has a requestBody",
        [ROUTE_BODY_JSON] = "takes a body: requestBody with required: true and application/json is needed",
        [ROUTE_BODY_OPTIONAL] =
            "may take a body: requestBody without required, with application/json, is needed",
    };
    json_t *body = followed(json_object_get(operation, "requestBody"));
    json_t *content = json_object_get(json_object_get(body, "content"), "application/json");
    bool required = json_is_true(json_object_get(body, "required"));
    bool right = route->body == ROUTE_BODY_NONE
                     ? body == NULL
                     : json_object_get(content, "schema") && required == (route->body == ROUTE_BODY_JSON);
    return right ? 0 : is_wrong(path, http_method_name(route->method), forms[route->body]);
}

/* A parameter of that name in the path, required, of that type. */
static bool has_parameter(json_t *list, const char *name, size_t size, const char *type)
{
    size_t i;
    json_t *entry;
    json_array_foreach(list, i, entry)
    {
        json_t *parameter = followed(entry);
        const char *its = json_string_value(json_object_get(parameter, "name"));
        const char *in = json_string_value(json_object_get(parameter, "in"));
        const char *its_type =
            json_string_value(json_object_get(followed(json_object_get(parameter, "schema")), "type"));
        if (its && strlen(its) == size && strncmp(its, name, size) == 0 && in && strcmp(in, "path") == 0)
            return json_is_true(json_object_get(parameter, "required")) && its_type &&
                   strcmp(its_type, type) == 0;
    }
    return false;
}

static unsigned check_parameters(const struct route *route, const char *path, json_t *operation)
{
    json_t *item = json_object_get(json_object_get(document, "paths"), path);
    unsigned wrong = 0;
    const char *kind = route->pattern;
    for (const char *p = path; (p = strchr(p, '{')) && (kind = strchr(kind, '{')); p++, kind++) {
        bool number = strncmp(kind, "{id}", 4) == 0 || strncmp(kind, "{bigid}", 7) == 0;
        const char *type = number ? "integer" : "string";
        size_t size = strcspn(p + 1, "}");
        if (!has_parameter(json_object_get(item, "parameters"), p + 1, size, type) &&
            !has_parameter(json_object_get(operation, "parameters"), p + 1, size, type))
            wrong += is_wrong(path, http_method_name(route->method),
                              "a part in {} has no parameter in: path, required: true, of its type");
    }
    return wrong;
}

static unsigned check_responses(const struct route *route, const char *path, json_t *operation)
{
    const char *status;
    json_t *entry;
    unsigned wrong = 0, good = 0;
    json_object_foreach(json_object_get(operation, "responses"), status, entry)
    {
        json_t *response = followed(entry);
        const char *type;
        json_t *content;
        good += status[0] == '2' || status[0] == '3';
        json_object_foreach(json_object_get(response, "content"), type,
                            content) if (strstr(type, "json") && json_object_get(content, "schema") == NULL)
            wrong += is_wrong(path, status, "an answer in JSON has no schema");
    }
    const char *problem =
        json_string_value(json_object_get(resolve("#/components/responses/Problem"), "description"));
    const char *otherwise = json_string_value(json_object_get(
        followed(json_object_get(json_object_get(operation, "responses"), "default")), "description"));
    if (otherwise == NULL || strcmp(otherwise, problem) != 0)
        wrong +=
            is_wrong(path, http_method_name(route->method), "default must be components/responses/Problem");
    if (good == 0)
        wrong += is_wrong(path, http_method_name(route->method), "has no answer that is good");
    return wrong;
}

static void test_every_route_is_described(void **state)
{
    unsigned wrong = 0;
    (void)state;
    for (size_t i = 0; i < api_n_routes; i++) {
        const struct route *route = &api_routes[i];
        const char *path = route->pattern, *method = http_method_name(route->method);
        json_t *operation = openapi_operation(document, route, &path);
        const char *role = json_string_value(json_object_get(operation, "x-role"));
        if (operation == NULL) {
            wrong += is_wrong(path, method, "is not described");
            continue;
        }
        if (role == NULL || strcmp(role, route->role == ROLE_NONE ? "none" : role_name(route->role)) != 0)
            wrong += is_wrong(path, method, "x-role is another than the table's");
        if (!json_is_string(json_object_get(operation, "summary")) ||
            json_array_size(json_object_get(operation, "tags")) != 1)
            wrong += is_wrong(path, method, "needs a summary and one tag");
        wrong += check_body(route, path, operation) + check_parameters(route, path, operation) +
                 check_responses(route, path, operation);
    }
    assert_int_equal(wrong, 0);
}

static bool is_method(const char *key)
{
    for (size_t i = 0; i < sizeof body_methods / sizeof *body_methods; i++)
        if (strcmp(body_methods[i], key) == 0)
            return true;
    return false;
}

static bool stands_in_table(const json_t *operation)
{
    for (size_t i = 0; i < api_n_routes; i++)
        if (openapi_operation(document, &api_routes[i], NULL) == operation)
            return true;
    return false;
}

static void test_nothing_else_is_described(void **state)
{
    const char *path, *method;
    json_t *item, *operation, *ids = json_object();
    unsigned wrong = 0;
    (void)state;
    json_object_foreach(json_object_get(document, "paths"), path, item)
        json_object_foreach(item, method, operation)
    {
        if (!is_method(method))
            continue;
        const char *id = json_string_value(json_object_get(operation, "operationId"));
        if (!stands_in_table(operation))
            wrong += is_wrong(path, method, "is described, but not in the table");
        if (id == NULL || json_object_get(ids, id))
            wrong += is_wrong(path, method, "operationId is missing, or another's");
        else
            json_object_set_new(ids, id, json_true());
    }
    json_decref(ids);
    assert_int_equal(wrong, 0);
}

/* A tag is said what it is once, and by the pieces that use it. */
static void test_tags(void **state)
{
    const char *path, *method;
    json_t *item, *operation, *tag, *known = json_object();
    size_t i;
    (void)state;
    json_array_foreach(json_object_get(document, "tags"), i, tag)
    {
        const char *name = json_string_value(json_object_get(tag, "name"));
        assert_non_null(name);
        assert_null(json_object_get(known, name));
        assert_true(json_is_string(json_object_get(tag, "description")));
        json_object_set_new(known, name, json_true());
    }
    json_object_foreach(json_object_get(document, "paths"), path, item)
        json_object_foreach(item, method, operation)
            json_array_foreach(json_object_get(operation, "tags"), i,
                               tag) if (json_object_get(known, json_string_value(tag)) == NULL)
                fail_msg("%s %s: the tag '%s' is not described", method, path, json_string_value(tag));
    json_decref(known);
}

/* --- putting together --- */

static void handler(struct api *api, struct http_request *request)
{
    (void)api;
    (void)request;
}

static const struct route things[] = {
    {HTTP_GET, "/things/{id}", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, handler},
    {HTTP_DELETE, "/things/{id}", ROLE_ADMIN, ROUTE_BODY_NONE, 0, handler},
    {HTTP_GET, "/open", ROLE_NONE, ROUTE_BODY_NONE, 0, handler},
};

static json_t *merge(const char *first, const char *second, struct error *err)
{
    const struct openapi_piece pieces[] = {{"first", first}, {"second", second}};
    *err = (struct error){0};
    return openapi_merge(pieces, 2, things, 3, err);
}

static void test_merge(void **state)
{
    struct error err;
    (void)state;
    json_t *merged =
        merge("{\"openapi\": \"3.1.0\", \"tags\": [{\"name\": \"a\"}], \"paths\": {"
              "\"/things/{thing_id}\": {\"get\": {\"responses\": {}}}, \"/open\": {\"get\": {}}},"
              "\"components\": {\"schemas\": {\"a\": {}}}}",
              "{\"tags\": [{\"name\": \"b\"}], \"paths\": {\"/things/{thing_id}\": {\"delete\": {}}},"
              "\"components\": {\"schemas\": {\"b\": {}}, \"parameters\": {\"c\": {}}}}",
              &err);
    json_t *expected =
        json_loads("{\"openapi\": \"3.1.0\", \"tags\": [{\"name\": \"a\"}, {\"name\": \"b\"}], \"paths\": {"
                   "\"/things/{thing_id}\": {"
                   " \"get\": {\"responses\": {\"304\": {\"$ref\": \"#/components/responses/NotModified\"}},"
                   "           \"security\": [{\"token\": []}, {\"session\": []}]},"
                   " \"delete\": {\"security\": [{\"token\": []}, {\"session\": [], \"csrf\": []}]}},"
                   "\"/open\": {\"get\": {\"security\": []}}},"
                   "\"components\": {\"schemas\": {\"a\": {}, \"b\": {}}, \"parameters\": {\"c\": {}}}}",
                   0, NULL);
    assert_non_null(merged);
    assert_non_null(expected);
    assert_true(json_equal(merged, expected));
    json_decref(merged);
    json_decref(expected);
}

static void test_refused(void **state)
{
    static const struct {
        const char *second, *message;
    } cases[] = {
        {"{\"paths\": ", "openapi/second.json: line 1: "},
        {"{\"paths\": {\"/a\": {}, \"/a\": {}}}", "duplicate object key"},
        {"{\"paths\": {\"/a\": {\"get\": {}}}}", "openapi/second.json: 'get' is there already"},
        {"{\"components\": {\"schemas\": {\"a\": {}}}}", "openapi/second.json: 'a' is there already"},
        {"{\"openapi\": \"3.1.0\"}", "openapi/second.json: 'openapi' is there already"},
        {"{\"tags\": {}}", "openapi/second.json: tags must be an array"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err;
        assert_null(merge("{\"openapi\": \"3.1.0\", \"tags\": [], \"paths\": {\"/a\": {\"get\": {}}},"
                          "\"components\": {\"schemas\": {\"a\": {}}}}",
                          cases[i].second, &err));
        if (strstr(err.message, cases[i].message) == NULL)
            fail_msg("'%s' does not say '%s'", err.message, cases[i].message);
    }
}

int main(void)
{
    const struct CMUnitTest whole[] = {
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_every_route_is_described),
        cmocka_unit_test(test_nothing_else_is_described),
        cmocka_unit_test(test_tags),
    };
    const struct CMUnitTest merging[] = {
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_refused),
    };
    int failed = cmocka_run_group_tests(whole, open_document, close_document);
    return failed + cmocka_run_group_tests(merging, NULL, NULL);
}
