#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "storage/object/learned.h"

static void words_per_container_clocks_per_endpoint(void **state)
{
    (void)state;
    static const char one[] = "https://one", two[] = "https://two";
    object_learned_forget();
    assert_null(object_learned_word(one, "a"));
    assert_int_equal(object_learned_clock_ms(one), 0);
    object_learn_word(one, "a", "eu-west-1");
    object_learn_clock_ms(one, -5000);
    assert_string_equal(object_learned_word(one, "a"), "eu-west-1");
    assert_null(object_learned_word(one, "b"));
    assert_null(object_learned_word(two, "a"));
    assert_int_equal(object_learned_clock_ms(one), -5000);
    assert_int_equal(object_learned_clock_ms(two), 0);
    object_learn_word(one, "a", "eu-west-2");
    object_learn_clock_ms(one, 7);
    assert_string_equal(object_learned_word(one, "a"), "eu-west-2");
    assert_int_equal(object_learned_clock_ms(one), 7);
}

static void the_oldest_makes_room(void **state)
{
    (void)state;
    char bucket[64];
    object_learned_forget();
    for (int i = 0; i < 1000; i++) {
        snprintf(bucket, sizeof bucket, "bucket-%d", i);
        object_learn_word("https://one", bucket, "eu-west-1");
        assert_string_equal(object_learned_word("https://one", bucket), "eu-west-1");
    }
    int known = 0;
    for (int i = 0; i < 1000; i++) {
        snprintf(bucket, sizeof bucket, "bucket-%d", i);
        const char *word = object_learned_word("https://one", bucket);
        assert_true((word != NULL) == (i >= 1000 - 256));
        known += word != NULL;
    }
    assert_int_equal(known, 256);

    char endpoint[1000];
    memset(endpoint, 'x', sizeof endpoint - 1);
    endpoint[sizeof endpoint - 1] = '\0';
    object_learn_word(endpoint, bucket, "eu-west-1");
    object_learn_clock_ms(endpoint, 5);
    assert_null(object_learned_word(endpoint, bucket));
    assert_int_equal(object_learned_clock_ms(endpoint), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_per_container_clocks_per_endpoint),
        cmocka_unit_test(the_oldest_makes_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
