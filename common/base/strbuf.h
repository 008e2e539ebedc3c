/*
 * A growing string with a maximum. Once the maximum is passed or memory is out, `failed` is set and further
 * appends do nothing: check once, at the end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct strbuf {
    char *data; /* NUL-terminated; NULL while empty */
    size_t size;
    size_t capacity;
    size_t max;
    bool failed;
};

void strbuf_init(struct strbuf *b, size_t max);
void strbuf_deinit(struct strbuf *b);
void strbuf_clear(struct strbuf *b); /* keeps the memory, clears failed */
void strbuf_append(struct strbuf *b, const char *data, size_t n);
void strbuf_puts(struct strbuf *b, const char *text);
void strbuf_putc(struct strbuf *b, char c);
void strbuf_printf(struct strbuf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *strbuf_cstr(const struct strbuf *b); /* "" while empty */
