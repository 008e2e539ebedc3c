/* event_log.c: bounds, ids, and where clients that come back go on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event_log.h"

#define T 1764170000000

static int setup(void **state)
{
    struct event_log *log = calloc(1, sizeof *log);
    event_log_begin(log, T);
    *state = log;
    return 0;
}

static int teardown(void **state)
{
    event_log_deinit(*state);
    free(*state);
    return 0;
}

static void add(struct event_log *log, int64_t at_ms, const char *data)
{
    struct event facts = {.at_ms = at_ms, .type = EVENT_BACKUP, .backup_id = 1};
    assert_true(event_log_add(log, &facts, data));
}

static void test_text(void **state)
{
    struct event_log *log = *state;
    char expected[200];
    add(log, T + 5, "{\"a\":\n1,\r\n\"b\": 2}");
    const struct event *event = event_log_get(log, log->first);
    int n = snprintf(expected, sizeof expected,
                     "id: 1764170000005-%08x-1\nevent: backup\ndata: {\"a\": 1,  \"b\": 2}\n\n", log->epoch);
    assert_int_equal(event->size, n);
    assert_memory_equal(event->text, expected, (size_t)n);
    assert_null(event_log_get(log, 0));
    assert_null(event_log_get(log, 2));
}

static void test_number_bound(void **state)
{
    struct event_log *log = *state;
    for (int i = 0; i < EVENT_LOG_MAX + 10; i++)
        add(log, T + i, "{}");
    assert_int_equal(log->next - log->first, EVENT_LOG_MAX);
    assert_int_equal(log->forgotten_ms, T + 9);
    assert_null(event_log_get(log, log->first - 1));
    assert_int_equal(event_log_get(log, log->first)->at_ms, T + 10);
}

static void test_byte_bound(void **state)
{
    struct event_log *log = *state;
    char *data = malloc(1 << 20);
    memset(data, 'x', (1 << 20) - 1);
    data[(1 << 20) - 1] = '\0';
    for (int i = 0; i < 10; i++) {
        add(log, T, data);
        assert_true(log->bytes <= EVENT_LOG_BYTES_MAX);
    }
    assert_int_equal(log->next - log->first, 3);
    free(data);
}

static void test_time_never_goes_back(void **state)
{
    struct event_log *log = *state;
    add(log, T + 100, "{}");
    add(log, T + 50, "{}");
    assert_int_equal(event_log_get(log, 2)->at_ms, T + 100);
}

/* The number behind that id, or -1. */
static int64_t found(const struct event_log *log, int64_t at_ms, uint32_t epoch, uint64_t number)
{
    char id[100];
    uint64_t next = 0;
    snprintf(id, sizeof id, "%lld-%08x-%llu", (long long)at_ms, epoch, (unsigned long long)number);
    return event_log_find(log, id, &next) ? (int64_t)next : -1;
}

static void test_find_own(void **state)
{
    struct event_log *log = *state;
    char id[EVENT_ID_SIZE];
    uint64_t next;
    event_log_id(log, id);
    assert_true(event_log_find(log, id, &next));
    assert_int_equal(next, 1);
    for (int i = 0; i < EVENT_LOG_MAX + 10; i++)
        add(log, T + i, "{}");
    assert_false(event_log_find(log, id, &next)); /* what came behind it is forgotten */
    assert_int_equal(found(log, T, log->epoch, 9), -1);
    assert_int_equal(found(log, T, log->epoch, 10), 11);
    assert_int_equal(found(log, T, log->epoch, log->next - 1), log->next);
    assert_int_equal(found(log, T, log->epoch, log->next), -1);
    assert_int_equal(found(log, T, log->epoch, UINT64_MAX), -1);
    event_log_id(log, id);
    event_log_begin(log, T + 99999);
    assert_false(event_log_find(log, id, &next)); /* there may be a gap */
    assert_int_equal(log->first, log->next);
}

/* Another server's ids: the events of the last EVENT_LOG_MARGIN_MS before it come again, none is missed. */
static void test_find_foreign(void **state)
{
    struct event_log *log = *state;
    uint32_t other = log->epoch + 1;
    for (int i = 0; i < 100; i++)
        add(log, T + 1000 * i, "{}");                      /* number i + 1 */
    assert_int_equal(found(log, T + 29999, other, 1), -1); /* began to listen too late for that */
    assert_int_equal(found(log, T + 30000, other, 1), 1);
    assert_int_equal(found(log, T + 60000, other, 1), 31);
    assert_int_equal(found(log, T + 60500, other, 1), 32);
    assert_int_equal(found(log, T + 129000, other, 1), 100);
    assert_int_equal(found(log, T + 129001, other, 1), -1); /* knows what is not known here */
    log->since_ms = INT64_MAX;
    assert_int_equal(found(log, T + 60000, other, 1), -1);
    log->since_ms = T;
    for (int i = 0; i < EVENT_LOG_MAX - 90; i++)
        add(log, T + 99000, "{}"); /* ten are forgotten, the last of them at T + 9000 */
    assert_int_equal(found(log, T + 39000, other, 1), -1);
    assert_int_equal(found(log, T + 39001, other, 1), 11);
}

static void test_find_nonsense(void **state)
{
    struct event_log *log = *state;
    static const char *const ids[] = {"",
                                      "-",
                                      "--",
                                      "1-2",
                                      "x-0-0",
                                      "1-x-0",
                                      "1-0-",
                                      "1-0-1 ",
                                      " 1-0-1",
                                      "+1-0-1",
                                      "1--0-1",
                                      "99999999999999999999999999-0-1",
                                      "18446744073709551615-0-1",
                                      "9223372036854775807-0-1"};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        uint64_t next;
        assert_false(event_log_find(log, ids[i], &next));
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_text),          TEST(test_number_bound),
        TEST(test_byte_bound),    TEST(test_time_never_goes_back),
        TEST(test_find_own),      TEST(test_find_foreign),
        TEST(test_find_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
