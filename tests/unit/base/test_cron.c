#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/civil.h"
#include "base/clock.h"
#include "base/cron.h"

static int64_t at(const char *text)
{
    struct civil c = {0};
    int year;
    assert_int_equal(sscanf(text, "%d-%d-%d %d:%d", &year, &c.month, &c.day, &c.hour, &c.minute), 5);
    c.year = year;
    return civil_to_seconds(&c);
}

/* The runs after `after` must be exactly these, all in UTC; as many as are given. */
struct run_case {
    const char *expression, *zone, *after;
    const char *runs[5];
};

static void check(const struct run_case *c)
{
    struct cron cron;
    struct error err = {0};
    struct time_zone *zone = NULL;
    if (cron_parse(c->expression, &cron, &err) || timezone_load(c->zone, &zone, &err))
        fail_msg("%s", err.message);
    int64_t t = at(c->after);
    for (int i = 0; i < 5 && c->runs[i]; i++) {
        t = cron_next(&cron, zone, t);
        if (t != at(c->runs[i])) {
            char got[CLOCK_ISO8601_SIZE];
            clock_iso8601(t * 1000, got);
            fail_msg("%s in %s, run %d after %s: %s instead of %s", c->expression, c->zone, i + 1, c->after,
                     got, c->runs[i]);
        }
    }
    timezone_free(zone);
}

static void fields(void **state)
{
    (void)state;
    static const struct run_case cases[] = {
        {"* * * * *", "UTC", "2025-01-01 00:00", {"2025-01-01 00:01", "2025-01-01 00:02"}},
        {"*/20 * * * *",
         "UTC",
         "2025-01-01 00:00",
         {"2025-01-01 00:20", "2025-01-01 00:40", "2025-01-01 01:00"}},
        {"10-59/15 4 * * *",
         "UTC",
         "2025-01-01 00:00",
         {"2025-01-01 04:10", "2025-01-01 04:25", "2025-01-01 04:40", "2025-01-01 04:55",
          "2025-01-02 04:10"}},
        {"0,30 1,13 * * *",
         "UTC",
         "2025-01-01 00:30",
         {"2025-01-01 01:00", "2025-01-01 01:30", "2025-01-01 13:00", "2025-01-01 13:30",
          "2025-01-02 01:00"}},
        {"0 0 31 * *",
         "UTC",
         "2025-01-31 00:00",
         {"2025-03-31 00:00", "2025-05-31 00:00", "2025-07-31 00:00"}},
        {"0 0 29 2 *", "UTC", "2025-01-01 00:00", {"2028-02-29 00:00", "2032-02-29 00:00"}},
        {"0 0 29 feb *", "UTC", "2096-03-01 00:00", {"2104-02-29 00:00"}}, /* 2100 has none */
        {"0 12 * jan,JUL Mon-Fri", "UTC", "2025-01-30 12:00", {"2025-01-31 12:00", "2025-07-01 12:00"}},
        {"0 0 * * 0", "UTC", "2025-11-01 00:00", {"2025-11-02 00:00", "2025-11-09 00:00"}},
        {"0 0 * * 7", "UTC", "2025-11-01 00:00", {"2025-11-02 00:00", "2025-11-09 00:00"}},
        {"0 0 * * fri-sun",
         "UTC",
         "2025-11-03 00:00",
         {"2025-11-07 00:00", "2025-11-08 00:00", "2025-11-09 00:00"}},
        {"0 0 * * 5-7",
         "UTC",
         "2025-11-03 00:00",
         {"2025-11-07 00:00", "2025-11-08 00:00", "2025-11-09 00:00"}},
        {"0 0 * * */3",
         "UTC",
         "2025-11-01 00:00",
         {"2025-11-02 00:00", "2025-11-05 00:00", "2025-11-08 00:00"}},
        /* both day fields: either */
        {"0 0 13 * 5",
         "UTC",
         "2025-06-06 00:00",
         {"2025-06-13 00:00", "2025-06-20 00:00", "2025-06-27 00:00", "2025-07-04 00:00",
          "2025-07-11 00:00"}},
        {"0 0 1,15 * sun",
         "UTC",
         "2025-11-01 00:00",
         {"2025-11-02 00:00", "2025-11-09 00:00", "2025-11-15 00:00", "2025-11-16 00:00"}},
        /* one of them begins with '*': both */
        {"0 0 */10 * mon",
         "UTC",
         "2025-11-01 00:00",
         {"2025-12-01 00:00", "2026-05-11 00:00", "2026-06-01 00:00"}},
        {"0 0 30 2 1",
         "UTC",
         "2025-02-01 00:00",
         {"2025-02-03 00:00", "2025-02-10 00:00"}}, /* by its Mondays */
        {"@yearly", "UTC", "2025-01-01 00:00", {"2026-01-01 00:00"}},
        {"@annually", "UTC", "2025-06-01 00:00", {"2026-01-01 00:00"}},
        {"@monthly", "UTC", "2025-01-01 00:00", {"2025-02-01 00:00", "2025-03-01 00:00"}},
        {"@weekly", "UTC", "2025-11-02 00:00", {"2025-11-09 00:00"}},
        {"@daily", "Asia/Kolkata", "2025-01-01 00:00", {"2025-01-01 18:30", "2025-01-02 18:30"}},
        {"@midnight", "UTC", "2025-01-01 00:00", {"2025-01-02 00:00"}},
        {"@hourly", "Asia/Kolkata", "2025-01-01 00:00", {"2025-01-01 00:30", "2025-01-01 01:30"}},
        {"  0\t8 * *  * ", "UTC", "2025-01-01 00:00", {"2025-01-01 08:00"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check(&cases[i]);
}

static void clock_changes(void **state)
{
    (void)state;
    static const struct run_case cases[] = {
        /* fixed time, skipped: right after the gap, once */
        {"30 2 * * *",
         "Europe/Rome",
         "2025-03-29 00:00",
         {"2025-03-29 01:30", "2025-03-30 01:00", "2025-03-31 00:30"}},
        {"0,15,30 2 * * *", "Europe/Rome", "2025-03-29 02:00", {"2025-03-30 01:00", "2025-03-31 00:00"}},
        {"0 2,3 * * *", "Europe/Rome", "2025-03-29 03:00", {"2025-03-30 01:00", "2025-03-31 00:00"}},
        {"30 2 * * *", "America/New_York", "2025-03-08 12:00", {"2025-03-09 07:00", "2025-03-10 06:30"}},
        {"15 2 * * *", "Australia/Lord_Howe", "2025-10-04 00:00", {"2025-10-04 15:30", "2025-10-05 15:15"}},
        {"0 0 * * *", "America/Sao_Paulo", "2018-11-03 04:00", {"2018-11-04 03:00", "2018-11-05 02:00"}},
        {"0 12 30 12 *", "Pacific/Apia", "2011-12-01 00:00", {"2011-12-30 10:00", "2012-12-29 22:00"}},
        {"30 2 * * *", "Europe/Rome", "2057-03-24 12:00", {"2057-03-25 01:00", "2057-03-26 00:30"}},
        /* fixed time, repeated: the first pass only */
        {"30 2 * * *", "Europe/Rome", "2025-10-25 12:00", {"2025-10-26 00:30", "2025-10-27 01:30"}},
        {"0,30 2 * * *",
         "Europe/Rome",
         "2025-10-25 12:00",
         {"2025-10-26 00:00", "2025-10-26 00:30", "2025-10-27 01:00"}},
        {"30 2 * * *",
         "Europe/Rome",
         "2025-10-26 01:00",
         {"2025-10-27 01:30"}}, /* asked between the passes */
        {"30 1 * * *", "America/New_York", "2025-11-01 12:00", {"2025-11-02 05:30", "2025-11-03 06:30"}},
        {"45 1 * * *", "Australia/Lord_Howe", "2025-04-05 12:00", {"2025-04-05 14:45", "2025-04-06 15:15"}},
        {"30 2 * * *", "Africa/Casablanca", "2025-02-22 12:00", {"2025-02-23 01:30", "2025-02-24 02:30"}},
        {"30 23 * * *", "America/Sao_Paulo", "2018-02-17 12:00", {"2018-02-18 01:30", "2018-02-19 02:30"}},
        /* wildcards: real time */
        {"@hourly",
         "Europe/Rome",
         "2025-03-29 23:00",
         {"2025-03-30 00:00", "2025-03-30 01:00", "2025-03-30 02:00"}},
        {"@hourly",
         "Europe/Rome",
         "2025-10-25 23:00",
         {"2025-10-26 00:00", "2025-10-26 01:00", "2025-10-26 02:00", "2025-10-26 03:00"}},
        {"*/30 2 * * *", "Europe/Rome", "2025-03-29 12:00", {"2025-03-31 00:00"}}, /* no 2 o'clock that day */
        {"*/30 2 * * *",
         "Europe/Rome",
         "2025-10-25 12:00",
         {"2025-10-26 00:00", "2025-10-26 00:30", "2025-10-26 01:00", "2025-10-26 01:30",
          "2025-10-27 01:00"}},
        {"10 * * * *",
         "Australia/Lord_Howe",
         "2025-10-04 14:00",
         {"2025-10-04 14:40", "2025-10-04 16:10", "2025-10-04 17:10"}}, /* 2:10 is skipped */
        {"*/15 * * * *", "Australia/Lord_Howe", "2025-04-05 14:45", {"2025-04-05 15:00", "2025-04-05 15:15"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check(&cases[i]);
}

/* Asking from any instant gives the run that stepping from run to run gives. */
static void next_depends_on_nothing_but_the_instant(void **state)
{
    (void)state;
    static const char *const expressions[] = {"30 2 * * *", "*/30 2 * * *", "@hourly", "0,45 1,2 * * sun"};
    static const char *const zones[] = {"Europe/Rome", "Australia/Lord_Howe", "Africa/Casablanca"};
    for (size_t e = 0; e < sizeof expressions / sizeof *expressions; e++) {
        for (size_t z = 0; z < sizeof zones / sizeof *zones; z++) {
            struct cron cron;
            struct time_zone *zone;
            assert_int_equal(cron_parse(expressions[e], &cron, NULL), 0);
            assert_int_equal(timezone_load(zones[z], &zone, NULL), 0);
            int64_t t = at("2025-01-01 00:00"), end = at("2026-01-01 00:00");
            int64_t run = cron_next(&cron, zone, t);
            for (; t < end; t += 421) {
                if (run <= t)
                    run = cron_next(&cron, zone, run);
                while (run <= t)
                    run = cron_next(&cron, zone, run);
                assert_int_equal(cron_next(&cron, zone, t), run);
            }
            timezone_free(zone);
        }
    }
}

static void nonsense_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *expression;
        const char *words[3];
    } cases[] = {
        {"", {"0 fields", "5"}},
        {"* * * *", {"4 fields"}},
        {"* * * * * *", {"6 fields"}},
        {"60 * * * *", {"minute", "'60'", "0-59"}},
        {"-1 * * * *", {"minute", "'-1'"}},
        {"* 24 * * *", {"hour", "'24'", "0-23"}},
        {"* * 0 * *", {"day of month", "'0'", "1-31"}},
        {"* * 32 * *", {"day of month", "'32'"}},
        {"* * * 13 *", {"month", "'13'", "jan-dec"}},
        {"* * * foo *", {"month", "'foo'"}},
        {"* * * * 8", {"day of week", "'8'", "sun-sat"}},
        {"* * * * monday", {"day of week", "'monday'"}},
        {"mon * * * *", {"minute", "'mon'"}},
        {"5-1 * * * *", {"minute", "'5-1'", "backwards"}},
        {"*/0 * * * *", {"minute", "'*/0'", "step"}},
        {"*/x * * * *", {"minute", "'*/x'", "step"}},
        {"*/99999999999 * * * *", {"minute", "step"}},
        {"5/10 * * * *", {"minute", "'5/10'", "range"}},
        {"1,,2 * * * *", {"minute", "empty"}},
        {"1, * * * *", {"minute", "empty"}},
        {"1-2-3 * * * *", {"minute", "'1-2-3'"}},
        {"* * L * *", {"day of month", "'L'"}},
        {"* * ? * *", {"day of month", "'?'"}},
        {"1e2 * * * *", {"minute", "'1e2'"}},
        {"99999999999999999999 * * * *", {"minute"}},
        {"@reboot", {"@reboot", "@daily"}},
        {"@daily 5", {"2 fields"}},
        {"0 0 30 2 *", {"never"}},
        {"0 0 31 2,4,6,9,11 *", {"never"}},
        {"0 0 31 feb */2", {"never"}},
        {"0 8 * * *\n", {"day of week"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cron cron;
        struct error err = {0};
        if (cron_parse(cases[i].expression, &cron, &err) != ERROR_INPUT)
            fail_msg("accepted: '%s'", cases[i].expression);
        for (int w = 0; w < 3 && cases[i].words[w]; w++)
            if (!strstr(err.message, cases[i].words[w]))
                fail_msg("'%s': \"%s\" does not say %s", cases[i].expression, err.message, cases[i].words[w]);
    }
    char longest[2000];
    memset(longest, '1', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(cron_parse(longest, &(struct cron){0}, &(struct error){0}), ERROR_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields),
        cmocka_unit_test(clock_changes),
        cmocka_unit_test(next_depends_on_nothing_but_the_instant),
        cmocka_unit_test(nonsense_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
