#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "base/civil.h"

static void known_days(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        struct civil civil;
    } cases[] = {
        {0, {1970, 1, 1, 0, 0, 0, 4}},          {-1, {1969, 12, 31, 23, 59, 59, 3}},
        {951782400, {2000, 2, 29, 0, 0, 0, 2}}, {951868800, {2000, 3, 1, 0, 0, 0, 3}},
        {4107542400, {2100, 3, 1, 0, 0, 0, 1}}, {1762070400, {2025, 11, 2, 8, 0, 0, 0}},
        {-62135596800, {1, 1, 1, 0, 0, 0, 1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct civil got = civil_from_seconds(cases[i].seconds);
        assert_int_equal(got.year, cases[i].civil.year);
        assert_int_equal(got.month, cases[i].civil.month);
        assert_int_equal(got.day, cases[i].civil.day);
        assert_int_equal(got.hour, cases[i].civil.hour);
        assert_int_equal(got.minute, cases[i].civil.minute);
        assert_int_equal(got.second, cases[i].civil.second);
        assert_int_equal(got.weekday, cases[i].civil.weekday);
        assert_int_equal(civil_to_seconds(&cases[i].civil), cases[i].seconds);
    }
}

static void agrees_with_the_c_library(void **state)
{
    (void)state;
    for (int64_t t = -70000000000; t < 250000000000; t += 12345677) {
        time_t seconds = (time_t)t;
        struct tm tm;
        assert_non_null(gmtime_r(&seconds, &tm));
        struct civil got = civil_from_seconds(t);
        assert_int_equal(got.year, tm.tm_year + 1900);
        assert_int_equal(got.month, tm.tm_mon + 1);
        assert_int_equal(got.day, tm.tm_mday);
        assert_int_equal(got.hour * 3600 + got.minute * 60 + got.second,
                         tm.tm_hour * 3600 + tm.tm_min * 60 + tm.tm_sec);
        assert_int_equal(got.weekday, tm.tm_wday);
        assert_int_equal(civil_to_seconds(&got), t);
    }
}

static void months_have_their_length(void **state)
{
    (void)state;
    assert_int_equal(civil_month_days(2025, 2), 28);
    assert_int_equal(civil_month_days(2024, 2), 29);
    assert_int_equal(civil_month_days(2000, 2), 29);
    assert_int_equal(civil_month_days(2100, 2), 28);
    assert_int_equal(civil_month_days(2025, 4), 30);
    assert_int_equal(civil_month_days(2025, 12), 31);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_days),
        cmocka_unit_test(agrees_with_the_c_library),
        cmocka_unit_test(months_have_their_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
