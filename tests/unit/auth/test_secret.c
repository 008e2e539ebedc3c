#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "auth/secret.h"

static void references_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *reference, *template;
        int code;
    } cases[] = {
        {"env:PASSWORD_1", NULL, 0},
        {"env:", NULL, ERROR_INPUT},
        {"env:1PASSWORD", NULL, ERROR_INPUT},
        {"env:A B", NULL, ERROR_INPUT},
        {"file:/run/secrets/x", NULL, 0},
        {"file:run/secrets/x", NULL, ERROR_INPUT},
        {"file:/", NULL, ERROR_INPUT},
        {"", NULL, ERROR_INPUT},
        {NULL, NULL, ERROR_INPUT},
        {"name", NULL, ERROR_INPUT},
        {"name", "", ERROR_INPUT},
        {"name", "file:/run/secrets/%s", 0},
        {"name", "env:BACKUP_%s", 0},
        {"name-with-dash", "env:%s", ERROR_INPUT},
        {"name", "vault:kv/%s", 0},
        {"name", "vault:%s", ERROR_INPUT},
        {"name", "file:/run/secrets/x", ERROR_INPUT},
        {"name", "file:/%s/%s", ERROR_INPUT},
        {"name", "file:/%d/%s", ERROR_INPUT},
        {"name", "%s", ERROR_INPUT},
        {"../../etc/shadow", "file:/run/secrets/%s", ERROR_INPUT},
        {"/etc/shadow", "file:/run/secrets%s", ERROR_INPUT},
        {"vault:kv/db#password", NULL, 0},
        {"vault:kv/db", NULL, 0},
        {"vault:kv", NULL, ERROR_INPUT},
        {"vault:", NULL, ERROR_INPUT},
        {"vault:/kv/db", NULL, ERROR_INPUT},
        {"vault:kv//db", NULL, ERROR_INPUT},
        {"vault:kv/db/", NULL, ERROR_INPUT},
        {"vault:kv/../sys/seal", NULL, ERROR_INPUT},
        {"vault:kv/./db", NULL, ERROR_INPUT},
        {"vault:kv/a%2fb", NULL, ERROR_INPUT},
        {"vault:kv/a?version=1", NULL, ERROR_INPUT},
        {"vault:kv/a b", NULL, ERROR_INPUT},
        {"vault:kv/db#", NULL, ERROR_INPUT},
        {"vault:kv/db#a\nb", NULL, ERROR_INPUT},
        {"aws-sm:id#field", NULL, 0},
        {"aws-sm:id", NULL, 0},
        {"aws-sm:", NULL, ERROR_INPUT},
        {"aws-sm:#field", NULL, ERROR_INPUT},
        {"aws-sm:a b", NULL, ERROR_INPUT},
        {"aws-sm:\"}", NULL, ERROR_INPUT},
        {"http://host/secret", NULL, ERROR_INPUT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        int rc = secret_reference_check(cases[i].reference, cases[i].template, &err);
        if (rc != cases[i].code)
            fail_msg("case %zu: %d %s", i, rc, err.message);
        if (rc)
            assert_false(err.retryable);
    }
}

static void what_may_be_a_secret_is_not_repeated(void **state)
{
    (void)state;
    static const char *const literals[] = {"hunter2", "p4ss:word", "s3cr=t!"};
    for (size_t i = 0; i < sizeof literals / sizeof *literals; i++) {
        struct error err = {0};
        assert_int_equal(secret_reference_check(literals[i], NULL, &err), ERROR_INPUT);
        assert_null(strstr(err.message, literals[i]));
    }
}

static void references_have_parts(void **state)
{
    (void)state;
    static const struct {
        const char *reference, *template;
        enum secret_scheme scheme;
        const char *place, *field;
    } cases[] = {
        {"env:A#b", NULL, SECRET_ENV, NULL, NULL},
        {"file:/run/a#b", NULL, SECRET_FILE, "/run/a#b", ""},
        {"vault:kv/databases/shop#password", NULL, SECRET_VAULT, "kv/databases/shop", "password"},
        {"vault:kv/shop", NULL, SECRET_VAULT, "kv/shop", ""},
        {"vault:kv/shop#a#b", NULL, SECRET_VAULT, "kv/shop", "a#b"},
        {"shop", "vault:kv/%s#password", SECRET_VAULT, "kv/shop", "password"},
        {"aws-sm:prod/shop#password", NULL, SECRET_AWS_SM, "prod/shop", "password"},
        {"aws-sm:arn:aws:secretsmanager:eu-south-1:123456789012:secret:shop-AbCdEf", NULL, SECRET_AWS_SM,
         "arn:aws:secretsmanager:eu-south-1:123456789012:secret:shop-AbCdEf", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct secret_reference r;
        struct error err = {0};
        int rc = secret_reference_parse(cases[i].reference, cases[i].template, &r, &err);
        if (cases[i].place == NULL) {
            assert_int_equal(rc, ERROR_INPUT);
            continue;
        }
        if (rc)
            fail_msg("%s: %s", cases[i].reference, err.message);
        assert_int_equal(r.scheme, cases[i].scheme);
        assert_string_equal(r.place, cases[i].place);
        assert_string_equal(r.field, cases[i].field);
    }
}

static void the_longest_reference(void **state)
{
    (void)state;
    char text[SECRET_REFERENCE_SIZE + 1] = "vault:a/";
    struct secret_reference r;
    memset(text + 8, 'x', SECRET_REFERENCE_SIZE - 1 - 8);
    assert_int_equal(secret_reference_parse(text, NULL, &r, NULL), 0);
    text[SECRET_REFERENCE_SIZE - 1] = 'x';
    assert_int_equal(secret_reference_parse(text, NULL, &r, NULL), ERROR_INPUT);
    memcpy(text, "xxxxxxxx", 8);
    text[SECRET_REFERENCE_SIZE - 1] = '\0';
    assert_int_equal(secret_reference_parse(text, "vault:a/%s", &r, NULL), ERROR_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references_are_checked),
        cmocka_unit_test(what_may_be_a_secret_is_not_repeated),
        cmocka_unit_test(references_have_parts),
        cmocka_unit_test(the_longest_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
