/* Paths against a table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "route.h"

static void handler(struct api *api, struct http_request *request)
{
    (void)api;
    (void)request;
}

static const struct route table[] = {
    {HTTP_GET, "/", ROLE_NONE, ROUTE_BODY_NONE, 0, handler},
    {HTTP_GET, "/api/backups", ROLE_VIEWER, ROUTE_BODY_NONE, 0, handler},
    {HTTP_POST, "/api/backups", ROLE_OPERATOR, ROUTE_BODY_JSON, 0, handler},
    {HTTP_GET, "/api/backups/{id}", ROLE_VIEWER, ROUTE_BODY_NONE, 0, handler},
    {HTTP_DELETE, "/api/backups/{id}", ROLE_ADMIN, ROUTE_BODY_NONE, 0, handler},
    {HTTP_GET, "/api/backups/stats", ROLE_VIEWER, ROUTE_BODY_NONE, 0, handler},
    {HTTP_POST, "/api/backups/{id}/destinations/{bigid}/retry", ROLE_OPERATOR, ROUTE_BODY_NONE, 0, handler},
    {HTTP_GET, "/api/queues/{name}", ROLE_VIEWER, ROUTE_BODY_NONE, 0, handler},
    {HTTP_GET, "/docs/", ROLE_NONE, ROUTE_BODY_NONE, 0, handler},
    {HTTP_GET, "/docs/{file}", ROLE_NONE, ROUTE_BODY_NONE, 0, handler},
    {HTTP_GET, "/docs/index.html", ROLE_NONE, ROUTE_BODY_NONE, 0, handler},
};

static struct route_match find(enum http_method method, const char *path)
{
    struct route_match m;
    assert_true(route_find(table, sizeof table / sizeof *table, method, path, &m));
    return m;
}

static void test_rows(void **state)
{
    static const struct {
        enum http_method method;
        const char *path;
        int row; /* or the status */
        int64_t ids[2];
        const char *text;
    } cases[] = {
        {HTTP_GET, "/", 0, {0}, NULL},
        {HTTP_GET, "/api/backups", 1, {0}, NULL},
        {HTTP_HEAD, "/api/backups", 1, {0}, NULL},
        {HTTP_POST, "/api/backups", 2, {0}, NULL},
        {HTTP_GET, "/api/%62ackups", 1, {0}, NULL},
        {HTTP_GET, "/api/backups/1", 3, {1}, "1"},
        {HTTP_GET, "/api/backups/2147483647", 3, {2147483647}, NULL},
        {HTTP_GET, "/api/backups/0007", 3, {7}, NULL},
        {HTTP_DELETE, "/api/backups/5", 4, {5}, NULL},
        {HTTP_GET, "/api/backups/stats", 5, {0}, NULL},
        {HTTP_POST, "/api/backups/5/destinations/9223372036854775807/retry", 6, {5, INT64_MAX}, NULL},
        {HTTP_GET, "/api/queues/a%20b%C3%A8", 7, {0}, "a b\xc3\xa8"},
        {HTTP_GET, "/docs/", 8, {0}, NULL},
        {HTTP_GET, "/docs/a", 9, {0}, "a"},
        {HTTP_GET, "/docs/a/b%20/c.js", 9, {0}, "a/b /c.js"},
        {HTTP_GET, "/docs/index.html", 10, {0}, NULL},
        {HTTP_GET, "/docs/index.html/x", 9, {0}, "index.html/x"},
        {HTTP_GET, "/docs", 404, {0}, NULL},
        {HTTP_GET, "/docs/a/", 404, {0}, NULL},
        {HTTP_GET, "/api/backups/", 400, {0}, NULL},
        {HTTP_GET, "/api/queues/", 404, {0}, NULL},
        {HTTP_GET, "/api/Backups", 404, {0}, NULL},
        {HTTP_GET, "/api/backups/1/", 404, {0}, NULL},
        {HTTP_GET, "/api/backups/x", 400, {0}, NULL},
        {HTTP_GET, "/api/backups/0", 400, {0}, NULL},
        {HTTP_GET, "/api/backups/+1", 400, {0}, NULL},
        {HTTP_GET, "/api/backups/2147483648", 404, {0}, NULL},
        {HTTP_POST, "/api/backups/5/destinations/9223372036854775808/retry", 404, {0}, NULL},
        {HTTP_POST, "/api/backups/x/destinations/9223372036854775808/retry", 400, {0}, NULL},
        {HTTP_PUT, "/api/backups", 405, {0}, NULL},
        {HTTP_DELETE, "/api/backups/stats", 405, {0}, NULL},
        {HTTP_OTHER, "/", 405, {0}, NULL},
        {HTTP_GET, "", 400, {0}, NULL},
        {HTTP_GET, "*", 400, {0}, NULL},
        {HTTP_GET, "//", 400, {0}, NULL},
        {HTTP_GET, "/api//backups", 400, {0}, NULL},
        {HTTP_GET, "/docs/..", 400, {0}, NULL},
        {HTTP_GET, "/docs/%2e%2E/x", 400, {0}, NULL},
        {HTTP_GET, "/docs/./x", 400, {0}, NULL},
        {HTTP_GET, "/docs/...", 9, {0}, "..."},
        {HTTP_GET, "/docs/a%2Fb", 400, {0}, NULL},
        {HTTP_GET, "/docs/%00", 400, {0}, NULL},
        {HTTP_GET, "/docs/%", 400, {0}, NULL},
        {HTTP_GET, "/docs/%f", 400, {0}, NULL},
        {HTTP_GET, "/docs/%fg", 400, {0}, NULL},
        {HTTP_GET, "/docs/%25", 9, {0}, "%"},
        {HTTP_GET, "/docs/%ed%a0%80", 400, {0}, NULL},
        {HTTP_GET, "/docs/%1b", 400, {0}, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct route_match m = find(cases[i].method, cases[i].path);
        if (cases[i].row >= 400) {
            assert_int_equal(m.status, cases[i].row);
            assert_null(m.route);
            assert_true(m.status == 405 || m.why);
        } else {
            assert_int_equal(m.status, 0);
            assert_ptr_equal(m.route, &table[cases[i].row]);
            assert_int_equal(m.ids[0], cases[i].ids[0]);
            assert_int_equal(m.ids[1], cases[i].ids[1]);
            if (cases[i].text)
                assert_string_equal(m.texts[0], cases[i].text);
        }
        route_match_deinit(&m);
    }
}

static void test_allowed(void **state)
{
    static const struct {
        const char *path, *allowed;
    } cases[] = {{"/api/backups", "GET, HEAD, POST, OPTIONS"},
                 {"/api/backups/1", "GET, HEAD, DELETE, OPTIONS"},
                 {"/api/backups/stats", "GET, HEAD, OPTIONS"},
                 {"/api/backups/1/destinations/2/retry", "POST, OPTIONS"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[ROUTE_ALLOW_SIZE];
        struct route_match m = find(HTTP_OPTIONS, cases[i].path);
        assert_int_equal(m.status, 0);
        assert_null(m.route);
        route_allow(m.allowed, text);
        assert_string_equal(text, cases[i].allowed);
        route_match_deinit(&m);
    }
    char all[ROUTE_ALLOW_SIZE];
    route_allow((1u << HTTP_METHODS) - 1, all);
    assert_string_equal(all, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
}

/* The program's own table: patterns that can't be told apart, or that no path reaches, are mistakes. */
static void test_own_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < api_n_routes; i++) {
        const struct route *r = &api_routes[i];
        assert_true(r->pattern[0] == '/' && r->handler != NULL);
        assert_true(r->body == ROUTE_BODY_NONE || r->method == HTTP_POST || r->method == HTTP_PUT ||
                    r->method == HTTP_PATCH);
        for (size_t k = 0; k < i; k++)
            assert_true(r->method != api_routes[k].method || strcmp(r->pattern, api_routes[k].pattern) != 0);
    }
}

static void test_roles(void **state)
{
    enum role role = ROLE_NONE;
    (void)state;
    assert_true(role_parse("operator", &role) && role == ROLE_OPERATOR);
    assert_true(role_parse("admin", &role) && role == ROLE_ADMIN);
    assert_false(role_parse("none", &role) || role_parse("", &role) || role_parse("Admin", &role));
    assert_string_equal(role_name(ROLE_VIEWER), "viewer");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_allowed),
        cmocka_unit_test(test_own_table),
        cmocka_unit_test(test_roles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
