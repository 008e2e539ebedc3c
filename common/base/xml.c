#include "base/xml.h"

#include <assert.h>
#include <expat.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include "base/strbuf.h"

struct reading {
    const struct xml_events *events;
    void *data;
    XML_Parser parser;
    struct strbuf path, text;
    size_t parent_size[XML_MAX_DEPTH]; /* path.size in front of each open element */
    int depth;
    bool leaf; /* no element has ended inside the innermost open one so far */
    struct error *err;
    int rc; /* negative: ends the reading */
};

/* Ends the reading with rc; expat makes no further calls but those for the end of an empty element. */
static void stop(struct reading *r, int rc)
{
    if (rc == 0 || r->rc)
        return;
    r->rc = rc;
    XML_StopParser(r->parser, XML_FALSE);
}

static unsigned long line(const struct reading *r)
{
    return XML_GetCurrentLineNumber(r->parser);
}

static void on_start(void *data, const XML_Char *name, const XML_Char **attributes)
{
    struct reading *r = data;
    (void)attributes;
    if (r->rc)
        return;
    if (r->depth == XML_MAX_DEPTH) {
        stop(r, error_set(r->err, ERROR_LIMIT, false, "XML: line %lu: elements nested deeper than %d",
                          line(r), XML_MAX_DEPTH));
        return;
    }
    const char *colon = strrchr(name, ':');
    r->parent_size[r->depth++] = r->path.size;
    if (r->path.size > 0)
        strbuf_putc(&r->path, '/');
    strbuf_puts(&r->path, colon ? colon + 1 : name);
    if (r->path.failed) {
        stop(r, error_set(r->err, ERROR_LIMIT, false, "XML: line %lu: names longer than %d bytes in all",
                          line(r), XML_MAX_PATH));
        return;
    }
    r->leaf = true;
    strbuf_clear(&r->text);
    if (r->events->on_start)
        stop(r, r->events->on_start(r->data, strbuf_cstr(&r->path), r->err));
}

static void on_characters(void *data, const XML_Char *text, int size)
{
    struct reading *r = data;
    if (r->rc || !r->leaf)
        return;
    strbuf_append(&r->text, text, (size_t)size);
    if (r->text.failed)
        stop(r, error_set(r->err, ERROR_LIMIT, false, "XML: line %lu: a text longer than %d bytes", line(r),
                          XML_MAX_TEXT));
}

static void on_end(void *data, const XML_Char *name)
{
    struct reading *r = data;
    (void)name;
    if (r->rc)
        return;
    assert(r->depth > 0);
    const struct xml_events *e = r->events;
    if (r->leaf && e->on_text)
        stop(r, e->on_text(r->data, strbuf_cstr(&r->path), strbuf_cstr(&r->text), r->text.size, r->err));
    if (r->rc == 0 && e->on_end)
        stop(r, e->on_end(r->data, strbuf_cstr(&r->path), r->err));
    r->leaf = false;
    r->path.size = r->parent_size[--r->depth];
    r->path.data[r->path.size] = '\0';
}

static void on_doctype(void *data, const XML_Char *name, const XML_Char *system_id, const XML_Char *public_id,
                       int has_internal_subset)
{
    struct reading *r = data;
    (void)name, (void)system_id, (void)public_id, (void)has_internal_subset;
    if (r->rc == 0)
        stop(r, error_set(r->err, ERROR_PROTOCOL, true, "XML: line %lu: a document type, which is refused",
                          line(r)));
}

static int run(struct reading *r, const char *bytes, size_t size)
{
    XML_SetUserData(r->parser, r);
    XML_SetElementHandler(r->parser, on_start, on_end);
    XML_SetCharacterDataHandler(r->parser, on_characters);
    XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
    if (XML_Parse(r->parser, bytes, (int)size, XML_TRUE) == XML_STATUS_OK && r->rc == 0)
        return 0;
    if (r->rc)
        return r->rc;
    enum XML_Error code = XML_GetErrorCode(r->parser);
    if (code == XML_ERROR_NO_MEMORY)
        return error_set(r->err, ERROR_SYSTEM, true, "out of memory");
    return error_set(r->err, ERROR_PROTOCOL, true, "XML: line %lu: %s", line(r), XML_ErrorString(code));
}

int xml_parse(const char *bytes, size_t size, size_t max, const struct xml_events *events, void *data,
              struct error *err)
{
    if (size > max || size > INT_MAX)
        return error_set(err, ERROR_LIMIT, false, "XML: longer than %zu bytes", max);
    while (size > 0 && strchr(" \t\r\n", *bytes) && *bytes != '\0')
        bytes++, size--;
    struct reading r = {.events = events, .data = data, .err = err, .parser = XML_ParserCreate(NULL)};
    if (r.parser == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    strbuf_init(&r.path, XML_MAX_PATH);
    strbuf_init(&r.text, XML_MAX_TEXT);
    int rc = run(&r, bytes, size);
    XML_ParserFree(r.parser);
    strbuf_deinit(&r.path);
    if (r.text.data)
        explicit_bzero(r.text.data, r.text.capacity); /* STS sends keys this way */
    strbuf_deinit(&r.text);
    return rc;
}
