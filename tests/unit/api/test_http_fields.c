/* Header fields, and BM_CORS_ORIGINS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cors.h"
#include "http_fields.h"

static void test_accept_gzip(void **state)
{
    static const char *const yes[] = {"gzip",
                                      "GZip",
                                      " gzip ",
                                      "deflate,gzip",
                                      "gzip;q=0.001",
                                      "*",
                                      "x-gzip",
                                      "gzip;q=1.0, identity; q=0.5",
                                      "identity;q=0, *;q=0.1",
                                      ",,gzip",
                                      NULL};
    static const char *const no[] = {"",
                                     "identity",
                                     "deflate",
                                     "gzip;q=0",
                                     "gzip;q=0.000",
                                     "gzip ; q=0",
                                     "*;q=0",
                                     "*, gzip;q=0",
                                     "gzipped",
                                     "agzip",
                                     "gzip;q=x",
                                     "gzip;x",
                                     "gzip;q=0.4, identity",
                                     ";gzip",
                                     "=",
                                     NULL};
    (void)state;
    for (size_t i = 0; yes[i]; i++)
        assert_true(fields_accept_gzip(yes[i]));
    for (size_t i = 0; no[i]; i++)
        assert_false(fields_accept_gzip(no[i]));
    assert_false(fields_accept_gzip(NULL));
}

static void test_match_etag(void **state)
{
    static const char *const yes[] = {"\"a\"", "W/\"a\"", "*", " \"b\" , \"a\"", "\"a,b\",\"a\"", NULL};
    static const char *const no[] = {"", "a", "\"a", "\"A\"", "\"b\"", "w/\"a\"", "x, \"a\"", "\"\"", NULL};
    (void)state;
    for (size_t i = 0; yes[i]; i++)
        assert_true(fields_match_etag(yes[i], "\"a\""));
    for (size_t i = 0; no[i]; i++)
        assert_false(fields_match_etag(no[i], "\"a\""));
    assert_false(fields_match_etag(NULL, "\"a\""));
}

static void test_json(void **state)
{
    (void)state;
    assert_true(fields_are_json("application/json") && fields_are_json(" APPLICATION/JSON;charset=utf-8") &&
                fields_are_json("application/json; charset=\"UTF-8\" ;"));
    assert_false(fields_are_json(NULL) || fields_are_json("") || fields_are_json("application/jsonp") ||
                 fields_are_json("application/json, text/plain") ||
                 fields_are_json("application/json;charset=utf-16") ||
                 fields_are_json("application/json; charset=utf-8x") || fields_are_json("text/json"));
    assert_true(fields_compressible("application/json") && fields_compressible("text/html; charset=utf-8") &&
                fields_compressible("application/problem+json"));
    assert_false(fields_compressible("application/octet-stream") || fields_compressible("image/png") ||
                 fields_compressible("application/json5"));
}

static void test_range(void **state)
{
    static const struct {
        const char *range;
        int64_t size;
        enum fields_range result;
        int64_t first, length;
    } cases[] = {
        {NULL, 10, FIELDS_RANGE_WHOLE, 0, 10},
        {"bytes=0-", 10, FIELDS_RANGE_PART, 0, 10},
        {"Bytes=2-3 ", 10, FIELDS_RANGE_PART, 2, 2},
        {"bytes=9-9", 10, FIELDS_RANGE_PART, 9, 1},
        {"bytes=-10", 10, FIELDS_RANGE_PART, 0, 10},
        {"bytes=-1", 10, FIELDS_RANGE_PART, 9, 1},
        {"bytes=-9223372036854775808", 10, FIELDS_RANGE_PART, 0, 10},
        {"bytes=5-9223372036854775807", INT64_MAX, FIELDS_RANGE_PART, 5, INT64_MAX - 5},
        {"bytes=10-", 10, FIELDS_RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=0-", 0, FIELDS_RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=-5", 0, FIELDS_RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=-0", 10, FIELDS_RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=3-2", 10, FIELDS_RANGE_WHOLE, 0, 10},
        {"bytes=1-2,4-5", 10, FIELDS_RANGE_WHOLE, 0, 10},
        {"bytes=1 - 2", 10, FIELDS_RANGE_WHOLE, 0, 10},
        {"bytes=--1", 10, FIELDS_RANGE_WHOLE, 0, 10},
        {"bytes", 10, FIELDS_RANGE_WHOLE, 0, 10},
        {"items=1-2", 10, FIELDS_RANGE_WHOLE, 0, 10},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t first, length;
        assert_int_equal(fields_range(cases[i].range, cases[i].size, &first, &length), cases[i].result);
        assert_int_equal(first, cases[i].first);
        assert_int_equal(length, cases[i].length);
    }
}

static void test_cors(void **state)
{
    static const char *const bad[] = {"*",         "https://",    "https://*.example", "a.example",
                                      "ftp://a",   "https://a/",  "https://a:",        "https://a:x",
                                      "https://A", "https://u@a", "https://[::1",      "https://a:123456",
                                      NULL};
    struct cors cors;
    struct error err;
    (void)state;
    for (size_t i = 0; bad[i]; i++)
        assert_int_equal(cors_init(bad[i], &cors, &err), ERROR_INPUT);
    assert_int_equal(cors_init("", &cors, &err), 0);
    assert_false(cors_allows(&cors, "https://a") || cors_allows(&cors, NULL));
    cors_deinit(&cors);
    assert_int_equal(cors_init(" https://a.example:8443, http://[::1]:80,,http://localhost ", &cors, &err),
                     0);
    assert_int_equal(cors.n_origins, 3);
    assert_true(cors_allows(&cors, "https://a.example:8443") && cors_allows(&cors, "http://[::1]:80"));
    assert_false(cors_allows(&cors, "https://a.example") || cors_allows(&cors, "null") ||
                 cors_allows(&cors, ""));
    cors_deinit(&cors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accept_gzip), cmocka_unit_test(test_match_etag), cmocka_unit_test(test_json),
        cmocka_unit_test(test_range),       cmocka_unit_test(test_cors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
