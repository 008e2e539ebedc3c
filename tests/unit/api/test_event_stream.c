/* event_stream.c: what a client reads, in whatever pieces it takes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event_stream.h"

struct fixture {
    struct event_log log;
    struct event_stream stream;
    char taken[8192];
    size_t n_taken;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    event_log_begin(&f->log, 1000);
    f->stream.log = &f->log;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    event_log_deinit(&f->log);
    free(f);
    return 0;
}

static void add(struct fixture *f, enum event_type type, int64_t backup_id, int64_t database_id)
{
    struct event facts = {.at_ms = 2000, .type = type, .backup_id = backup_id, .database_id = database_id};
    char data[40];
    snprintf(data, sizeof data, "\"%d:%lld:%lld\"", (int)type, (long long)backup_id, (long long)database_id);
    assert_true(event_log_add(&f->log, &facts, data));
}

/* Reads by `size` until there is nothing; gives what the stream said then. */
static ssize_t take(struct fixture *f, size_t size)
{
    ssize_t n;
    f->n_taken = 0;
    while ((n = event_stream_read(&f->stream, f->taken + f->n_taken, size)) > 0) {
        assert_true((size_t)n <= size);
        f->n_taken += (size_t)n;
        assert_true(f->n_taken + size < sizeof f->taken);
    }
    f->taken[f->n_taken] = '\0';
    return n;
}

static int count(const struct fixture *f, const char *words)
{
    int n = 0;
    for (const char *at = f->taken; (at = strstr(at, words)); at += strlen(words))
        n++;
    return n;
}

static void test_in_pieces(void **state)
{
    struct fixture *f = *state;
    char whole[sizeof f->taken] = "";
    for (size_t size = 1; size < 300; size++) {
        f->stream = (struct event_stream){.log = &f->log};
        event_stream_begin(&f->stream, NULL, true);
        if (size == 1)
            for (int i = 1; i <= 3; i++)
                add(f, EVENT_BACKUP, i, 1);
        else
            f->stream.next = 1;
        assert_int_equal(take(f, size), HTTP_STREAM_WAIT);
        const char *events = strstr(f->taken, "event: backup");
        assert_non_null(events);
        if (size == 1)
            snprintf(whole, sizeof whole, "%s", events);
        assert_string_equal(events, whole);
        assert_int_equal(count(f, "retry: 3000\n\n"), 1);
        assert_int_equal(count(f, "event: reset\ndata: {\"reason\":\"new\"}\n\n"), 1);
        assert_false(event_stream_has_more(&f->stream));
    }
}

static void test_begin(void **state)
{
    struct fixture *f = *state;
    char id[EVENT_ID_SIZE];
    event_log_id(&f->log, id);
    add(f, EVENT_BACKUP, 1, 1);
    event_stream_begin(&f->stream, id, true);
    take(f, 100);
    assert_int_equal(count(f, "event: reset"), 0);
    assert_int_equal(count(f, "event: backup"), 1);

    f->stream = (struct event_stream){.log = &f->log};
    event_stream_begin(&f->stream, id, false); /* its place is not known before the log is */
    take(f, 100);
    assert_string_equal(f->taken, "retry: 3000\n\n");
    event_stream_reset(&f->stream, "new");
    take(f, 100);
    assert_int_equal(count(f, "event: reset"), 1);
    assert_int_equal(count(f, "event: backup"), 0);
}

static void test_filters(void **state)
{
    struct fixture *f = *state;
    static const struct {
        struct event_filter filter;
        const char *expected[8];
    } cases[] = {
        {{0}, {"0:1:1", "0:2:2", "1:1:0", "2:0:0", "3:0:1", "3:0:2"}},
        {{.types = 1u << EVENT_BACKUP}, {"0:1:1", "0:2:2"}},
        {{.database_id = 1}, {"0:1:1", "1:1:0", "2:0:0", "3:0:1"}},
        {{.backup_id = 1}, {"0:1:1", "1:1:0"}},
        {{.backup_id = 2, .types = 1u << EVENT_BACKUP_DELETED}, {NULL}},
    };
    event_stream_begin(&f->stream, NULL, true);
    add(f, EVENT_BACKUP, 1, 1);
    add(f, EVENT_BACKUP, 2, 2);
    add(f, EVENT_BACKUP_DELETED, 1, 0);
    add(f, EVENT_QUEUE, 0, 0);
    add(f, EVENT_CONFIGURATION, 0, 1);
    add(f, EVENT_CONFIGURATION, 0, 2);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        f->stream = (struct event_stream){.log = &f->log, .filter = cases[i].filter, .next = 1};
        assert_int_equal(event_stream_has_more(&f->stream), cases[i].expected[0] != NULL);
        take(f, 64);
        int n = 0;
        for (; cases[i].expected[n]; n++)
            assert_non_null(strstr(f->taken, cases[i].expected[n]));
        assert_int_equal(count(f, "data: "), n);
    }
}

/* An event of which half is out can't be taken back: the connection is cut, never another event glued to it.
 */
static void test_forgotten_while_taken(void **state)
{
    struct fixture *f = *state;
    char buffer[20];
    for (int reset = 0; reset < 2; reset++) {
        f->stream = (struct event_stream){.log = &f->log, .next = f->log.next};
        add(f, EVENT_BACKUP, 1, 1);
        assert_int_equal(event_stream_read(&f->stream, buffer, sizeof buffer), sizeof buffer);
        if (reset) {
            event_log_begin(&f->log, 5000);
            event_stream_reset(&f->stream, "too much");
        } else {
            for (int i = 0; i < EVENT_LOG_MAX; i++)
                add(f, EVENT_BACKUP, 2, 1);
        }
        assert_true(event_stream_has_more(&f->stream));
        assert_int_equal(event_stream_read(&f->stream, buffer, sizeof buffer), HTTP_STREAM_FAILED);
    }
}

static void test_too_slow(void **state)
{
    struct fixture *f = *state;
    f->stream.next = f->log.next;
    for (int i = 0; i < EVENT_LOG_MAX + 1; i++)
        add(f, EVENT_BACKUP, 1, 1);
    assert_true(event_stream_has_more(&f->stream));
    assert_int_equal(take(f, 100), HTTP_STREAM_FAILED);

    f->stream = (struct event_stream){.log = &f->log, .next = f->log.next};
    for (int i = 0; i < 20; i++)
        event_stream_reset(&f->stream, "too much");
    assert_int_equal(take(f, 100), HTTP_STREAM_FAILED);
}

static void test_end_and_comments(void **state)
{
    struct fixture *f = *state;
    char buffer[20];
    f->stream.next = f->log.next;
    event_stream_comment(&f->stream);
    event_stream_comment(&f->stream);
    assert_int_equal(take(f, 2), HTTP_STREAM_WAIT);
    assert_string_equal(f->taken, ":\n\n");
    add(f, EVENT_BACKUP, 1, 1);
    add(f, EVENT_BACKUP, 2, 1);
    event_stream_read(&f->stream, buffer, sizeof buffer);
    event_stream_comment(&f->stream); /* not into the middle of an event */
    event_stream_end(&f->stream);
    assert_int_equal(take(f, 100), HTTP_STREAM_END);
    assert_string_equal(f->taken + f->n_taken - 8, "0:1:1\"\n\n");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_in_pieces), TEST(test_begin),
        TEST(test_filters),   TEST(test_forgotten_while_taken),
        TEST(test_too_slow),  TEST(test_end_and_comments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
