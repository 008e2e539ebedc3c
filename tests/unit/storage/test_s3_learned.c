#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "storage/s3/learned.h"

static void regions_per_bucket_clocks_per_endpoint(void **state)
{
    (void)state;
    const struct s3_config a = {.endpoint = "https://one", .bucket = "a"};
    const struct s3_config b = {.endpoint = "https://one", .bucket = "b"};
    const struct s3_config c = {.endpoint = "https://two", .bucket = "a"};
    s3_learned_forget();
    assert_null(s3_learned_region(&a));
    assert_int_equal(s3_learned_clock_ms(&a), 0);
    s3_learn_region(&a, "eu-west-1");
    s3_learn_clock_ms(&a, -5000);
    assert_string_equal(s3_learned_region(&a), "eu-west-1");
    assert_null(s3_learned_region(&b));
    assert_null(s3_learned_region(&c));
    assert_int_equal(s3_learned_clock_ms(&b), -5000);
    assert_int_equal(s3_learned_clock_ms(&c), 0);
    s3_learn_region(&a, "eu-west-2");
    s3_learn_clock_ms(&b, 7);
    assert_string_equal(s3_learned_region(&a), "eu-west-2");
    assert_int_equal(s3_learned_clock_ms(&a), 7);
}

static void the_oldest_makes_room(void **state)
{
    (void)state;
    char bucket[64];
    struct s3_config config = {.endpoint = "https://one", .bucket = bucket};
    s3_learned_forget();
    for (int i = 0; i < 1000; i++) {
        snprintf(bucket, sizeof bucket, "bucket-%d", i);
        s3_learn_region(&config, "eu-west-1");
        assert_string_equal(s3_learned_region(&config), "eu-west-1");
    }
    int known = 0;
    for (int i = 0; i < 1000; i++) {
        snprintf(bucket, sizeof bucket, "bucket-%d", i);
        const char *region = s3_learned_region(&config);
        assert_true((region != NULL) == (i >= 1000 - 256));
        known += region != NULL;
    }
    assert_int_equal(known, 256);

    char endpoint[1000];
    memset(endpoint, 'x', sizeof endpoint - 1);
    endpoint[sizeof endpoint - 1] = '\0';
    config.endpoint = endpoint;
    s3_learn_region(&config, "eu-west-1");
    s3_learn_clock_ms(&config, 5);
    assert_null(s3_learned_region(&config));
    assert_int_equal(s3_learned_clock_ms(&config), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regions_per_bucket_clocks_per_endpoint),
        cmocka_unit_test(the_oldest_makes_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
