#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "storage/object/customer_key.h"

/* 32 times 'k'; digests by coreutils. */
#define KEY "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="

static void digests_as_stores_want_them(void **state)
{
    (void)state;
    struct object_customer_key key = {0};
    struct error err;
    assert_int_equal(object_customer_key_init(&key, KEY, "MD5", "x", &err), 0);
    assert_string_equal(key.base64, KEY);
    assert_string_equal(key.digest, "mT2HRsMGJ5IX5C+0rreZ8Q==");
    object_customer_key_deinit(&key);
    assert_int_equal(object_customer_key_init(&key, KEY, "SHA256", "x", &err), 0);
    assert_string_equal(key.digest, "XjGPjPnL4kmjCBK4yhMtaR3tepGZFBNVjbV1hXX14B8=");
    object_customer_key_deinit(&key);
    assert_null(key.base64);
    object_customer_key_deinit(&key);
}

static void what_is_no_key(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "", "a2tra2s=", KEY "\n",
        "!2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=", "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tr"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct object_customer_key key = {0};
        struct error err = {0};
        assert_int_equal(object_customer_key_init(&key, cases[i], "MD5", "sse_customer_key_ref", &err),
                         ERROR_INPUT);
        assert_non_null(strstr(err.message, "\"sse_customer_key_ref\" names is not a key"));
        assert_null(strstr(err.message, "a2tra"));
        assert_null(key.base64);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(digests_as_stores_want_them),
                                       cmocka_unit_test(what_is_no_key)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
