/* Until when a credential is given out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "auth/credential_entry.h"

enum { MINUTE_MS = 60 * 1000 };

static const int64_t now_ms = INT64_C(1767225600000);
static int n_freed;

static void count_freed(void *value)
{
    assert_non_null(value);
    n_freed++;
}

static const struct credential_kind kind = {
    .name = "test", .due = {15 * MINUTE_MS, 4}, .too_old = {5 * MINUTE_MS, 10}, .free = count_freed};
static const struct credential_kind other_kind = {
    .name = "other", .due = {12 * 60 * MINUTE_MS, 2}, .too_old = {2 * MINUTE_MS, 5}, .free = count_freed};

static int value;

static struct credential lasting(int64_t from_ms, int64_t lifetime_ms, bool outlives_expiry)
{
    return (struct credential){&value, from_ms + lifetime_ms, "source", outlives_expiry};
}

static void keep_for(struct credential_entry *entry, int64_t from_ms, int64_t lifetime_ms, bool outlives)
{
    struct credential c = lasting(from_ms, lifetime_ms, outlives);
    assert_int_equal(credential_entry_keep(entry, &kind, &c, from_ms, NULL), 0);
}

/* due and too old, before expiry */
static void windows_shrink_with_the_lifetime(void **state)
{
    (void)state;
    static const struct {
        const struct credential_kind *kind;
        int64_t lifetime_ms, due_ms, too_old_ms;
    } cases[] = {
        {&kind, 6 * 60 * MINUTE_MS, 15 * MINUTE_MS, 5 * MINUTE_MS},
        {&kind, 60 * MINUTE_MS, 15 * MINUTE_MS, 5 * MINUTE_MS},
        {&kind, 20 * MINUTE_MS, 5 * MINUTE_MS, 2 * MINUTE_MS},
        {&kind, 400, 100, 40},
        {&kind, 1, 0, 0},
        {&other_kind, 60 * MINUTE_MS, 30 * MINUTE_MS, 2 * MINUTE_MS},
        {&other_kind, 48 * 60 * MINUTE_MS, 12 * 60 * MINUTE_MS, 2 * MINUTE_MS},
        {&other_kind, 500, 250, 100},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct credential_entry entry = {0};
        struct credential c = lasting(now_ms, cases[i].lifetime_ms, false);
        assert_int_equal(credential_entry_keep(&entry, cases[i].kind, &c, now_ms, NULL), 0);
        int64_t expires_ms = now_ms + cases[i].lifetime_ms;
        assert_int_equal(expires_ms - entry.due_ms, cases[i].due_ms);
        assert_int_equal(expires_ms - entry.too_old_ms, cases[i].too_old_ms);
        assert_true(credential_entry_is_fresh(&entry, entry.too_old_ms - 1));
        assert_false(credential_entry_is_fresh(&entry, entry.too_old_ms));
        credential_entry_deinit(&entry, cases[i].kind);
    }
}

static void extensions_have_jitter(void **state)
{
    (void)state;
    int64_t first = 0;
    bool differ = false;
    for (int i = 0; i < 8; i++) {
        struct credential_entry entry = {0};
        keep_for(&entry, now_ms, -1, true);
        assert_in_range(entry.due_ms - now_ms, 5 * MINUTE_MS, 10 * MINUTE_MS);
        first = i == 0 ? entry.due_ms : first;
        differ = differ || entry.due_ms != first;
        credential_entry_deinit(&entry, &kind);
    }
    assert_true(differ);
}

static void refused_ones_do_not_survive(void **state)
{
    (void)state;
    struct credential_entry entry = {0};
    struct error err = {.code = ERROR_TIMEOUT, .message = "test"};
    keep_for(&entry, 0, 60 * MINUTE_MS, true);
    assert_true(credential_entry_survives(&entry, &kind, &err, 10));
    entry.refused = true;
    assert_false(credential_entry_survives(&entry, &kind, &err, 10));
    assert_null(entry.kept.value);
    assert_false(credential_entry_survives(&entry, &kind, &err, 10));
}

static void each_value_is_freed_once(void **state)
{
    (void)state;
    struct credential_entry entry = {0};
    struct error err = {0};
    n_freed = 0;
    keep_for(&entry, now_ms, MINUTE_MS, false);
    keep_for(&entry, now_ms, MINUTE_MS, false);
    assert_int_equal(n_freed, 1);
    struct credential expired = lasting(now_ms, -1, false);
    assert_int_equal(credential_entry_keep(&entry, &kind, &expired, now_ms, &err), ERROR_DENIED);
    assert_true(err.retryable);
    assert_int_equal(n_freed, 2);
    credential_entry_deinit(&entry, &kind);
    credential_entry_deinit(&entry, &kind);
    assert_int_equal(n_freed, 3);
}

static void ones_without_an_expiry_are_read_again_soon(void **state)
{
    (void)state;
    struct credential_entry entry = {0};
    struct credential c = {&value, 0, "source", false};
    assert_int_equal(credential_entry_keep(&entry, &kind, &c, now_ms, NULL), 0);
    assert_false(credential_entry_expires(&entry));
    assert_true(credential_entry_is_fresh(&entry, now_ms + CREDENTIAL_KEEP_STATIC_MS - 1));
    assert_false(credential_entry_is_fresh(&entry, now_ms + CREDENTIAL_KEEP_STATIC_MS));
    credential_entry_deinit(&entry, &kind);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_shrink_with_the_lifetime),
        cmocka_unit_test(extensions_have_jitter),
        cmocka_unit_test(refused_ones_do_not_survive),
        cmocka_unit_test(each_value_is_freed_once),
        cmocka_unit_test(ones_without_an_expiry_are_read_again_soon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
