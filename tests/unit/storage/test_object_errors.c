#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "storage/object/errors.h"

static const struct object_error_row codes[] = {
    {"Busy", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, NULL},
    {"BusyDisk", OBJECT_ERROR_FINAL, ERROR_NO_SPACE, "buy disks"},
    {"Full*", OBJECT_ERROR_FINAL, ERROR_NO_SPACE, "buy disks"},
    {"Late", OBJECT_ERROR_CLOCK, ERROR_DENIED, "set the clock"},
};
static const struct object_status_row statuses[] = {
    {403, {NULL, OBJECT_ERROR_KEYS, ERROR_DENIED, "ask the owner"}},
};
static const struct object_error_table table = {codes, 4, statuses, 1};

static void a_drivers_rows_come_before_the_common_ones(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *code;
        enum object_error_class class;
        bool retryable;
        const char *message, *native;
    } cases[] = {
        {409, "Busy", OBJECT_ERROR_TRANSIENT, true, "409 Busy: Sorry.", "Busy"},
        {409, "BusyDisk", OBJECT_ERROR_FINAL, false, "409 BusyDisk: Sorry.; buy disks", "BusyDisk"},
        {500, "Full", OBJECT_ERROR_FINAL, false, "500 Full: Sorry.; buy disks", "Full"},
        {500, "FullHouse", OBJECT_ERROR_FINAL, false, "500 FullHouse: Sorry.; buy disks", "FullHouse"},
        {400, "Late", OBJECT_ERROR_CLOCK, true, "400 Late: Sorry.; set the clock", "Late"},
        {403, "Other", OBJECT_ERROR_KEYS, false, "403 Other: Sorry.; ask the owner", "Other"},
        {403, "", OBJECT_ERROR_KEYS, false, "403: Sorry.; ask the owner", "403"},
        {401, "", OBJECT_ERROR_FINAL, false, "401: Sorry.", "401"},
        {429, "Other", OBJECT_ERROR_TRANSIENT, true, "429 Other: Sorry.", "Other"},
        {418, "", OBJECT_ERROR_FINAL, false, "418: Sorry.", "418"},
        {599, "", OBJECT_ERROR_TRANSIENT, true, "599: Sorry.", "599"},
        {308, "", OBJECT_ERROR_TRANSIENT, true, "308: Sorry.", "308"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        struct object_error_row row = object_error_find(&table, cases[i].status, cases[i].code);
        int rc = object_error_fill(&row, cases[i].status, cases[i].code, "Sorry.", &err);
        if (row.class != cases[i].class || rc != row.error || err.code != rc ||
            err.retryable != cases[i].retryable || strcmp(err.message, cases[i].message) != 0 ||
            strcmp(err.native, cases[i].native) != 0)
            fail_msg("%d %s: %d, %s: %s", cases[i].status, cases[i].code, rc, err.native, err.message);
    }
}

static void what_could_be_a_secret_is_hidden(void **state)
{
    (void)state;
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {"", ""},
        {"short words stay", "short words stay"},
        {"0123456789012345678901234567890 31", "0123456789012345678901234567890 31"},
        {"01234567890123456789012345678901 32", "*** 32"},
        {"sig=abc%2Bdefghijklmnopqrstuvwxyz0123456789", "***"},
        {"a 'AAAAAAAAAAAAAAAAAAAA+/=_-AAAAAAAAAAAAAAAAAAAA' b", "a '***' b"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[128];
        snprintf(text, sizeof text, "%s", cases[i].text);
        object_hide_secrets(text);
        assert_string_equal(text, cases[i].shown);
    }
    char text[] = "the key KEY1 is not KEY2, nor KEY1";
    object_hide_text(text, "");
    object_hide_text(text, "KEY1");
    assert_string_equal(text, "the key **** is not KEY2, nor ****");
}

static void retry_after(void **state)
{
    (void)state;
    const int64_t now = INT64_C(1446540000000); /* 2015-11-03T08:40:00Z */
    static const struct {
        const char *value;
        int64_t ms;
    } cases[] = {
        {NULL, 0},
        {"", 0},
        {"0", 0},
        {"1", 1000},
        {" 120", 120000},
        {"120 ", 120000},
        {"1.5", 1000},
        {"86400", 86400000},
        {"86401", 86400000},
        {"99999999999999999999999", 86400000},
        {"-5", 0},
        {"soon", 0},
        {"5x", 0},
        {"Tue, 03 Nov 2015 08:40:30 GMT", 30000},
        {"Tuesday, 03-Nov-15 08:40:30 GMT", 30000},
        {"Tue Nov  3 08:40:30 2015", 30000},
        {"Tue, 03 Nov 2015 08:39:30 GMT", 0},
        {"Tue, 03 Nov 2025 08:39:30 GMT", 86400000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t ms = object_retry_after_ms(cases[i].value, now);
        if (ms != cases[i].ms)
            fail_msg("%s: %lld", cases[i].value, (long long)ms);
    }
    assert_int_equal(object_http_date_ms("Tue, 03 Nov 2015 08:40:00 GMT"), now);
    assert_int_equal(object_http_date_ms("no date"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_drivers_rows_come_before_the_common_ones),
        cmocka_unit_test(what_could_be_a_secret_is_hidden),
        cmocka_unit_test(retry_after),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
