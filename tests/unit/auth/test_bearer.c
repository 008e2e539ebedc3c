#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "auth/bearer.h"

static void made_and_hashed(void **state)
{
    char one[BEARER_SIZE], two[BEARER_SIZE], hash[DIGEST_SHA256_SIZE], again[DIGEST_SHA256_SIZE];
    struct error err = {0};
    (void)state;
    assert_int_equal(bearer_make(BEARER_TOKEN_PREFIX, one, &err), 0);
    assert_int_equal(bearer_make("", two, &err), 0);
    assert_int_equal(strlen(one), 46);
    assert_int_equal(strlen(two), 43);
    assert_memory_equal(one, "bm_", 3);
    assert_true(bearer_hash(one, hash));
    assert_true(bearer_hash(one, again));
    assert_string_equal(hash, again);
    assert_true(bearer_hash(two, again));
    assert_string_not_equal(hash, again);
}

static void known_hash(void **state)
{
    char hash[DIGEST_SHA256_SIZE];
    (void)state;
    /* printf bm_aaaa... | sha256sum */
    assert_true(bearer_hash("bm_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", hash));
    assert_string_equal(hash, "3a88939330ddbf05bcdf98d8e9275be1d20ef8aed9c04f5b014d3981cd113cbf");
}

static void what_is_none_of_ours(void **state)
{
    char hash[DIGEST_SHA256_SIZE], text[BEARER_SIZE + 1];
    (void)state;
    memset(text, 'a', sizeof text);
    text[BEARER_SIZE] = '\0';
    assert_false(bearer_hash(text, hash)); /* too long */
    text[42] = '\0';
    assert_false(bearer_hash(text, hash)); /* too short */
    text[42] = '%';
    text[43] = '\0';
    assert_false(bearer_hash(text, hash));
    text[42] = 'a';
    assert_true(bearer_hash(text, hash));
    assert_false(bearer_hash("", hash));
}

static void derived_and_compared(void **state)
{
    char one[DIGEST_SHA256_SIZE], two[DIGEST_SHA256_SIZE];
    struct error err = {0};
    (void)state;
    /* RFC 4231, test case 2 */
    assert_int_equal(bearer_derive("Jefe", "what do ya want for nothing?", one, &err), 0);
    assert_string_equal(one, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    assert_int_equal(bearer_derive("Jeff", "what do ya want for nothing?", two, &err), 0);
    assert_false(bearer_equal(one, two));
    assert_true(bearer_equal(one, one));
    assert_false(bearer_equal(one, ""));
    assert_false(bearer_equal("", one));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made_and_hashed),
        cmocka_unit_test(known_hash),
        cmocka_unit_test(what_is_none_of_ours),
        cmocka_unit_test(derived_and_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
