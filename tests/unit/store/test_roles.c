#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/roles.h"

static void names(void **state)
{
    static const char *const odd[] = {NULL, "", "none", "Admin", "admin ", "root", "viewe"};
    (void)state;
    for (int i = ROLE_VIEWER; i <= ROLE_ADMIN; i++) {
        enum role role = ROLE_NONE;
        assert_true(role_parse(role_name((enum role)i), &role));
        assert_int_equal(role, i);
    }
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        enum role role = ROLE_OPERATOR;
        assert_false(role_parse(odd[i], &role));
        assert_int_equal(role, ROLE_OPERATOR);
    }
}

static void order(void **state)
{
    (void)state;
    assert_true(ROLE_NONE < ROLE_VIEWER && ROLE_VIEWER < ROLE_OPERATOR && ROLE_OPERATOR < ROLE_ADMIN);
    assert_int_equal(role_lesser(ROLE_ADMIN, ROLE_VIEWER), ROLE_VIEWER);
    assert_int_equal(role_lesser(ROLE_VIEWER, ROLE_ADMIN), ROLE_VIEWER);
    assert_int_equal(role_lesser(ROLE_OPERATOR, ROLE_OPERATOR), ROLE_OPERATOR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
