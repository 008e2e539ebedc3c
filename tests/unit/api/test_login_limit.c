#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "login_limit.h"

#define NOW 1000000

static void per_name(void **state)
{
    struct login_limit *limit = login_limit_new();
    (void)state;
    for (int i = 0; i < LOGIN_TRIES_PER_NAME; i++)
        assert_int_equal(login_limit_try(limit, "anna", "10.0.0.1", NOW + i), 0);
    assert_int_equal(login_limit_try(limit, "anna", "10.0.0.2", NOW + 10), LOGIN_WINDOW_MS - 10);
    assert_int_equal(login_limit_try(limit, "bruno", "10.0.0.1", NOW + 10), 0);
    /* what was refused has not prolonged it; the window slides */
    assert_int_equal(login_limit_try(limit, "anna", "10.0.0.2", NOW + LOGIN_WINDOW_MS - 1), 1);
    assert_int_equal(login_limit_try(limit, "anna", "10.0.0.2", NOW + LOGIN_WINDOW_MS), 0);
    assert_int_equal(login_limit_try(limit, "anna", "10.0.0.2", NOW + LOGIN_WINDOW_MS), 1);
    login_limit_free(limit);
}

static void per_address(void **state)
{
    struct login_limit *limit = login_limit_new();
    char name[32];
    (void)state;
    for (int i = 0; i < LOGIN_TRIES_PER_ADDRESS; i++) {
        snprintf(name, sizeof name, "user%d", i);
        assert_int_equal(login_limit_try(limit, name, "10.0.0.1", NOW), 0);
    }
    assert_int_equal(login_limit_try(limit, "anna", "10.0.0.1", NOW + 7), LOGIN_WINDOW_MS - 7);
    assert_int_equal(login_limit_try(limit, "anna", "10.0.0.2", NOW + 7), 0);
    assert_int_equal(login_limit_try(limit, "anna", NULL, NOW + 7), 0);
    /* an address is no name */
    assert_int_equal(login_limit_try(limit, "10.0.0.1", "10.0.0.3", NOW + 7), 0);
    login_limit_free(limit);
}

/* One /64 is one address, however it is written; what stands for IPv4 is that one. */
static void ipv6(void **state)
{
    struct login_limit *limit = login_limit_new();
    char name[32], address[64];
    (void)state;
    for (int i = 0; i < LOGIN_TRIES_PER_ADDRESS; i++) {
        snprintf(name, sizeof name, "user%d", i);
        snprintf(address, sizeof address, "2001:db8:0:1::%x", i + 1);
        assert_int_equal(login_limit_try(limit, name, address, NOW), 0);
        snprintf(name, sizeof name, "other%d", i);
        assert_int_equal(login_limit_try(limit, name, "10.0.0.1", NOW), 0);
    }
    assert_int_equal(login_limit_try(limit, "anna", "2001:DB8::1:ffff:0:0:1", NOW), LOGIN_WINDOW_MS);
    assert_int_equal(login_limit_try(limit, "anna", "::ffff:10.0.0.1", NOW), LOGIN_WINDOW_MS);
    assert_int_equal(login_limit_try(limit, "anna", "2001:db8:0:2::1", NOW), 0);
    assert_int_equal(login_limit_try(limit, "anna", "::ffff:10.0.0.2", NOW), 0);
    login_limit_succeeded(limit, "user1", "2001:db8:0:1::2");
    assert_int_equal(login_limit_try(limit, "anna", "2001:db8:0:1::abcd", NOW), 0);
    login_limit_free(limit);
}

static void success_starts_the_name_anew(void **state)
{
    struct login_limit *limit = login_limit_new();
    (void)state;
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < LOGIN_TRIES_PER_NAME - 1; i++)
            login_limit_try(limit, "anna", round < 3 ? "10.0.0.1" : NULL, NOW);
        assert_int_equal(login_limit_try(limit, "anna", "10.0.0.1", NOW), 0);
        login_limit_succeeded(limit, "anna", "10.0.0.1");
    }
    /* its failures still count for the address: 12 of them */
    for (int i = 12; i < LOGIN_TRIES_PER_ADDRESS; i++) {
        char name[32];
        snprintf(name, sizeof name, "user%d", i);
        assert_int_equal(login_limit_try(limit, name, "10.0.0.1", NOW), 0);
    }
    assert_true(login_limit_try(limit, "bruno", "10.0.0.1", NOW) > 0);
    login_limit_succeeded(limit, "never seen", "never seen");
    login_limit_free(limit);
}

static void what_came_to_no_end_does_not_count(void **state)
{
    struct login_limit *limit = login_limit_new();
    (void)state;
    for (int i = 0; i < LOGIN_TRIES_PER_NAME - 1; i++)
        assert_int_equal(login_limit_try(limit, "anna", "10.0.0.1", NOW), 0);
    for (int i = 0; i < 2 * LOGIN_TRIES_PER_ADDRESS; i++) {
        assert_int_equal(login_limit_try(limit, "anna", "10.0.0.1", NOW + 1), 0);
        login_limit_take_back(limit, "anna", "10.0.0.1");
    }
    /* the others still do */
    assert_int_equal(login_limit_try(limit, "anna", "10.0.0.1", NOW + 2), 0);
    assert_true(login_limit_try(limit, "anna", "10.0.0.1", NOW + 2) > 0);
    login_limit_take_back(limit, "never seen", NULL);
    login_limit_free(limit);
}

static void the_table_is_bounded(void **state)
{
    struct login_limit *limit = login_limit_new();
    char name[32];
    (void)state;
    for (int i = 0; i < LOGIN_TRIES_PER_NAME; i++)
        login_limit_try(limit, "anna", NULL, NOW + 100);
    for (int i = 0; i < LOGIN_LIMIT_ENTRIES - 1; i++) { /* older ones make room first */
        snprintf(name, sizeof name, "old%d", i);
        assert_int_equal(login_limit_try(limit, name, NULL, NOW), 0);
    }
    for (int i = 0; i < LOGIN_LIMIT_ENTRIES - 1; i++) {
        snprintf(name, sizeof name, "new%d", i);
        assert_int_equal(login_limit_try(limit, name, NULL, NOW + 200), 0);
    }
    assert_true(login_limit_try(limit, "anna", NULL, NOW + 200) > 0);
    for (int i = 0; i < LOGIN_LIMIT_ENTRIES; i++) {
        snprintf(name, sizeof name, "newer%d", i);
        assert_int_equal(login_limit_try(limit, name, NULL, NOW + 300), 0);
    }
    assert_int_equal(login_limit_try(limit, "anna", NULL, NOW + 300), 0); /* forgotten */
    login_limit_free(limit);
    login_limit_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(per_name),
        cmocka_unit_test(per_address),
        cmocka_unit_test(ipv6),
        cmocka_unit_test(success_starts_the_name_anew),
        cmocka_unit_test(what_came_to_no_end_does_not_count),
        cmocka_unit_test(the_table_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
