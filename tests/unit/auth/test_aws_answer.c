#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "auth/aws_answer.h"

static void types_of_errors_are_found(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{\"__type\":\"ResourceNotFoundException\"}", "ResourceNotFoundException"},
        {"{\"__type\":\"com.amazonaws.secretsmanager#DecryptionFailure\"}", "DecryptionFailure"},
        {"{\"__type\":\"a b\\n\"}", "a?b?"},
        {"{\"__type\":1}", ""},
        {"{}", ""},
        {"<html>", ""},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char code[64];
        aws_answer_error_type(cases[i][0], strlen(cases[i][0]), code);
        assert_string_equal(code, cases[i][1]);
    }
}

/* Every prefix of a good answer is refused, and none of them is repeated. */
static void answers_cut_short_are_refused(void **state)
{
    (void)state;
    static const char json[] = "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"HIDDEN\",\"Token\":\"HIDDEN\","
                               "\"Expiration\":\"2026-01-01T00:00:00Z\"}";
    static const char xml[] = "<R><X><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>HIDDEN"
                              "</SecretAccessKey><SessionToken>HIDDEN</SessionToken><Expiration>"
                              "2026-01-01T00:00:00Z</Expiration></Credentials></X></R>";
    for (size_t n = 0; n <= strlen(json); n++) {
        struct aws_answer answer = {.source = "test"};
        struct error err = {0};
        int rc = aws_answer_read_json(&answer, json, n, &err);
        assert_int_equal(rc, n == strlen(json) ? 0 : ERROR_PROTOCOL);
        assert_null(strstr(err.message, "HIDDEN"));
        aws_answer_deinit(&answer);
    }
    for (size_t n = 0; n <= strlen(xml); n++) {
        struct aws_answer answer = {.source = "test"};
        struct error err = {0};
        int rc = aws_answer_read_sts(&answer, 200, xml, n, &err);
        assert_int_equal(rc, n == strlen(xml) ? 0 : ERROR_PROTOCOL);
        assert_null(strstr(err.message, "HIDDEN"));
        if (rc == 0)
            assert_string_equal(answer.credentials.session_token, "HIDDEN");
        aws_answer_deinit(&answer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {

        cmocka_unit_test(types_of_errors_are_found),
        cmocka_unit_test(answers_cut_short_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
