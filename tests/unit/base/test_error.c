#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"

static void set_fills_everything(void **state)
{
    (void)state;
    struct error err = {.code = 7, .retryable = true, .native = "OLD", .message = "old"};
    assert_int_equal(error_set(&err, ERROR_INPUT, false, "no %s\nhere\t", "tabs"), ERROR_INPUT);
    assert_int_equal(err.code, ERROR_INPUT);
    assert_false(err.retryable);
    assert_string_equal(err.native, "");
    assert_string_equal(err.message, "no tabs here");
    assert_int_equal(error_set(NULL, ERROR_LIMIT, true, "x"), ERROR_LIMIT);
}

/* The error being filled may be an argument of its own new text. */
static void message_may_come_from_the_same_error(void **state)
{
    (void)state;
    struct error err;
    error_set(&err, ERROR_IO, true, "disk on fire");
    error_set(&err, ERROR_SOURCE, false, "dump: %s", err.message);
    assert_string_equal(err.message, "dump: disk on fire");
    error_context(&err, "backup %d", 7);
    assert_string_equal(err.message, "backup 7: dump: disk on fire");
    assert_int_equal(err.code, ERROR_SOURCE);
}

static void errno_table(void **state)
{
    (void)state;
    static const struct {
        int errnum, code;
        bool retryable;
        const char *native, *name;
    } cases[] = {
        {ENOENT, ERROR_NOT_FOUND, true, "ENOENT", "not_found"},
        {ENOTDIR, ERROR_NOT_FOUND, true, "ENOTDIR", "not_found"},
        {EACCES, ERROR_DENIED, true, "EACCES", "denied"},
        {EROFS, ERROR_DENIED, true, "EROFS", "denied"},
        {ENOSPC, ERROR_NO_SPACE, true, "ENOSPC", "no_space"},
        {EIO, ERROR_IO, true, "EIO", "io"},
        {ESTALE, ERROR_IO, true, "ESTALE", "io"},
        {EEXIST, ERROR_CONFLICT, false, "EEXIST", "conflict"},
        {EXDEV, ERROR_UNSAFE_PATH, false, "EXDEV", "unsafe_path"},
        {ELOOP, ERROR_UNSAFE_PATH, false, "ELOOP", "unsafe_path"},
        {EDOM, ERROR_SYSTEM, true, "EDOM", "system"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err;
        assert_int_equal(error_errno(&err, cases[i].errnum, "can't open %s", "/x"), cases[i].code);
        assert_int_equal(err.retryable, cases[i].retryable);
        assert_string_equal(err.native, cases[i].native);
        assert_string_equal(error_code_name(err.code), cases[i].name);
        assert_non_null(strstr(err.message, "can't open /x: "));
    }
}

static void long_messages_are_cut(void **state)
{
    (void)state;
    char text[3000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    struct error err;
    error_set(&err, ERROR_INPUT, false, "%s", text);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    error_errno(&err, ENOENT, "%s", text);
    assert_non_null(strstr(err.message, ": No such file"));
    error_context(&err, "%s", text);
    assert_true(strlen(err.message) < sizeof err.message);
}

static void exit_status(void **state)
{
    (void)state;
    assert_int_equal(error_exit_status(&(struct error){.code = ERROR_INPUT}), 2);
    assert_int_equal(error_exit_status(&(struct error){.code = ERROR_UNREACHABLE}), 1);
    assert_string_equal(error_code_name(0), "none");
    assert_string_equal(error_code_name(-999), "system");
    for (int code = ERROR_SYSTEM; code < 0; code++)
        assert_true(strcmp(error_code_name(code), "system") != 0 || code == ERROR_SYSTEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_fills_everything), cmocka_unit_test(message_may_come_from_the_same_error),
        cmocka_unit_test(errno_table),          cmocka_unit_test(long_messages_are_cut),
        cmocka_unit_test(exit_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
