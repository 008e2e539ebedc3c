#include "base/ini.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct reading {
    const struct ini_events *events;
    void *data;
    char *line, *section; /* INI_MAX_LINE + 1 bytes each */
    int number;
    bool in_section;
    size_t key_indent; /* of the last key of this section; SIZE_MAX = none yet */
    struct error *err;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

/* Cuts blanks at the end, passes those in front. */
static char *trim(char *text)
{
    size_t n = strlen(text);
    while (n > 0 && is_blank(text[n - 1]))
        n--;
    text[n] = '\0';
    while (is_blank(*text))
        text++;
    return text;
}

static bool is_comment_or_empty(const char *text)
{
    return *text == '\0' || *text == '#' || *text == ';';
}

static int malformed(struct reading *r, const char *why)
{
    return error_set(r->err, ERROR_INPUT, false, "line %d: %s", r->number, why);
}

static int read_section(struct reading *r, char *text)
{
    char *end = strchr(text, ']');
    if (end == NULL)
        return malformed(r, "a section without its ']'");
    *end = '\0';
    if (!is_comment_or_empty(trim(end + 1)))
        return malformed(r, "something behind the ']' of a section");
    char *name = trim(text + 1);
    if (*name == '\0')
        return malformed(r, "a section without a name");
    memcpy(r->section, name, strlen(name) + 1);
    r->in_section = true;
    r->key_indent = SIZE_MAX;
    return r->events->on_section ? r->events->on_section(r->data, r->section, r->err) : 0;
}

/* " #..." and " ;..." behind a value are comments; a '#' right behind other text belongs to the value. */
static void cut_comment(char *value)
{
    for (char *at = value; *at; at++) {
        if ((*at == '#' || *at == ';') && (at == value || is_blank(at[-1]))) {
            *at = '\0';
            return;
        }
    }
}

static int read_value(struct reading *r, char *text, size_t indent)
{
    char *equals = strchr(text, '=');
    if (equals == NULL)
        return malformed(r, "neither a [section] nor \"key = value\" nor a comment");
    if (!r->in_section)
        return malformed(r, "a key in front of the first [section]");
    *equals = '\0';
    char *key = trim(text);
    if (*key == '\0')
        return malformed(r, "a value without a key");
    for (char *c = key; *c; c++)
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
    cut_comment(equals + 1);
    r->key_indent = indent;
    return r->events->on_value ? r->events->on_value(r->data, r->section, key, trim(equals + 1), r->err) : 0;
}

static int read_line(struct reading *r, const char *bytes, size_t size)
{
    r->number++;
    if (size > INI_MAX_LINE)
        return error_set(r->err, ERROR_LIMIT, false, "line %d: longer than %d bytes", r->number,
                         INI_MAX_LINE);
    if (memchr(bytes, '\0', size))
        return malformed(r, "a zero byte, so this is not text");
    memcpy(r->line, bytes, size);
    r->line[size] = '\0';
    char *text = trim(r->line);
    size_t indent = (size_t)(text - r->line);
    if (is_comment_or_empty(text))
        return 0;
    if (r->key_indent != SIZE_MAX && indent > r->key_indent)
        return 0;
    return *text == '[' ? read_section(r, text) : read_value(r, text, indent);
}

static int read_lines(struct reading *r, const char *bytes, size_t size)
{
    if (size >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0)
        bytes += 3, size -= 3;
    while (size > 0) {
        const char *end = memchr(bytes, '\n', size);
        size_t length = end ? (size_t)(end - bytes) : size;
        int rc = read_line(r, bytes, length);
        if (rc)
            return rc;
        size_t used = length + (end != NULL);
        bytes += used;
        size -= used;
    }
    return 0;
}

int ini_parse(const char *bytes, size_t size, const struct ini_events *events, void *data, struct error *err)
{
    enum { BUFFER = INI_MAX_LINE + 1 };
    if (size > INI_MAX_SIZE)
        return error_set(err, ERROR_LIMIT, false, "longer than %d bytes", INI_MAX_SIZE);
    struct reading r = {.events = events, .data = data, .key_indent = SIZE_MAX, .err = err};
    char *buffers = malloc((size_t)2 * BUFFER);
    if (buffers == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    r.line = buffers;
    r.section = buffers + BUFFER;
    int rc = read_lines(&r, bytes, size);
    explicit_bzero(r.line, BUFFER);
    free(buffers);
    return rc;
}
