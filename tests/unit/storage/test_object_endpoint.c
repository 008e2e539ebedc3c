#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "storage/object/endpoint.h"

static void what_people_write(void **state)
{
    (void)state;
    static const struct {
        const char *text, *scheme_host, *path;
        bool https;
    } cases[] = {
        {"https://s3.example", "https://s3.example", "", true},
        {"HTTPS://S3.Example:443/", "https://s3.example", "", true},
        {"http://127.0.0.1:9000", "http://127.0.0.1:9000", "", false},
        {"http://minio:80", "http://minio", "", false},
        {"http://minio:443", "http://minio:443", "", false},
        {"https://[::1]:9000/", "https://[::1]:9000", "", true},
        {"http://127.0.0.1:10000/devstoreaccount1", "http://127.0.0.1:10000", "/devstoreaccount1", false},
        {"http://127.0.0.1:10000/devstoreaccount1/", "http://127.0.0.1:10000", "/devstoreaccount1", false},
        {"https://Gate.Example/A/b.c_~-", "https://gate.example", "/A/b.c_~-", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct object_endpoint endpoint;
        if (!object_endpoint_parse(cases[i].text, &endpoint))
            fail_msg("refused: %s", cases[i].text);
        assert_string_equal(endpoint.scheme_host, cases[i].scheme_host);
        assert_string_equal(endpoint.path, cases[i].path);
        assert_int_equal(endpoint.https, cases[i].https);
    }
}

static void what_is_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "x",
        "ftp://x",
        "https:/x",
        "https://",
        "https:///p",
        "https://x?",
        "https://x#",
        "https://u@x",
        "https://u:p@x",
        "https://x:0",
        "https://x:65536",
        "https://x:",
        "https://-x",
        "https://x y",
        "https://[::1",
        "https://[]",
        "https://x\n",
        "https://x//",
        "https://x/a//b",
        "https://x/..",
        "https://x/./a",
        "https://x/a?b",
        "https://x/a%20b",
    };
    struct object_endpoint endpoint = {.scheme_host = "untouched"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (object_endpoint_parse(cases[i], &endpoint))
            fail_msg("accepted: %s", cases[i]);
    char text[600] = "https://x/";
    memset(text + 10, 'p', 127); /* with its '/' one too many */
    assert_false(object_endpoint_parse(text, &endpoint));
    text[10 + 126] = '\0';
    assert_true(object_endpoint_parse(text, &endpoint));
    memset(text + 8, 'h', 300);
    assert_false(object_endpoint_parse(text, &endpoint));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_people_write),
                                       cmocka_unit_test(what_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
