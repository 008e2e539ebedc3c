#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/settings.h"

static int without_environment(void **state)
{
    (void)state;
    return clearenv();
}

static int load(struct settings *s, enum settings_program program, const char *const *words, int *ret_next,
                struct error *err)
{
    char *argv[16];
    int argc = 0;
    argv[argc++] = (char *)"program";
    for (; *words; words++)
        argv[argc++] = (char *)*words;
    *s = (struct settings){0};
    return settings_load(s, program, argc, argv, ret_next, err);
}

static void defaults(void **state)
{
    (void)state;
    struct settings s;
    int next;
    assert_int_equal(load(&s, SETTINGS_SCHEDULER, (const char *[]){NULL}, &next, NULL), 0);
    assert_int_equal(next, 1);
    assert_string_equal(s.database_url, "");
    assert_string_equal(s.redis_url, "redis://127.0.0.1:6379/0");
    assert_string_equal(s.queues, "default");
    assert_int_equal(s.misfire_grace_seconds, 300);
    assert_int_equal(s.misfire_cap, 24);
    assert_int_equal(s.audit_retention_days, 0);
    assert_int_equal(s.log_level, LOG_INFO);
    assert_true(strlen(s.host) > 0);
    settings_deinit(&s);
}

static void option_wins_over_environment_over_default(void **state)
{
    (void)state;
    setenv("BM_MISFIRE_CAP", "7", 1);
    setenv("BM_QUEUES", "", 1); /* empty counts as unset */
    setenv("BM_LOG_FORMAT", "json", 1);
    struct settings s;
    int next;
    assert_int_equal(load(&s, SETTINGS_SCHEDULER, (const char *[]){NULL}, &next, NULL), 0);
    assert_int_equal(s.misfire_cap, 7);
    assert_string_equal(s.queues, "default");
    assert_int_equal(s.log_format, LOG_JSON);
    settings_deinit(&s);

    const char *words[] = {
        "--misfire-cap", "9", "--database-url=postgresql:///x?a=b", "--once", "--queues", "q", NULL};
    assert_int_equal(load(&s, SETTINGS_SCHEDULER, words, &next, NULL), 0);
    assert_int_equal(s.misfire_cap, 9);
    assert_string_equal(s.database_url, "postgresql:///x?a=b");
    assert_int_equal(next, 4); /* --once is the program's own */
    assert_string_equal(s.queues, "default");
    settings_deinit(&s);
}

static void wrong_values_name_the_option(void **state)
{
    (void)state;
    static const struct {
        const char *words[4];
        const char *expected;
    } cases[] = {
        {{"--misfire-cap", "many"}, "BM_MISFIRE_CAP: 'many'"},
        {{"--misfire-cap=0"}, "from 1 to 1000"},
        {{"--audit-retention-days", "-1"}, "BM_AUDIT_RETENTION_DAYS: '-1'"},
        {{"--audit-retention-days", "36501"}, "from 0 to 36500"},
        {{"--misfire-cap="}, "BM_MISFIRE_CAP"},
        {{"--misfire-cap", "5x"}, "'5x'"},
        {{"--misfire-cap", "99999999999999999999"}, "BM_MISFIRE_CAP"},
        {{"--log-level", "loud"}, "error, warn, info or debug"},
        {{"--log-format", "xml"}, "text or json"},
        {{"--queues"}, "--queues needs a value"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct settings s;
        struct error err = {0};
        int next;
        assert_int_equal(load(&s, SETTINGS_SCHEDULER, cases[i].words, &next, &err), ERROR_INPUT);
        if (!strstr(err.message, cases[i].expected))
            fail_msg("%s", err.message);
        settings_deinit(&s);
    }
    setenv("BM_RECONCILE_SECONDS", "-3", 1);
    struct settings s;
    struct error err = {0};
    int next;
    assert_int_equal(load(&s, SETTINGS_SCHEDULER, (const char *[]){NULL}, &next, &err), ERROR_INPUT);
    settings_deinit(&s);
}

static void other_programs_options_stop_the_parse(void **state)
{
    (void)state;
    struct settings s;
    int next;
    setenv("BM_CONCURRENCY", "nonsense", 1); /* the worker's: nobody else looks at it */
    assert_int_equal(load(&s, SETTINGS_SCHEDULER, (const char *[]){"--concurrency", "4", NULL}, &next, NULL),
                     0);
    assert_int_equal(next, 1);
    settings_deinit(&s);
}

static void help_lists_this_programs_options(void **state)
{
    (void)state;
    char text[16384] = "";
    FILE *out = fmemopen(text, sizeof text, "w");
    settings_help(out, SETTINGS_SCHEDULER);
    fclose(out);
    assert_non_null(strstr(text, "BM_MISFIRE_CAP"));
    assert_non_null(strstr(text, "--misfire-grace-seconds"));
    assert_non_null(strstr(text, "[default: 300]"));
    assert_null(strstr(text, "BM_CONCURRENCY"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(defaults, without_environment),
        cmocka_unit_test_setup(option_wins_over_environment_over_default, without_environment),
        cmocka_unit_test_setup(wrong_values_name_the_option, without_environment),
        cmocka_unit_test_setup(other_programs_options_stop_the_parse, without_environment),
        cmocka_unit_test_setup(help_lists_this_programs_options, without_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
