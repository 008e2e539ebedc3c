#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/percent.h"

static void encodes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool keep_slash;
        const char *encoded;
    } cases[] = {
        {"", false, ""},
        {"AZaz09-_.~", false, "AZaz09-_.~"},
        {"a b+c", false, "a%20b%2Bc"},
        {"a/b", false, "a%2Fb"},
        {"a/b", true, "a/b"},
        {"\xc3\xa4\xff\x01", false, "%C3%A4%FF%01"},
        {"%41", false, "%2541"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct strbuf out, back;
        strbuf_init(&out, 100);
        strbuf_init(&back, 100);
        percent_encode(&out, cases[i].text, strlen(cases[i].text), cases[i].keep_slash);
        assert_string_equal(strbuf_cstr(&out), cases[i].encoded);
        assert_true(percent_decode(&back, strbuf_cstr(&out), out.size));
        assert_string_equal(strbuf_cstr(&back), cases[i].text);
        strbuf_deinit(&out);
        strbuf_deinit(&back);
    }
}

static void decodes(void **state)
{
    (void)state;
    static const struct {
        const char *text, *decoded; /* NULL: refused */
    } cases[] = {
        {"a+b", "a+b"}, {"%3a%3A", "::"}, {"%", NULL},  {"%4", NULL}, {"%4g", NULL},
        {"%g4", NULL},  {"%00", NULL},    {"a%", NULL}, {"%25", "%"}, {"%2525", "%25"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct strbuf out;
        strbuf_init(&out, 100);
        assert_int_equal(percent_decode(&out, cases[i].text, strlen(cases[i].text)),
                         cases[i].decoded != NULL);
        if (cases[i].decoded)
            assert_string_equal(strbuf_cstr(&out), cases[i].decoded);
        strbuf_deinit(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes),
        cmocka_unit_test(decodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
