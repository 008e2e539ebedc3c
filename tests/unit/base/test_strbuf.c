#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/strbuf.h"

static void appends(void **state)
{
    (void)state;
    struct strbuf b;
    strbuf_init(&b, 1000);
    assert_string_equal(strbuf_cstr(&b), "");
    strbuf_puts(&b, "a");
    strbuf_putc(&b, 'b');
    strbuf_append(&b, "cdXX", 2);
    strbuf_printf(&b, "%03d-%s", 7, "e");
    strbuf_puts(&b, "");
    assert_string_equal(strbuf_cstr(&b), "abcd007-e");
    assert_int_equal(b.size, 9);
    assert_false(b.failed);
    strbuf_clear(&b);
    assert_string_equal(strbuf_cstr(&b), "");
    for (int i = 0; i < 500; i++)
        strbuf_putc(&b, 'x');
    assert_int_equal(strlen(strbuf_cstr(&b)), 500);
    strbuf_deinit(&b);
    assert_string_equal(strbuf_cstr(&b), "");
}

static void stops_at_the_maximum(void **state)
{
    (void)state;
    struct strbuf b;
    strbuf_init(&b, 4);
    strbuf_puts(&b, "1234");
    assert_false(b.failed);
    strbuf_puts(&b, "5");
    assert_true(b.failed);
    strbuf_printf(&b, "%s", "6");
    strbuf_puts(&b, "");
    assert_string_equal(strbuf_cstr(&b), "1234");
    strbuf_clear(&b);
    assert_false(b.failed);
    strbuf_printf(&b, "%d", 12345);
    assert_true(b.failed);
    assert_string_equal(strbuf_cstr(&b), "");
    strbuf_deinit(&b);
}

static void holds_any_bytes(void **state)
{
    (void)state;
    struct strbuf b;
    strbuf_init(&b, 100);
    strbuf_append(&b, "a\0b", 3);
    assert_int_equal(b.size, 3);
    assert_memory_equal(b.data, "a\0b", 4);
    strbuf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends),
        cmocka_unit_test(stops_at_the_maximum),
        cmocka_unit_test(holds_any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
