#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "base/xml.h"

/* Events as lines: "+a/b" start, "=a/b:text", "-a/b" end. */
static int note_start(void *data, const char *path, struct error *err)
{
    (void)err;
    strbuf_printf(data, "+%s\n", path);
    return 0;
}

static int note_text(void *data, const char *path, const char *text, size_t size, struct error *err)
{
    (void)err;
    assert_int_equal(strlen(text), size);
    strbuf_printf(data, "=%s:%s\n", path, text);
    return 0;
}

static int note_end(void *data, const char *path, struct error *err)
{
    (void)err;
    strbuf_printf(data, "-%s\n", path);
    return 0;
}

static const struct xml_events notes = {note_start, note_text, note_end};

static void documents_become_events(void **state)
{
    (void)state;
    static const struct {
        const char *document, *events;
    } cases[] = {
        {"<a/>", "+a\n=a:\n-a\n"},
        {"<a>x</a>", "+a\n=a:x\n-a\n"},
        {" \r\n\t<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a>x</a>\n", "+a\n=a:x\n-a\n"},
        {"<a> x  y\n</a>", "+a\n=a: x  y\n\n-a\n"},
        {"<a><b>1</b> <b>2</b><c/></a>",
         "+a\n+a/b\n=a/b:1\n-a/b\n+a/b\n=a/b:2\n-a/b\n+a/c\n=a/c:\n-a/c\n-a\n"},
        {"<a>lost<b>1</b>lost</a>", "+a\n+a/b\n=a/b:1\n-a/b\n-a\n"},
        {"<s:a xmlns:s=\"http://x/\" s:n=\"1\"><s:b>1</s:b></s:a>", "+a\n+a/b\n=a/b:1\n-a/b\n-a\n"},
        {"<a xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><E>&quot;1&quot;&#38;&lt;</E></a>",
         "+a\n+a/E\n=a/E:\"1\"&<\n-a/E\n-a\n"},
        {"<a>1<!-- no -->2<![CDATA[<3>]]><?pi no?>4</a>", "+a\n=a:12<3>4\n-a\n"},
        {"<a>\xe1\x88\xb4</a>", "+a\n=a:\xe1\x88\xb4\n-a\n"},
        {"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>\xe8</a>", "+a\n=a:\xc3\xa8\n-a\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct strbuf events;
        struct error err = {0};
        strbuf_init(&events, 4096);
        int rc = xml_parse(cases[i].document, strlen(cases[i].document), 4096, &notes, &events, &err);
        if (rc)
            fail_msg("%s: %s", cases[i].document, err.message);
        assert_string_equal(strbuf_cstr(&events), cases[i].events);
        strbuf_deinit(&events);
    }
}

static void what_is_no_document_is_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "  \n",
        "hello",
        "<a>",
        "<a><b></a>",
        "<a>x</a",
        "<a/><b/>",
        "<a>&nbsp;</a>",
        "<a>\xff</a>",
        "{\"a\":1}",
        "<!DOCTYPE a><a/>",
        "<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>",
        "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>",
        "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>",
        "<!DOCTYPE html><html><body>no</body></html>",
    };
    struct xml_events none = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        if (xml_parse(cases[i], strlen(cases[i]), 4096, &none, NULL, &err) != ERROR_PROTOCOL)
            fail_msg("%s: accepted, or another error: %s", cases[i], err.message);
        assert_true(err.retryable);
        assert_null(strstr(err.message, "passwd"));
    }
}

/* <a><a>...</a></a>, depth times */
static char *nested(const char *name, int depth)
{
    struct strbuf b;
    strbuf_init(&b, 1 << 20);
    for (int i = 0; i < depth; i++)
        strbuf_printf(&b, "<%s>", name);
    for (int i = 0; i < depth; i++)
        strbuf_printf(&b, "</%s>", name);
    assert_false(b.failed);
    return b.data;
}

static int parse_nested(const char *name, int depth)
{
    struct xml_events none = {0};
    char *document = nested(name, depth);
    int rc = xml_parse(document, strlen(document), 1 << 20, &none, NULL, NULL);
    free(document);
    return rc;
}

static void bounds_hold(void **state)
{
    (void)state;
    struct xml_events none = {0};
    assert_int_equal(parse_nested("a", XML_MAX_DEPTH), 0);
    assert_int_equal(parse_nested("a", XML_MAX_DEPTH + 1), ERROR_LIMIT);
    char name[XML_MAX_PATH + 2];
    memset(name, 'n', sizeof name);
    name[XML_MAX_PATH + 1] = '\0';
    assert_int_equal(parse_nested(name, 1), ERROR_LIMIT);
    name[XML_MAX_PATH] = '\0';
    assert_int_equal(parse_nested(name, 1), 0);

    assert_int_equal(xml_parse("<a>x</a>", 8, 8, &none, NULL, NULL), 0);
    assert_int_equal(xml_parse("<a>x</a>", 8, 7, &none, NULL, NULL), ERROR_LIMIT);

    size_t size = XML_MAX_TEXT + 8;
    char *document = malloc(size);
    assert_non_null(document);
    memset(document, 'x', size);
    memcpy(document, "<a>", 3);
    memcpy(document + size - 4, "</a>", 4);
    assert_int_equal(xml_parse(document, size, size, &none, NULL, NULL), ERROR_LIMIT);
    memcpy(document + size - 5, "</a>\n", 5);
    assert_int_equal(xml_parse(document, size, size, &none, NULL, NULL), 0);
    free(document);
}

struct refusal {
    int calls, at;
};

static int refuse_text(void *data, const char *path, const char *text, size_t size, struct error *err)
{
    struct refusal *r = data;
    (void)path, (void)text, (void)size;
    return ++r->calls == r->at ? error_set(err, ERROR_CONFLICT, false, "enough") : 0;
}

static int refuse_end(void *data, const char *path, struct error *err)
{
    struct refusal *r = data;
    (void)path;
    return ++r->calls == r->at ? error_set(err, ERROR_CONFLICT, false, "enough") : 0;
}

static void a_callback_ends_the_reading(void **state)
{
    (void)state;
    static const char document[] = "<a><b/><b/><b/></a>";
    static const struct xml_events texts = {.on_text = refuse_text}, ends = {.on_end = refuse_end};
    for (int at = 1; at <= 3; at++) {
        struct refusal r = {.at = at}, s = {.at = at};
        struct error err = {0};
        assert_int_equal(xml_parse(document, strlen(document), 100, &texts, &r, &err), ERROR_CONFLICT);
        assert_string_equal(err.message, "enough");
        assert_int_equal(r.calls, at);
        assert_int_equal(xml_parse(document, strlen(document), 100, &ends, &s, &err), ERROR_CONFLICT);
        assert_int_equal(s.calls, at);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_become_events),
        cmocka_unit_test(what_is_no_document_is_refused),
        cmocka_unit_test(bounds_hold),
        cmocka_unit_test(a_callback_ends_the_reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
