#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/civil.h"
#include "base/timezone.h"

static struct time_zone *zone(const char *name)
{
    struct time_zone *z = NULL;
    struct error err = {0};
    if (timezone_load(name, &z, &err) != 0)
        fail_msg("%s", err.message);
    return z;
}

static int64_t at(const char *text)
{
    struct civil c = {0};
    int year;
    assert_int_equal(
        sscanf(text, "%d-%d-%d %d:%d:%d", &year, &c.month, &c.day, &c.hour, &c.minute, &c.second), 6);
    c.year = year;
    return civil_to_seconds(&c);
}

static void utc_to_local(void **state)
{
    (void)state;
    static const struct {
        const char *zone, *utc, *local;
    } cases[] = {
        {"UTC", "2025-07-01 12:00:00", "2025-07-01 12:00:00"},
        {"Etc/UTC", "2025-07-01 12:00:00", "2025-07-01 12:00:00"},
        {"Europe/Rome", "2025-03-30 00:59:59", "2025-03-30 01:59:59"},
        {"Europe/Rome", "2025-03-30 01:00:00", "2025-03-30 03:00:00"},
        {"Europe/Rome", "2025-10-26 00:59:59", "2025-10-26 02:59:59"},
        {"Europe/Rome", "2025-10-26 01:00:00", "2025-10-26 02:00:00"},
        {"Europe/Rome", "2058-03-31 01:00:00", "2058-03-31 03:00:00"}, /* past the table: by the rule */
        {"Europe/Rome", "2058-03-31 00:59:59", "2058-03-31 01:59:59"},
        {"America/New_York", "2025-03-09 06:59:59", "2025-03-09 01:59:59"},
        {"America/New_York", "2025-03-09 07:00:00", "2025-03-09 03:00:00"},
        {"Australia/Lord_Howe", "2025-10-04 15:29:59", "2025-10-05 01:59:59"}, /* half an hour */
        {"Australia/Lord_Howe", "2025-10-04 15:30:00", "2025-10-05 02:30:00"},
        {"Asia/Kolkata", "2025-01-01 00:00:00", "2025-01-01 05:30:00"},
        {"America/Sao_Paulo", "2018-11-04 02:59:59", "2018-11-03 23:59:59"}, /* midnight is skipped */
        {"America/Sao_Paulo", "2018-11-04 03:00:00", "2018-11-04 01:00:00"},
        {"America/Sao_Paulo", "2025-11-04 03:00:00", "2025-11-04 00:00:00"}, /* no more since 2019 */
        {"Africa/Casablanca", "2025-02-23 01:59:59", "2025-02-23 02:59:59"}, /* back for Ramadan */
        {"Africa/Casablanca", "2025-02-23 02:00:00", "2025-02-23 02:00:00"},
        {"Europe/Dublin", "2050-07-01 12:00:00", "2050-07-01 13:00:00"}, /* winter time is its "DST" */
        {"Europe/Dublin", "2050-01-01 12:00:00", "2050-01-01 12:00:00"},
        {"America/Nuuk", "2050-03-27 00:59:59", "2050-03-26 22:59:59"}, /* rule at -1 o'clock */
        {"America/Nuuk", "2050-03-27 01:00:00", "2050-03-27 00:00:00"},
        {"Pacific/Apia", "2011-12-30 09:59:59", "2011-12-29 23:59:59"}, /* a day is skipped */
        {"Pacific/Apia", "2011-12-30 10:00:00", "2011-12-31 00:00:00"},
        {"Europe/Rome", "1860-01-01 00:00:00", "1860-01-01 00:49:56"}, /* before the first transition */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct time_zone *z = zone(cases[i].zone);
        if (timezone_local(z, at(cases[i].utc)) != at(cases[i].local))
            fail_msg("%s at %s", cases[i].zone, cases[i].utc);
        timezone_free(z);
    }
}

static void local_to_utc(void **state)
{
    (void)state;
    static const struct {
        const char *zone, *local;
        enum timezone_kind kind;
        const char *first, *last;
    } cases[] = {
        {"UTC", "2025-03-30 02:30:00", TIMEZONE_ONCE, "2025-03-30 02:30:00", "2025-03-30 02:30:00"},
        {"Europe/Rome", "2025-03-30 01:59:59", TIMEZONE_ONCE, "2025-03-30 00:59:59", "2025-03-30 00:59:59"},
        {"Europe/Rome", "2025-03-30 02:00:00", TIMEZONE_SKIPPED, "2025-03-30 01:00:00",
         "2025-03-30 01:00:00"},
        {"Europe/Rome", "2025-03-30 02:59:59", TIMEZONE_SKIPPED, "2025-03-30 01:00:00",
         "2025-03-30 01:00:00"},
        {"Europe/Rome", "2025-03-30 03:00:00", TIMEZONE_ONCE, "2025-03-30 01:00:00", "2025-03-30 01:00:00"},
        {"Europe/Rome", "2025-10-26 01:59:59", TIMEZONE_ONCE, "2025-10-25 23:59:59", "2025-10-25 23:59:59"},
        {"Europe/Rome", "2025-10-26 02:00:00", TIMEZONE_REPEATED, "2025-10-26 00:00:00",
         "2025-10-26 01:00:00"},
        {"Europe/Rome", "2025-10-26 02:59:59", TIMEZONE_REPEATED, "2025-10-26 00:59:59",
         "2025-10-26 01:59:59"},
        {"Europe/Rome", "2025-10-26 03:00:00", TIMEZONE_ONCE, "2025-10-26 02:00:00", "2025-10-26 02:00:00"},
        {"Europe/Rome", "2059-10-26 02:30:00", TIMEZONE_REPEATED, "2059-10-26 00:30:00",
         "2059-10-26 01:30:00"},
        {"America/New_York", "2025-03-09 02:30:00", TIMEZONE_SKIPPED, "2025-03-09 07:00:00",
         "2025-03-09 07:00:00"},
        {"America/New_York", "2025-11-02 01:30:00", TIMEZONE_REPEATED, "2025-11-02 05:30:00",
         "2025-11-02 06:30:00"},
        {"Australia/Lord_Howe", "2025-10-05 02:15:00", TIMEZONE_SKIPPED, "2025-10-04 15:30:00",
         "2025-10-04 15:30:00"},
        {"Australia/Lord_Howe", "2025-04-06 01:45:00", TIMEZONE_REPEATED, "2025-04-05 14:45:00",
         "2025-04-05 15:15:00"},
        {"America/Sao_Paulo", "2018-11-04 00:00:00", TIMEZONE_SKIPPED, "2018-11-04 03:00:00",
         "2018-11-04 03:00:00"},
        {"Pacific/Apia", "2011-12-30 02:00:00", TIMEZONE_SKIPPED, "2011-12-30 10:00:00",
         "2011-12-30 10:00:00"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct time_zone *z = zone(cases[i].zone);
        struct timezone_instant got = timezone_utc(z, at(cases[i].local));
        if (got.kind != cases[i].kind || got.first != at(cases[i].first) || got.last != at(cases[i].last))
            fail_msg("%s at %s: kind %d, %lld", cases[i].zone, cases[i].local, (int)got.kind,
                     (long long)got.first);
        timezone_free(z);
    }
}

/* Every span begins where the one before ends, and local times lead back. */
static void conversions_are_inverse(void **state)
{
    (void)state;
    static const char *const names[] = {"Europe/Rome",          "America/New_York", "Australia/Lord_Howe",
                                        "Africa/Casablanca",    "Europe/Dublin",    "America/Nuuk",
                                        "America/Scoresbysund", "Asia/Gaza",        "Antarctica/Troll"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct time_zone *z = zone(names[i]);
        int64_t end = at("2100-01-01 00:00:00");
        for (int64_t t = 0; t < end;) {
            struct timezone_span span = timezone_span(z, t);
            assert_true(span.start <= t && t < span.end);
            assert_true(t == 0 || span.start == t);
            for (int64_t u = t; u < span.end && u < t + 3 * 86400; u += 1799) {
                struct timezone_instant back = timezone_utc(z, u + span.offset);
                assert_true(back.kind != TIMEZONE_SKIPPED && (back.first == u || back.last == u));
            }
            t = span.end;
        }
        timezone_free(z);
    }
}

static void bad_names_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"",
                                        "Europe/Roma",
                                        "../../etc/passwd",
                                        "/etc/localtime",
                                        "Europe",
                                        "Europe/../Europe/Rome",
                                        "Europe//Rome",
                                        "Europe/Rome/",
                                        "Europe/Rome ",
                                        "zone.tab",
                                        "CEST",
                                        "europe/rome",
                                        "Europe\nRome"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct time_zone *z = NULL;
        struct error err = {0};
        assert_int_equal(timezone_load(names[i], &z, &err), ERROR_INPUT);
        assert_null(z);
        assert_non_null(strstr(err.message, "time zone '"));
        assert_non_null(strstr(err.message, "Europe/Rome, America/New_York"));
        assert_false(err.retryable);
    }
    char longest[400];
    memset(longest, 'A', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    struct time_zone *z = NULL;
    struct error err = {0};
    assert_int_equal(timezone_load(longest, &z, &err), ERROR_INPUT);
}

/* Cut at every length, and with every byte changed: refused or read, never past the end (the sanitizers
 * look). */
static void damaged_files_are_harmless(void **state)
{
    (void)state;
    static unsigned char data[8192];
    FILE *f = fopen("/usr/share/zoneinfo/Australia/Lord_Howe", "rb");
    assert_non_null(f);
    size_t n = fread(data, 1, sizeof data, f);
    fclose(f);
    assert_true(n > 100 && n < sizeof data);
    for (size_t cut = 0; cut < n; cut++) {
        struct time_zone *z = NULL;
        struct error err = {0};
        unsigned char *copy = malloc(cut + 1);
        memcpy(copy, data, cut);
        assert_int_equal(timezone_parse("x", copy, cut, &z, &err), ERROR_INPUT);
        free(copy);
    }
    for (size_t i = 0; i < n; i++) {
        for (int bit = 0; bit < 8; bit++) {
            struct time_zone *z = NULL;
            data[i] ^= (unsigned char)(1 << bit);
            if (timezone_parse("x", data, n, &z, NULL) == 0) {
                timezone_local(z, 0);
                timezone_utc(z, 4000000000);
            }
            timezone_free(z);
            data[i] ^= (unsigned char)(1 << bit);
        }
    }
}

/* A version 2 file without transitions, its rule being all there is. */
static struct time_zone *from_rule(const char *rule)
{
    unsigned char data[256] = {0};
    size_t n = 0;
    for (int version = 0; version < 2; version++) {
        memcpy(data + n, "TZif2", 5);
        data[n + 39] = 1; /* typecnt */
        data[n + 43] = 4; /* charcnt */
        n += 44 + 6 + 4;
    }
    n += (size_t)snprintf((char *)data + n, sizeof data - n, "\n%s\n", rule);
    struct time_zone *z = NULL;
    return timezone_parse("test", data, n, &z, NULL) == 0 ? z : NULL;
}

static void posix_rules(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *utc;
        int64_t offset;
    } cases[] = {
        {"CET-1", "2025-07-01 00:00:00", 3600},
        {"<-0330>3:30", "2025-07-01 00:00:00", -12600},
        {"AAA-1:02:03", "2025-07-01 00:00:00", 3723},
        {"CET-1CEST,M3.5.0,M10.5.0/3", "2025-07-01 00:00:00", 7200},
        {"CET-1CEST,M3.5.0,M10.5.0/3", "2025-12-01 00:00:00", 3600},
        {"AAA0BBB-3,M3.5.0,M10.5.0/3", "2025-07-01 00:00:00", 10800},
        {"AAA0BBB,J60,J61/0", "2024-03-01 02:00:00", 3600}, /* J60 is the first of March in leap years too */
        {"AAA0BBB,J60,J61/0", "2024-02-29 12:00:00", 0},
        {"AAA0BBB,J60,J61/0", "2025-03-01 02:00:00", 3600},
        {"AAA0BBB,59,60/0", "2024-02-29 02:00:00", 3600}, /* 59 counts the leap day */
        {"AAA0BBB,59,60/0", "2025-03-01 02:00:00", 3600},
        {"XXX3EDT4,0/0,J365/23", "2025-01-01 03:00:00", -14400}, /* DST all the year, RFC 8536 3.3.1 */
        {"XXX3EDT4,0/0,J365/23", "2025-07-01 00:00:00", -14400},
        {"XXX3EDT4,0/0,J365/23", "2025-12-31 23:59:59", -14400},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct time_zone *z = from_rule(cases[i].rule);
        assert_non_null(z);
        if (timezone_span(z, at(cases[i].utc)).offset != cases[i].offset)
            fail_msg("%s at %s", cases[i].rule, cases[i].utc);
        timezone_free(z);
    }
    static const char *const wrong[] = {"C-1",
                                        "CET",
                                        "CET-25",
                                        "CET-1CEST",
                                        "CET-1CEST,M3",
                                        "CET-1:60",
                                        "CET-1CEST,M3.5.0,M13.5.0",
                                        "<CET-1",
                                        "CET-1CEST,M3.5.0,M10.5.0/168",
                                        "CET-1CEST,J0,J5",
                                        "CET-1CEST,M3.5.0,M10.5.0 ",
                                        "CET-1CEST,M3.6.0,M10.5.0"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct time_zone *z = from_rule(wrong[i]);
        if (z != NULL)
            fail_msg("accepted: %s", wrong[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utc_to_local),
        cmocka_unit_test(local_to_utc),
        cmocka_unit_test(conversions_are_inverse),
        cmocka_unit_test(bad_names_are_refused),
        cmocka_unit_test(damaged_files_are_harmless),
        cmocka_unit_test(posix_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
