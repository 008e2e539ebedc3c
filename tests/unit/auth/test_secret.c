#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/secret.h"

static char path[] = "/tmp/test_secret.XXXXXX";

static void write_file(const char *data, size_t n)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

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
        {"name", "vault:kv/%s", ERROR_UNSUPPORTED},
        {"name", "file:/run/secrets/x", ERROR_INPUT},
        {"name", "file:/%s/%s", ERROR_INPUT},
        {"name", "file:/%d/%s", ERROR_INPUT},
        {"name", "%s", ERROR_INPUT},
        {"../../etc/shadow", "file:/run/secrets/%s", ERROR_INPUT},
        {"/etc/shadow", "file:/run/secrets%s", ERROR_INPUT},
        {"vault:kv/db#password", NULL, ERROR_UNSUPPORTED},
        {"aws-sm:id#field", NULL, ERROR_UNSUPPORTED},
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

static void variables_are_read(void **state)
{
    (void)state;
    char *secret = NULL;
    struct error err = {0};
    setenv("TEST_SECRET", "hunter2\n", 1);
    assert_int_equal(secret_resolve("env:TEST_SECRET", NULL, &secret, &err), 0);
    assert_string_equal(secret, "hunter2\n");
    secret_free(secret);
    assert_int_equal(secret_resolve("SECRET", "env:TEST_%s", &secret, &err), 0);
    secret_free(secret);
    setenv("TEST_SECRET", "", 1);
    secret = NULL;
    assert_int_equal(secret_resolve("env:TEST_SECRET", NULL, &secret, &err), ERROR_NOT_FOUND);
    unsetenv("TEST_SECRET");
    assert_int_equal(secret_resolve("env:TEST_SECRET", NULL, &secret, &err), ERROR_NOT_FOUND);
    assert_true(err.retryable);
    assert_non_null(strstr(err.message, "env:TEST_SECRET"));
    assert_null(secret);
    secret_free(NULL);
}

static void files_are_read_at_each_call(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        size_t n;
        const char *secret;
        int code;
    } cases[] = {
        {"hunter2", 7, "hunter2", 0},     {"hunter2\n", 8, "hunter2", 0},
        {"hunter2\r\n", 9, "hunter2", 0}, {"two\nlines\n\n", 11, "two\nlines\n", 0},
        {" spaced ", 8, " spaced ", 0},   {"", 0, NULL, ERROR_NOT_FOUND},
        {"\n", 1, NULL, ERROR_NOT_FOUND}, {"a\0b", 3, NULL, ERROR_INPUT},
    };
    char reference[64];
    snprintf(reference, sizeof reference, "file:%s", path);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *secret = NULL;
        struct error err = {0};
        write_file(cases[i].data, cases[i].n);
        assert_int_equal(secret_resolve(reference, NULL, &secret, &err), cases[i].code);
        if (cases[i].secret)
            assert_string_equal(secret, cases[i].secret);
        else
            assert_null(secret);
        if (cases[i].code)
            assert_true(err.retryable);
        secret_free(secret);
    }
}

static void files_have_a_bound(void **state)
{
    (void)state;
    char reference[64];
    snprintf(reference, sizeof reference, "file:%s", path);
    size_t max = 64 * 1024;
    char *data = malloc(max + 1);
    assert_non_null(data);
    memset(data, 'x', max + 1);
    char *secret = NULL;
    struct error err = {0};
    write_file(data, max);
    assert_int_equal(secret_resolve(reference, NULL, &secret, &err), 0);
    assert_int_equal(strlen(secret), max);
    secret_free(secret);
    secret = NULL;
    write_file(data, max + 1);
    assert_int_equal(secret_resolve(reference, NULL, &secret, &err), ERROR_LIMIT);
    assert_null(secret);
    free(data);
    assert_int_equal(secret_resolve("file:/nowhere/at/all", NULL, &secret, &err), ERROR_NOT_FOUND);
    assert_true(err.retryable);
    assert_int_equal(secret_resolve("file:/tmp", NULL, &secret, &err), ERROR_INPUT);
}

int main(void)
{
    int fd = mkstemp(path);
    if (fd < 0)
        return 1;
    close(fd);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references_are_checked), cmocka_unit_test(what_may_be_a_secret_is_not_repeated),
        cmocka_unit_test(variables_are_read),     cmocka_unit_test(files_are_read_at_each_call),
        cmocka_unit_test(files_have_a_bound),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
