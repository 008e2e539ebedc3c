/* The store on a real loop: callbacks only from the loop, once; forgetting and closing at any time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/secrets.h"

static char path[] = "/tmp/test_secrets.XXXXXX";
static char file_reference[64];

static uv_loop_t loop;
static struct secrets *secrets;
static bool closed;

struct answer {
    int n;
    char secret[64];
    struct error err;
    struct secrets_wait *wait;
    struct answer *forgets; /* in its callback */
    bool closes;
};

static void on_closed(void *data)
{
    *(bool *)data = true;
}

static void on_secret(void *data, const char *secret, const struct error *err)
{
    struct answer *a = data;
    a->n++;
    assert_true((secret == NULL) == (err != NULL));
    if (secret)
        snprintf(a->secret, sizeof a->secret, "%s", secret);
    else
        a->err = *err;
    if (a->forgets)
        secrets_forget(a->forgets->wait);
    if (a->closes)
        secrets_close(secrets, on_closed, &closed);
}

static void ask(struct answer *a, const char *reference)
{
    struct error err = {0};
    assert_int_equal(secrets_get(secrets, reference, on_secret, a, &a->wait, &err), 0);
    assert_int_equal(a->n, 0);
}

static int setup(void **state)
{
    (void)state;
    struct error err;
    struct secrets_options options = {.default_template = "env:TEST_%s"};
    closed = false;
    setenv("TEST_SECRET", "hunter2", 1);
    FILE *f = fopen(path, "w");
    if (f == NULL || fputs("from a file\n", f) < 0 || fclose(f))
        return -1;
    return uv_loop_init(&loop) || secrets_new(&loop, &options, &secrets, &err);
}

static int teardown(void **state)
{
    (void)state;
    if (!closed)
        secrets_close(secrets, on_closed, &closed);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(closed);
    return uv_loop_close(&loop);
}

static void variables_and_files(void **state)
{
    (void)state;
    struct answer variable = {0}, file = {0}, bare = {0};
    ask(&variable, "env:TEST_SECRET");
    ask(&file, file_reference);
    ask(&bare, "SECRET");
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(variable.n, 1);
    assert_string_equal(variable.secret, "hunter2");
    assert_int_equal(file.n, 1);
    assert_string_equal(file.secret, "from a file");
    assert_string_equal(bare.secret, "hunter2");
}

static void errors_name_the_reference(void **state)
{
    (void)state;
    static const struct {
        const char *reference, *says;
        int code;
        bool retryable;
    } cases[] = {
        {"env:TEST_NOT_THERE", "env:TEST_NOT_THERE", ERROR_NOT_FOUND, true},
        {"file:/nowhere/at/all", "file:/nowhere/at/all", ERROR_NOT_FOUND, true},
        {"file:relative", "absolute", ERROR_INPUT, false},
        {"vault:kv", "vault:kv", ERROR_INPUT, false},
        {"p4ss!word", "env:NAME", ERROR_INPUT, false},
        {"", "empty", ERROR_INPUT, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct answer a = {0};
        ask(&a, cases[i].reference);
        uv_run(&loop, UV_RUN_DEFAULT);
        assert_int_equal(a.n, 1);
        assert_int_equal(a.err.code, cases[i].code);
        assert_int_equal(a.err.retryable, cases[i].retryable);
        assert_non_null(strstr(a.err.message, cases[i].says));
        assert_null(strstr(a.err.message, "p4ss"));
    }
}

static void what_is_forgotten_is_never_told(void **state)
{
    (void)state;
    struct answer variable = {0}, file = {0}, kept = {0};
    ask(&variable, "env:TEST_SECRET");
    ask(&file, file_reference);
    ask(&kept, file_reference);
    secrets_forget(variable.wait);
    secrets_forget(file.wait);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(variable.n, 0);
    assert_int_equal(file.n, 0);
    assert_int_equal(kept.n, 1);
}

/* Both are due in the same turn. */
static void forgotten_in_the_callback_before_it(void **state)
{
    (void)state;
    struct answer first = {0}, second = {0};
    ask(&first, "env:TEST_SECRET");
    ask(&second, "env:TEST_SECRET");
    first.forgets = &second;
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(first.n, 1);
    assert_int_equal(second.n, 0);
}

static void closing_cancels(void **state)
{
    (void)state;
    struct answer variable = {0}, file = {0}, forgotten = {0}, late = {0};
    struct error err;
    ask(&variable, "env:TEST_SECRET");
    ask(&file, file_reference);
    ask(&forgotten, file_reference);
    secrets_forget(forgotten.wait);
    secrets_close(secrets, on_closed, &closed);
    assert_int_equal(variable.n, 0);
    assert_int_equal(secrets_get(secrets, "env:TEST_SECRET", on_secret, &late, &late.wait, &err),
                     ERROR_SYSTEM);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(closed);
    assert_int_equal(variable.n, 1);
    assert_int_equal(variable.err.code, ERROR_CANCELLED);
    assert_int_equal(file.n, 1);
    assert_int_equal(file.err.code, ERROR_CANCELLED);
    assert_int_equal(forgotten.n + late.n, 0);
}

static void closing_in_a_callback(void **state)
{
    (void)state;
    struct answer first = {.closes = true}, second = {0};
    ask(&first, "env:TEST_SECRET");
    ask(&second, file_reference);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(closed);
    assert_int_equal(first.n, 1);
    assert_int_equal(second.n, 1);
}

int main(void)
{
    int fd = mkstemp(path);
    if (fd < 0)
        return 1;
    close(fd);
    snprintf(file_reference, sizeof file_reference, "file:%s", path);
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(variables_and_files),
        TEST(errors_name_the_reference),
        TEST(what_is_forgotten_is_never_told),
        TEST(forgotten_in_the_callback_before_it),
        TEST(closing_cancels),
        TEST(closing_in_a_callback),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
