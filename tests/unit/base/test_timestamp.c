#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/timestamp.h"

static void times_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-01-01T00:00:00Z", INT64_C(1767225600000)},
        {"2026-01-01T00:00:00.5Z", INT64_C(1767225600500)},
        {"2026-01-01T00:00:00.123456789Z", INT64_C(1767225600123)},
        {"2026-01-01T01:30:00+01:30", INT64_C(1767225600000)},
        {"2025-12-31T19:00:00-0500", INT64_C(1767225600000)},
        {"2026-01-01 00:00:00Z", INT64_C(1767225600000)},
        {"2024-02-29T00:00:00Z", INT64_C(1709164800000)},
        {"2025-02-29T00:00:00Z", -1},
        {"2026-01-01T00:00:00", -1},
        {"2026-01-01T24:00:00Z", -1},
        {"2026-13-01T00:00:00Z", -1},
        {"2026-00-01T00:00:00Z", -1},
        {"2026-01-01T00:00Z", -1},
        {"2026-01-01T00:00:00Zx", -1},
        {"1970-01-01T00:00:00+01:00", -1},
        {"2026-01-01T00:00:00+24:00", -1},
        {"1767225600", -1},
        {"", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (timestamp_parse(cases[i].text) != cases[i].ms)
            fail_msg("%s: %lld", cases[i].text, (long long)timestamp_parse(cases[i].text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(times_are_read)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
