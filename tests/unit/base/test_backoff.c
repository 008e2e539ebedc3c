#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/backoff.h"

static void window_doubles_up_to_the_cap(void **state)
{
    (void)state;
    static const struct {
        int attempt;
        int64_t window;
    } cases[] = {{1, 1000}, {2, 2000}, {3, 4000}, {4, 8000}, {5, 10000}, {60, 10000}, {0, 1000}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(backoff_ms(cases[i].attempt, 1000, 10000, 0), 1);
        assert_int_equal(backoff_ms(cases[i].attempt, 1000, 10000, (uint64_t)cases[i].window - 1),
                         cases[i].window);
        assert_int_equal(backoff_ms(cases[i].attempt, 1000, 10000, (uint64_t)cases[i].window), 1);
    }
}

static void extreme_settings_stay_positive(void **state)
{
    (void)state;
    assert_int_equal(backoff_ms(1, 0, 0, UINT64_MAX), 1);
    assert_true(backoff_ms(1000, INT64_MAX / 4, INT64_MAX / 2, UINT64_MAX) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(window_doubles_up_to_the_cap),
        cmocka_unit_test(extreme_settings_stay_positive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
