#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/ini.h"
#include "base/strbuf.h"

static int note_section(void *data, const char *section, struct error *err)
{
    (void)err;
    strbuf_printf(data, "[%s]", section);
    return 0;
}

static int note_value(void *data, const char *section, const char *key, const char *value, struct error *err)
{
    (void)err;
    strbuf_printf(data, "%s.%s=%s|", section, key, value);
    return 0;
}

static const struct ini_events notes = {note_section, note_value};

static void files_become_events(void **state)
{
    (void)state;
    static const struct {
        const char *file, *events;
    } cases[] = {
        {"", ""},
        {"\n\r\n  \n# only\n; comments", ""},
        {"[default]\nregion = eu-west-1\n", "[default]default.region=eu-west-1|"},
        {"[a]\nk=v", "[a]a.k=v|"},
        {"\xef\xbb\xbf[ profile b ] # c\r\nAWS_Access_Key_Id=X\r\n",
         "[profile b]profile b.aws_access_key_id=X|"},
        {"[a]\nk = a=b #c\nl = a#b;c ;d\nm = #x\nn =\n", "[a]a.k=a=b|a.l=a#b;c|a.m=|a.n=|"},
        {"[a]\ns3 =\n  max = 20\n  [x]\n\tno\nk = v\n", "[a]a.s3=|a.k=v|"},
        {"[a]\n  k = 1\n  l = 2\n    m = 3\n[b]\n n = 4\n", "[a]a.k=1|a.l=2|[b]b.n=4|"},
        {"[a]\nk=1\n[b]\nk=2\n[a]\nk=3\nk=4\n", "[a]a.k=1|[b]b.k=2|[a]a.k=3|a.k=4|"},
        {"[a]\nk = \xc3\xa9\xff\n", "[a]a.k=\xc3\xa9\xff|"},
        {"[a]\nk\t=\tv w\t\n", "[a]a.k=v w|"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct strbuf events;
        struct error err = {0};
        strbuf_init(&events, 4096);
        if (ini_parse(cases[i].file, strlen(cases[i].file), &notes, &events, &err))
            fail_msg("%s: %s", cases[i].file, err.message);
        assert_string_equal(strbuf_cstr(&events), cases[i].events);
        strbuf_deinit(&events);
    }
}

static void malformed_lines_are_named_not_repeated(void **state)
{
    (void)state;
    static const struct {
        const char *file, *line;
    } cases[] = {
        {"HIDDEN", "line 1:"},          {"k = HIDDEN\n[a]\n", "line 1:"}, {"[a]\nk = v\nHIDDEN\n", "line 3:"},
        {"[a]\n= HIDDEN\n", "line 2:"}, {"[HIDDEN\n", "line 1:"},         {"[]\n", "line 1:"},
        {"[a] HIDDEN\n", "line 1:"},
    };
    struct ini_events none = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        assert_int_equal(ini_parse(cases[i].file, strlen(cases[i].file), &none, NULL, &err), ERROR_INPUT);
        assert_int_equal(strncmp(err.message, cases[i].line, strlen(cases[i].line)), 0);
        assert_null(strstr(err.message, "HIDDEN"));
        assert_false(err.retryable);
    }
    assert_int_equal(ini_parse("[a]\nk=\0v", 8, &none, NULL, NULL), ERROR_INPUT);
}

static void bounds_hold(void **state)
{
    (void)state;
    struct ini_events none = {0};
    char *file = malloc(INI_MAX_SIZE + 1);
    assert_non_null(file);
    memset(file, '\n', INI_MAX_SIZE + 1);
    assert_int_equal(ini_parse(file, INI_MAX_SIZE, &none, NULL, NULL), 0);
    assert_int_equal(ini_parse(file, INI_MAX_SIZE + 1, &none, NULL, NULL), ERROR_LIMIT);
    memset(file, '#', INI_MAX_LINE + 1);
    assert_int_equal(ini_parse(file, INI_MAX_LINE, &none, NULL, NULL), 0);
    assert_int_equal(ini_parse(file, INI_MAX_LINE + 1, &none, NULL, NULL), ERROR_LIMIT);
    free(file);
}

static int refuse_section(void *data, const char *section, struct error *err)
{
    (void)data;
    return strcmp(section, "b") == 0 ? error_set(err, ERROR_CONFLICT, false, "enough") : 0;
}

static int refuse_value(void *data, const char *section, const char *key, const char *value,
                        struct error *err)
{
    (void)section, (void)value;
    ++*(int *)data;
    return strcmp(key, "l") == 0 ? error_set(err, ERROR_CONFLICT, false, "enough") : 0;
}

static void a_callback_ends_the_reading(void **state)
{
    (void)state;
    static const struct ini_events events = {refuse_section, refuse_value};
    static const char sections[] = "[a]\nk=1\n[b]\nm=1\n", values[] = "[a]\nk=1\nl=2\nm=3\n";
    int seen = 0;
    assert_int_equal(ini_parse(sections, strlen(sections), &events, &seen, NULL), ERROR_CONFLICT);
    assert_int_equal(seen, 1);
    seen = 0;
    assert_int_equal(ini_parse(values, strlen(values), &events, &seen, NULL), ERROR_CONFLICT);
    assert_int_equal(seen, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_become_events),
        cmocka_unit_test(malformed_lines_are_named_not_repeated),
        cmocka_unit_test(bounds_hold),
        cmocka_unit_test(a_callback_ends_the_reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
