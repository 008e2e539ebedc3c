#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "auth/aws_entry.h"

enum { MINUTE_MS = 60 * 1000 };

static void keep_for(struct aws_entry *entry, int64_t now_ms, int64_t lifetime_ms, bool from_metadata)
{
    struct aws_credentials c = {"A", "S", NULL, now_ms + lifetime_ms, "test"};
    assert_int_equal(aws_entry_keep(entry, &c, from_metadata, now_ms, NULL), 0);
}

/* due and too old, before expiry */
static void windows_shrink_with_the_lifetime(void **state)
{
    (void)state;
    static const int64_t cases[][3] = {
        {6 * 60 * MINUTE_MS, 15 * MINUTE_MS, 5 * MINUTE_MS},
        {60 * MINUTE_MS, 15 * MINUTE_MS, 5 * MINUTE_MS},
        {20 * MINUTE_MS, 5 * MINUTE_MS, 2 * MINUTE_MS},
        {400, 100, 40},
        {1, 0, 0},
    };
    int64_t now_ms = INT64_C(1767225600000);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct aws_entry entry = {0};
        keep_for(&entry, now_ms, cases[i][0], false);
        int64_t expires_ms = now_ms + cases[i][0];
        assert_int_equal(expires_ms - entry.due_ms, cases[i][1]);
        assert_int_equal(expires_ms - entry.too_old_ms, cases[i][2]);
        assert_true(aws_entry_is_fresh(&entry, entry.too_old_ms - 1));
        assert_false(aws_entry_is_fresh(&entry, entry.too_old_ms));
        aws_entry_deinit(&entry);
    }
}

static void extensions_have_jitter(void **state)
{
    (void)state;
    int64_t now_ms = INT64_C(1767225600000), first = 0;
    bool differ = false;
    for (int i = 0; i < 8; i++) {
        struct aws_entry entry = {0};
        keep_for(&entry, now_ms, -1, true);
        assert_in_range(entry.due_ms - now_ms, 5 * MINUTE_MS, 10 * MINUTE_MS);
        first = i == 0 ? entry.due_ms : first;
        differ = differ || entry.due_ms != first;
        aws_entry_deinit(&entry);
    }
    assert_true(differ);
}

static void refused_ones_do_not_survive(void **state)
{
    (void)state;
    struct aws_entry entry = {0};
    struct error err = {.code = ERROR_TIMEOUT, .message = "test"};
    keep_for(&entry, 0, 60 * MINUTE_MS, true);
    assert_true(aws_entry_survives(&entry, &err, 10));
    entry.refused = true;
    assert_false(aws_entry_survives(&entry, &err, 10));
    assert_null(entry.memory);
    assert_false(aws_entry_survives(&entry, &err, 10));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_shrink_with_the_lifetime),
        cmocka_unit_test(extensions_have_jitter),
        cmocka_unit_test(refused_ones_do_not_survive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
