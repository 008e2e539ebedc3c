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
#include "auth/secret_local.h"

static char path[] = "/tmp/test_secret_local.XXXXXX";

static void write_file(const char *data, size_t n)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void variables_are_read(void **state)
{
    (void)state;
    char *secret = NULL;
    struct error err = {0};
    setenv("TEST_SECRET", "hunter2\n", 1);
    assert_int_equal(secret_read_variable("TEST_SECRET", "env:TEST_SECRET", &secret, &err), 0);
    assert_string_equal(secret, "hunter2\n");
    secret_free(secret);
    setenv("TEST_SECRET", "", 1);
    secret = NULL;
    assert_int_equal(secret_read_variable("TEST_SECRET", "env:TEST_SECRET", &secret, &err), ERROR_NOT_FOUND);
    unsetenv("TEST_SECRET");
    assert_int_equal(secret_read_variable("TEST_SECRET", "env:TEST_SECRET", &secret, &err), ERROR_NOT_FOUND);
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
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *secret = NULL;
        struct error err = {0};
        write_file(cases[i].data, cases[i].n);
        assert_int_equal(secret_read_file(path, path, &secret, &err), cases[i].code);
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
    size_t max = 64 * 1024;
    char *data = malloc(max + 1);
    assert_non_null(data);
    memset(data, 'x', max + 1);
    char *secret = NULL;
    struct error err = {0};
    write_file(data, max);
    assert_int_equal(secret_read_file(path, path, &secret, &err), 0);
    assert_int_equal(strlen(secret), max);
    secret_free(secret);
    secret = NULL;
    write_file(data, max + 1);
    assert_int_equal(secret_read_file(path, path, &secret, &err), ERROR_LIMIT);
    assert_null(secret);
    free(data);
    assert_int_equal(secret_read_file("/nowhere/at/all", "file:/nowhere/at/all", &secret, &err),
                     ERROR_NOT_FOUND);
    assert_true(err.retryable);
    assert_int_equal(secret_read_file("/tmp", "file:/tmp", &secret, &err), ERROR_INPUT);
}

int main(void)
{
    int fd = mkstemp(path);
    if (fd < 0)
        return 1;
    close(fd);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variables_are_read),
        cmocka_unit_test(files_are_read_at_each_call),
        cmocka_unit_test(files_have_a_bound),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
