#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/civil.h"
#include "store/schedule.h"

static int64_t at(const char *text)
{
    struct civil c = {0};
    int year;
    if (text == NULL)
        return 0;
    assert_int_equal(
        sscanf(text, "%d-%d-%d %d:%d:%d", &year, &c.month, &c.day, &c.hour, &c.minute, &c.second), 6);
    c.year = year;
    return civil_to_seconds(&c);
}

static void plans(void **state)
{
    (void)state;
    static const struct {
        const char *name, *cron;
        enum schedule_misfire misfire;
        int cap;
        const char *next_run_at, *now;
        const char *fires[4];
        const char *next;
    } cases[] = {
        {"new", "0 8 * * *", SCHEDULE_ALL, 4, NULL, "2025-11-02 12:00:00", {NULL}, "2025-11-03 08:00:00"},
        {"not due",
         "0 8 * * *",
         SCHEDULE_ONCE,
         4,
         "2025-11-03 08:00:00",
         "2025-11-03 07:59:59",
         {NULL},
         "2025-11-03 08:00:00"},
        {"due to the second",
         "0 8 * * *",
         SCHEDULE_ONCE,
         4,
         "2025-11-03 08:00:00",
         "2025-11-03 08:00:00",
         {"2025-11-03 08:00:00"},
         "2025-11-04 08:00:00"},
        {"changed to an earlier time",
         "0 8 * * *",
         SCHEDULE_ONCE,
         4,
         "2025-12-01 00:00:00",
         "2025-11-02 12:00:00",
         {NULL},
         "2025-11-03 08:00:00"},
        {"someone wants it earlier",
         "0 8 * * *",
         SCHEDULE_ONCE,
         4,
         "2025-11-02 12:30:00",
         "2025-11-02 12:00:00",
         {NULL},
         "2025-11-02 12:30:00"},
        {"someone wanted it now",
         "0 8 * * *",
         SCHEDULE_SKIP,
         4,
         "2025-11-02 12:29:01",
         "2025-11-02 12:30:00",
         {"2025-11-02 12:29:01"},
         "2025-11-03 08:00:00"},
        {"missed, once",
         "0 * * * *",
         SCHEDULE_ONCE,
         4,
         "2025-11-02 08:00:00",
         "2025-11-02 12:30:00",
         {"2025-11-02 12:00:00"},
         "2025-11-02 13:00:00"},
        {"missed, all",
         "0 * * * *",
         SCHEDULE_ALL,
         4,
         "2025-11-02 10:00:00",
         "2025-11-02 12:30:00",
         {"2025-11-02 10:00:00", "2025-11-02 11:00:00", "2025-11-02 12:00:00"},
         "2025-11-02 13:00:00"},
        {"missed, all, capped",
         "0 * * * *",
         SCHEDULE_ALL,
         2,
         "2025-11-02 01:00:00",
         "2025-11-02 12:30:00",
         {"2025-11-02 11:00:00", "2025-11-02 12:00:00"},
         "2025-11-02 13:00:00"},
        {"missed, all, cap of 1",
         "0 * * * *",
         SCHEDULE_ALL,
         1,
         "2025-11-02 01:00:00",
         "2025-11-02 12:30:00",
         {"2025-11-02 12:00:00"},
         "2025-11-02 13:00:00"},
        {"missed, skip",
         "0 * * * *",
         SCHEDULE_SKIP,
         4,
         "2025-11-02 10:00:00",
         "2025-11-02 12:30:00",
         {NULL},
         "2025-11-02 13:00:00"},
        {"a little late, skip",
         "0 * * * *",
         SCHEDULE_SKIP,
         4,
         "2025-11-02 10:00:00",
         "2025-11-02 12:05:00",
         {"2025-11-02 12:00:00"},
         "2025-11-02 13:00:00"},
        {"a second too late, skip",
         "0 * * * *",
         SCHEDULE_SKIP,
         4,
         "2025-11-02 12:00:00",
         "2025-11-02 12:05:01",
         {NULL},
         "2025-11-02 13:00:00"},
        {"years of minutes, once",
         "* * * * *",
         SCHEDULE_ONCE,
         4,
         "1970-01-01 00:00:01",
         "2025-11-02 12:30:59",
         {"2025-11-02 12:30:00"},
         "2025-11-02 12:31:00"},
        {"years of minutes, all",
         "* * * * *",
         SCHEDULE_ALL,
         3,
         "1970-01-01 00:00:01",
         "2025-11-02 12:30:59",
         {"2025-11-02 12:28:00", "2025-11-02 12:29:00", "2025-11-02 12:30:00"},
         "2025-11-02 12:31:00"},
        {"rare, all",
         "0 0 29 2 *",
         SCHEDULE_ALL,
         4,
         "2015-01-01 00:00:00",
         "2025-11-02 12:30:00",
         {"2016-02-29 00:00:00", "2020-02-29 00:00:00", "2024-02-29 00:00:00"},
         "2028-02-29 00:00:00"},
        {"off the rule, all",
         "0 * * * *",
         SCHEDULE_ALL,
         4,
         "2025-11-02 09:30:00",
         "2025-11-02 11:30:00",
         {"2025-11-02 10:00:00", "2025-11-02 11:00:00"},
         "2025-11-02 12:00:00"},
        {"rare, once, due long ago",
         "0 0 29 2 *",
         SCHEDULE_ONCE,
         4,
         "2024-02-29 00:00:00",
         "2025-11-02 12:30:00",
         {"2024-02-29 00:00:00"},
         "2028-02-29 00:00:00"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct schedule_rule rule;
        struct error err = {0};
        if (schedule_rule_load("cron", cases[i].cron, NULL, "UTC", &rule, NULL, &err))
            fail_msg("%s", err.message);
        struct schedule_policy policy = {cases[i].misfire, 300, cases[i].cap};
        int64_t fires[4], next = 0;
        int n = schedule_plan(&rule, &policy, at(cases[i].next_run_at), at(cases[i].now), fires, &next);
        int expected = 0;
        while (expected < 4 && cases[i].fires[expected])
            expected++;
        if (n != expected)
            fail_msg("%s: %d runs", cases[i].name, n);
        for (int f = 0; f < n; f++)
            if (fires[f] != at(cases[i].fires[f]))
                fail_msg("%s: run %d", cases[i].name, f);
        if (next != at(cases[i].next))
            fail_msg("%s: next", cases[i].name);
        schedule_rule_deinit(&rule);
    }
}

static void intervals_follow_the_zone(void **state)
{
    (void)state;
    static const struct {
        const char *interval, *zone, *after, *next;
    } cases[] = {
        {"hourly", "Asia/Kolkata", "2025-11-02 12:00:00", "2025-11-02 12:30:00"},
        {"daily", "Europe/Rome", "2025-07-01 12:00:00", "2025-07-01 22:00:00"},
        {"weekly", "Europe/Rome", "2025-10-25 12:00:00", "2025-10-25 22:00:00"},
        {"monthly", "America/New_York", "2025-11-15 00:00:00", "2025-12-01 05:00:00"},
        {"daily", NULL, "2025-07-01 12:00:00", "2025-07-02 00:00:00"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct schedule_rule rule;
        assert_int_equal(
            schedule_rule_load("interval", NULL, cases[i].interval, cases[i].zone, &rule, NULL, NULL), 0);
        assert_int_equal(schedule_rule_next(&rule, at(cases[i].after)), at(cases[i].next));
        schedule_rule_deinit(&rule);
    }
}

static void manual_never_fires(void **state)
{
    (void)state;
    struct schedule_rule rule;
    assert_int_equal(schedule_rule_load("manual", NULL, NULL, NULL, &rule, NULL, NULL), 0);
    int64_t fires[1], next = 7;
    struct schedule_policy policy = {SCHEDULE_ALL, 300, 1};
    assert_int_equal(schedule_plan(&rule, &policy, 5, 10, fires, &next), 0);
    assert_int_equal(next, 0);
    schedule_rule_deinit(&rule);
}

static void bad_rows_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *type, *cron, *interval, *zone, *word;
    } cases[] = {
        {"cron", "99 * * * *", NULL, "UTC", "minute '99'"},
        {"cron", NULL, NULL, "UTC", "needs a cron expression"},
        {"cron", "@daily", NULL, "Mars/Base", "'Mars/Base'"},
        {"interval", NULL, "fortnightly", "UTC", "'fortnightly'"},
        {"interval", NULL, NULL, "UTC", "hourly, daily"},
        {"sometimes", NULL, NULL, "UTC", "'sometimes'"},
        {NULL, NULL, NULL, "UTC", "cron, interval or manual"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct schedule_rule rule;
        struct error err = {0};
        assert_int_equal(schedule_rule_load(cases[i].type, cases[i].cron, cases[i].interval, cases[i].zone,
                                            &rule, NULL, &err),
                         ERROR_INPUT);
        if (!strstr(err.message, cases[i].word))
            fail_msg("%s", err.message);
    }
    enum schedule_misfire misfire;
    assert_int_equal(schedule_misfire_parse("all", &misfire, NULL), 0);
    assert_int_equal(misfire, SCHEDULE_ALL);
    assert_int_equal(schedule_misfire_parse("never", &misfire, NULL), ERROR_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans),
        cmocka_unit_test(intervals_follow_the_zone),
        cmocka_unit_test(manual_never_fires),
        cmocka_unit_test(bad_rows_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
