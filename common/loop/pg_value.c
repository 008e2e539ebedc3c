#include <inttypes.h>
#include <stdlib.h>

#include "loop/pg.h"

void pg_array_begin(struct strbuf *b)
{
    strbuf_putc(b, '{');
}

static void separate(struct strbuf *b)
{
    if (b->size > 0 && b->data[b->size - 1] != '{')
        strbuf_putc(b, ',');
}

void pg_array_int(struct strbuf *b, int64_t value)
{
    separate(b);
    strbuf_printf(b, "%" PRId64, value);
}

void pg_array_text(struct strbuf *b, const char *value)
{
    separate(b);
    if (value == NULL) {
        strbuf_puts(b, "NULL");
        return;
    }
    strbuf_putc(b, '"');
    for (const char *p = value; *p; p++) {
        if (*p == '"' || *p == '\\')
            strbuf_putc(b, '\\');
        strbuf_putc(b, *p);
    }
    strbuf_putc(b, '"');
}

void pg_array_end(struct strbuf *b)
{
    strbuf_putc(b, '}');
}

const char *pg_text(const PGresult *r, int row, int column)
{
    return PQgetisnull(r, row, column) ? NULL : PQgetvalue(r, row, column);
}

int64_t pg_int(const PGresult *r, int row, int column, int64_t fallback)
{
    const char *text = pg_text(r, row, column);
    return text && *text ? strtoll(text, NULL, 10) : fallback;
}

int pg_bool(const PGresult *r, int row, int column, int fallback)
{
    const char *text = pg_text(r, row, column);
    return text && *text ? *text == 't' : fallback;
}
