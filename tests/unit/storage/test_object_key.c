#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "storage/object/key.h"

static void keys(void **state)
{
    (void)state;
    static const char *const good[] = {"a",   "shop/2025/x.gz", "a b+c", "\xc3\xa0/\xf0\x9f\x92\xbe",
                                       "...", "a..b/..c",       "/a",    "a//b",
                                       "a/",  "a?b#c&d"};
    static const char *const bad[] = {"",     ".",    "..",   "../a", "a/..",  "a/./b", "./a",
                                      "a\nb", "a\tb", "\x7f", "\xff", "a\xc3", "a/../b"};
    struct error err;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (object_key_check(good[i], &err) < 0)
            fail_msg("%s: %s", good[i], err.message);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(object_key_check(bad[i], &err), ERROR_UNSAFE_PATH);
        assert_false(err.retryable);
    }
    assert_int_equal(object_key_check(NULL, &err), ERROR_UNSAFE_PATH);
    char text[1100];
    memset(text, 'x', sizeof text);
    text[1024] = '\0';
    assert_int_equal(object_key_check(text, &err), 0);
    text[1024] = 'x';
    text[1025] = '\0';
    assert_int_equal(object_key_check(text, &err), ERROR_UNSAFE_PATH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(keys)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
