/* What Google's services answer, and what is said about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/google_answer.h"
#include "auth/google_text.h"
#include "auth/secret.h"

#define NOW_MS INT64_C(1767225600000) /* 2026-01-01T00:00:00Z */
#define TOKEN "{\"access_token\":\"HIDDEN.a\",\"expires_in\":3599,\"token_type\":\"Bearer\"}"

static struct google_answer an_answer(enum google_step step, int status, const char *body)
{
    return (struct google_answer){.step = step,
                                  .what = "env:G",
                                  .status = status,
                                  .body = body,
                                  .size = strlen(body),
                                  .flavor = "Google",
                                  .now_ms = NOW_MS};
}

static void tokens_are_read(void **state)
{
    (void)state;
    static const struct {
        enum google_step step;
        const char *body, *token;
        int64_t in_s;
    } cases[] = {
        {GOOGLE_STEP_ASSERTION, TOKEN, "HIDDEN.a", 3599},
        {GOOGLE_STEP_METADATA, "{\"access_token\":\"m\",\"expires_in\":1}", "m", 1},
        {GOOGLE_STEP_REFRESH, "{\"access_token\":\"u\",\"expires_in\":\"60\",\"token_type\":\"bearer\"}", "u",
         60},
        {GOOGLE_STEP_EXCHANGE, "{\"access_token\":\"x\",\"expires_in\":9223372036854775807}", "x", 86400},
        {GOOGLE_STEP_IMPERSONATE, "{\"accessToken\":\"i\",\"expireTime\":\"2026-01-01T01:00:00Z\"}", "i",
         3600},
        {GOOGLE_STEP_IMPERSONATE, "{\"accessToken\":\"i\",\"expireTime\":\"2025-12-31T23:59:59Z\"}", "i", -1},
        {GOOGLE_STEP_IMPERSONATE, "{\"accessToken\":\"i\",\"expireTime\":\"9999-12-31T23:59:59Z\"}", "i",
         86400},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct google_answer a = an_answer(cases[i].step, 200, cases[i].body);
        struct google_token token;
        struct error err = {0};
        if (google_answer_token(&a, &token, &err))
            fail_msg("%s: %s", cases[i].body, err.message);
        assert_string_equal(token.value, cases[i].token);
        assert_int_equal(token.expires_at_ms, NOW_MS + cases[i].in_s * 1000);
        secret_free(token.value);
    }
}

#define GRANT(words) "{\"error\":\"invalid_grant\",\"error_description\":\"" words "\"}"
#define API(code, words) "{\"error\":{\"code\":403,\"status\":\"" code "\",\"message\":\"" words "\"}}"

static void errors_say_what_to_do(void **state)
{
    (void)state;
    static const struct {
        enum google_step step;
        int status;
        const char *body;
        int code;
        bool retryable;
        const char *words;
    } cases[] = {
        {GOOGLE_STEP_ASSERTION, 400,
         GRANT("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."),
         ERROR_DENIED, false, "set this machine's clock; it says 2026-01-01T00:00:00Z"},
        {GOOGLE_STEP_ASSERTION, 400, GRANT("Invalid JWT Signature."), ERROR_DENIED, false,
         "invalid_grant: Invalid JWT Signature.; the key was deleted"},
        {GOOGLE_STEP_ASSERTION, 400, GRANT("Invalid grant: account not found"), ERROR_DENIED, false,
         "the service account was deleted"},
        {GOOGLE_STEP_ASSERTION, 400, GRANT("Bad Request"), ERROR_DENIED, false,
         "is this machine's clock right, and is the key still there?; it says 2026"},
        {GOOGLE_STEP_ASSERTION, 400, "{\"error\":\"invalid_scope\"}", ERROR_DENIED, false,
         "env:G: HTTP 400 invalid_scope"},
        {GOOGLE_STEP_REFRESH, 400, GRANT("Token has been expired or revoked."), ERROR_DENIED, false,
         "gcloud auth application-default login"},
        {GOOGLE_STEP_REFRESH, 401, "{\"error\":\"invalid_client\"}", ERROR_DENIED, false, "gcloud auth"},
        {GOOGLE_STEP_EXCHANGE, 400, GRANT("ID Token HIDDENHIDDENHIDDEN.e30.x is stale"), ERROR_DENIED, true,
         "ID Token ... is stale; has the identity's token expired"},
        {GOOGLE_STEP_EXCHANGE, 400, "{\"error\":\"invalid_target\"}", ERROR_DENIED, false, "audience"},
        {GOOGLE_STEP_IMPERSONATE, 403, API("PERMISSION_DENIED", "Permission denied"), ERROR_DENIED, false,
         "PERMISSION_DENIED: Permission denied; grant roles/iam.serviceAccountTokenCreator"},
        {GOOGLE_STEP_IMPERSONATE, 404, API("NOT_FOUND", ""), ERROR_DENIED, false,
         "does the service account exist"},
        {GOOGLE_STEP_METADATA, 403, "", ERROR_DENIED, false, "env:G: HTTP 403"},
        {GOOGLE_STEP_METADATA, 404, "", ERROR_NOT_FOUND, false, "the machine has no service account"},
        {GOOGLE_STEP_METADATA, 503, "", ERROR_UNREACHABLE, true, "HTTP 503"},
        {GOOGLE_STEP_ASSERTION, 408, "", ERROR_UNREACHABLE, true, "HTTP 408"},
        {GOOGLE_STEP_ASSERTION, 429, "", ERROR_UNREACHABLE, true, "HTTP 429"},
        {GOOGLE_STEP_ASSERTION, 500, TOKEN, ERROR_UNREACHABLE, true, "HTTP 500"},
        {GOOGLE_STEP_ASSERTION, 400, "{\"error\":\"internal_failure\"}", ERROR_UNREACHABLE, true,
         "internal_f"},
        {GOOGLE_STEP_ASSERTION, 400, "{\"error\":\"server_error\"}", ERROR_UNREACHABLE, true, "server_error"},
        {GOOGLE_STEP_ASSERTION, 401, "{\"error\":\"temporarily_unavailable\"}", ERROR_UNREACHABLE, true,
         "temp"},
        {GOOGLE_STEP_ASSERTION, 403, "<html>HIDDEN</html>", ERROR_PROTOCOL, true, "does a proxy answer?"},
        {GOOGLE_STEP_ASSERTION, 302, "", ERROR_PROTOCOL, true, "HTTP 302"},
        {GOOGLE_STEP_ASSERTION, 204, "", ERROR_PROTOCOL, true, "HTTP 204"},
        {GOOGLE_STEP_ASSERTION, 200, "", ERROR_PROTOCOL, true, "isn't a JSON object"},
        {GOOGLE_STEP_ASSERTION, 200, "[\"HIDDEN\"]", ERROR_PROTOCOL, true, "isn't a JSON object"},
        {GOOGLE_STEP_ASSERTION, 200, "{\"access_token\":\"HIDDEN\"", ERROR_PROTOCOL, true, "isn't a JSON"},
        {GOOGLE_STEP_ASSERTION, 200, "{\"access_token\":\"HIDDEN\"}", ERROR_PROTOCOL, true, "how long"},
        {GOOGLE_STEP_ASSERTION, 200, "{\"access_token\":\"HIDDEN\",\"expires_in\":0}", ERROR_PROTOCOL, true,
         "how long"},
        {GOOGLE_STEP_ASSERTION, 200, "{\"access_token\":\"HIDDEN\",\"expires_in\":\"-1\"}", ERROR_PROTOCOL,
         true, "how long"},
        {GOOGLE_STEP_ASSERTION, 200, "{\"access_token\":\"HIDDEN\",\"expires_in\":\"99999999999\"}",
         ERROR_PROTOCOL, true, "how long"},
        {GOOGLE_STEP_ASSERTION, 200, "{\"expires_in\":3599}", ERROR_PROTOCOL, true, "no usable token"},
        {GOOGLE_STEP_ASSERTION, 200, "{\"access_token\":\"HIDDEN\\r\\nX: y\",\"expires_in\":3599}",
         ERROR_PROTOCOL, true, "no usable token"},
        {GOOGLE_STEP_ASSERTION, 200, "{\"access_token\":\"\",\"expires_in\":3599}", ERROR_PROTOCOL, true,
         "no usable token"},
        {GOOGLE_STEP_ASSERTION, 200,
         "{\"access_token\":\"HIDDEN\",\"expires_in\":3599,\"token_type\":\"N_A\"}", ERROR_PROTOCOL, true,
         "another type than Bearer"},
        {GOOGLE_STEP_IMPERSONATE, 200, TOKEN, ERROR_PROTOCOL, true, "how long"},
        {GOOGLE_STEP_IMPERSONATE, 200, "{\"accessToken\":\"HIDDEN\",\"expireTime\":\"soon\"}", ERROR_PROTOCOL,
         true, "how long"},
        {GOOGLE_STEP_IMPERSONATE, 200, "{\"expireTime\":\"2026-01-01T01:00:00Z\"}", ERROR_PROTOCOL, true,
         "no usable token"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct google_answer a = an_answer(cases[i].step, cases[i].status, cases[i].body);
        struct google_token token = {0};
        struct error err = {0};
        int rc = google_answer_token(&a, &token, &err);
        if (rc != cases[i].code || err.retryable != cases[i].retryable ||
            strstr(err.message, cases[i].words) == NULL)
            fail_msg("%d %s: %d %s", cases[i].status, cases[i].body, rc, err.message);
        assert_null(strstr(err.message, "HIDDEN"));
        assert_null(token.value);
        assert_int_not_equal(err.message[strlen(err.message) - 1], ' ');
    }
}

static void the_metadata_server_says_that_it_is_googles(void **state)
{
    (void)state;
    static const char *const flavors[] = {NULL, "", "AWS", "Googles"};
    struct google_token token = {0};
    struct error err = {0};
    for (size_t i = 0; i < sizeof flavors / sizeof *flavors; i++) {
        struct google_answer a = an_answer(GOOGLE_STEP_METADATA, 200, TOKEN);
        a.flavor = flavors[i];
        assert_int_equal(google_answer_token(&a, &token, &err), ERROR_NOT_FOUND);
        assert_non_null(strstr(err.message, "isn't Google's"));
        assert_null(token.value);
    }
}

static void a_service_that_is_busy_says_for_how_long(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *header;
        int64_t ms;
    } cases[] = {{429, "7", 7000},  {503, "0", 0},           {503, NULL, 0}, {503, "-1", 0},
                 {503, "1 day", 0}, {503, "99999999999", 0}, {401, "7", 0},  {503, "", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct google_answer a = an_answer(GOOGLE_STEP_REFRESH, cases[i].status, "{\"error\":\"x\"}");
        struct google_token token;
        struct error err = {0};
        a.retry_after = cases[i].header;
        assert_true(google_answer_token(&a, &token, &err) < 0);
        assert_int_equal(err.retry_after_ms, cases[i].ms);
        assert_int_equal(atoi(err.native), cases[i].status);
    }
}

static void a_long_token_is_refused(void **state)
{
    (void)state;
    char *body = malloc(GOOGLE_TOKEN_MAX + 100);
    for (int more = 0; more < 2; more++) {
        int n = sprintf(body, "{\"expires_in\":60,\"access_token\":\"");
        memset(body + n, 'a', (size_t)(GOOGLE_TOKEN_MAX + more));
        strcpy(body + n + GOOGLE_TOKEN_MAX + more, "\"}");
        struct google_answer a = an_answer(GOOGLE_STEP_REFRESH, 200, body);
        struct google_token token = {0};
        assert_int_equal(google_answer_token(&a, &token, NULL), more ? ERROR_PROTOCOL : 0);
        secret_free(token.value);
    }
    free(body);
}

static void an_identity_providers_token(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body, *field, *token;
        int code;
        const char *words;
    } cases[] = {
        {200, " HIDDEN.a.b\r\n", NULL, "HIDDEN.a.b", 0, ""},
        {200, "<saml a=\"b\">\n</saml>", NULL, "<saml a=\"b\">\n</saml>", 0, ""},
        {200, "{\"value\":\"HIDDEN\\n\"}", "value", "HIDDEN", 0, ""},
        {200, "", NULL, NULL, ERROR_PROTOCOL, "is empty"},
        {200, " \n ", NULL, NULL, ERROR_PROTOCOL, "is empty"},
        {200, "{\"value\":\"\"}", "value", NULL, ERROR_PROTOCOL, "is empty"},
        {200, "{\"value\":3}", "value", NULL, ERROR_PROTOCOL, "subject_token_field_name"},
        {200, "{\"other\":\"HIDDEN\"}", "value", NULL, ERROR_PROTOCOL, "subject_token_field_name"},
        {200, "HIDDEN", "value", NULL, ERROR_PROTOCOL, "subject_token_field_name"},
        {404, "HIDDEN", NULL, NULL, ERROR_DENIED, "HTTP 404"},
        {500, "HIDDEN", NULL, NULL, ERROR_UNREACHABLE, "HTTP 500"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct google_answer a = an_answer(GOOGLE_STEP_SUBJECT, cases[i].status, cases[i].body);
        char *token = NULL;
        struct error err = {0};
        int rc = google_answer_subject(&a, cases[i].field, &token, &err);
        if (rc != cases[i].code || strstr(err.message, cases[i].words) == NULL || (rc && !err.retryable))
            fail_msg("%s: %d %s", cases[i].body, rc, err.message);
        assert_null(strstr(err.message, "HIDDEN"));
        if (rc == 0)
            assert_string_equal(token, cases[i].token);
        secret_free(token);
    }
}

static void what_is_said_is_shown_without_secrets(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t size;
        const char *shown;
    } cases[] = {
        {"", 8, ""},
        {"  a\t\n b ", 8, "a b"},
        {"1234567890123456789", 32, "1234567890123456789"},
        {"a 12345678901234567890 b", 32, "a ... b"},
        {"bad \xff\x01 word", 32, "bad ?? word"},
        {"longer than the room", 12, "longer than"},
        {"longer", 6, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char shown[64];
        google_text_copy_said(cases[i].text, shown, cases[i].size);
        assert_string_equal(shown, cases[i].shown);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_are_read),
        cmocka_unit_test(errors_say_what_to_do),
        cmocka_unit_test(the_metadata_server_says_that_it_is_googles),
        cmocka_unit_test(a_service_that_is_busy_says_for_how_long),
        cmocka_unit_test(a_long_token_is_refused),
        cmocka_unit_test(an_identity_providers_token),
        cmocka_unit_test(what_is_said_is_shown_without_secrets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
