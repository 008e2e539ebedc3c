#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client.h"

static void the_nearest_address_that_no_proxy_of_ours_has(void **state)
{
    static const struct {
        const char *peer, *forwarded_for, *trusted, *wanted;
    } cases[] = {
        {"10.0.0.1", NULL, "10.0.0.1", "10.0.0.1"},
        {"10.0.0.1", "1.2.3.4", "", "10.0.0.1"}, /* nobody is trusted */
        {"10.0.0.1", "1.2.3.4", "10.0.0.2", "10.0.0.1"},
        {"10.0.0.1", "1.2.3.4", "10.0.0.1", "1.2.3.4"},
        {"10.0.0.1", "6.6.6.6, 1.2.3.4", "10.0.0.1",
         "1.2.3.4"}, /* the client's own invention stands before */
        {"10.0.0.1", "1.2.3.4 , 10.0.0.2", " 10.0.0.2 , 10.0.0.1 ", "1.2.3.4"},
        {"10.0.0.1", "10.0.0.2", "10.0.0.1,10.0.0.2", "10.0.0.2"},
        {"10.0.0.1", "", "10.0.0.1", "10.0.0.1"},
        {"10.0.0.1", "1.2.3.4,", "10.0.0.1", "10.0.0.1"}, /* nonsense */
        {"10.0.0.1", "1.2.3.4, ,", "10.0.0.1", "10.0.0.1"},
        {"unix", "2001:db8::7", "unix", "2001:db8::7"},
        {"::1", "1.2.3.4", "127.0.0.1, ::1", "1.2.3.4"},
        {"2001:DB8::1", "1.2.3.4", "2001:db8::1", "1.2.3.4"},
        {"10.0.0.1", "1.2.3.4", "10.0.0.11,10.0.0", "10.0.0.1"},
        {"10.0.0.1", "1.2.3.4", ",,", "10.0.0.1"},
        {"10.0.0.1", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "10.0.0.1",
         "10.0.0.1"},
        /* some proxies add the port */
        {"10.0.0.1", "1.2.3.4:567", "10.0.0.1", "1.2.3.4"},
        {"10.0.0.1", "1.2.3.4, 10.0.0.2:567", "10.0.0.1, 10.0.0.2", "1.2.3.4"},
        {"10.0.0.1", "[2001:db8::7]:567", "10.0.0.1", "2001:db8::7"},
        {"10.0.0.1", "[2001:db8::7]", "10.0.0.1", "2001:db8::7"},
        {"10.0.0.1", "::ffff:1.2.3.4", "10.0.0.1", "::ffff:1.2.3.4"},
        /* no addresses */
        {"10.0.0.1", "unknown", "10.0.0.1", "10.0.0.1"},
        {"10.0.0.1", "1.2.3.4, \xff", "10.0.0.1", "10.0.0.1"},
        {"10.0.0.1", "1.2.3", "10.0.0.1", "10.0.0.1"},
        {"10.0.0.1", "unix, 10.0.0.2", "10.0.0.1, 10.0.0.2, unix", "10.0.0.2"},
        {"10.0.0.1", "[2001:db8::7", "10.0.0.1", "10.0.0.1"},
        {"10.0.0.1", ":567", "10.0.0.1", "10.0.0.1"},
        {"10.0.0.1", "[]:567", "10.0.0.1", "10.0.0.1"},
    };
    char address[CLIENT_ADDRESS_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        client_address_of(cases[i].peer, cases[i].forwarded_for, cases[i].trusted, address);
        assert_string_equal(address, cases[i].wanted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nearest_address_that_no_proxy_of_ours_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
