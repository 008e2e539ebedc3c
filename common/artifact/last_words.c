#include "artifact/last_words.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

void last_words_init(struct last_words *words)
{
    memset(words, 0, sizeof *words);
}

static bool holds(const char *data, size_t n, const char *text)
{
    return n > 0 && memmem(data, n, text, strlen(text)) != NULL;
}

static void end_line(struct last_words *words)
{
    if (holds(words->line, words->line_n, "error:") || holds(words->line, words->line_n, "FATAL")) {
        memcpy(words->error_line, words->line, words->line_n);
        words->error_n = words->line_n;
    }
    words->line_n = 0;
}

static void watch_lines(struct last_words *words, const char *data, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (data[i] == '\n')
            end_line(words);
        else if (words->line_n < sizeof words->line)
            words->line[words->line_n++] = data[i];
    }
}

void last_words_add(struct last_words *words, const char *data, size_t n)
{
    watch_lines(words, data, n);
    if (n >= sizeof words->tail) {
        words->cut |= n > sizeof words->tail || words->n > 0;
        memcpy(words->tail, data + n - sizeof words->tail, sizeof words->tail);
        words->n = sizeof words->tail;
        return;
    }
    if (n > sizeof words->tail - words->n) {
        size_t drop = n - (sizeof words->tail - words->n);
        memmove(words->tail, words->tail + drop, words->n - drop);
        words->n -= drop;
        words->cut = true;
    }
    memcpy(words->tail + words->n, data, n);
    words->n += n;
}

bool last_words_say(const struct last_words *words, const char *text)
{
    return holds(words->tail, words->n, text) || holds(words->error_line, words->error_n, text);
}

/* Bytes of the well-formed UTF-8 character at s, 0 if there is none. */
static size_t utf8_size(const unsigned char *s, size_t n)
{
    size_t size = s[0] < 0x80 ? 1 : (s[0] & 0xe0) == 0xc0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : 4;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (size == 1)
        return 1;
    if (size > n || s[0] > 0xf4)
        return 0;
    uint32_t c = s[0] & (0x7fU >> size);
    for (size_t i = 1; i < size; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3f);
    }
    bool surrogate = c >= 0xd800 && c <= 0xdfff;
    return c < least[size] || c > 0x10ffff || surrogate ? 0 : size;
}

/* Appends as much of the bytes as fits in whole characters. */
static size_t put_clean(char *out, size_t at, size_t size, const char *data, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t bytes = utf8_size((const unsigned char *)data + i, n - i);
        unsigned char c = (unsigned char)data[i];
        if (at + (bytes ? bytes : 1) >= size)
            break;
        if (bytes == 0)
            out[at] = '?';
        else if (c < 0x20 || c == 0x7f)
            out[at] = ' ';
        else
            memcpy(out + at, data + i, bytes);
        at += bytes ? bytes : 1;
        i += bytes ? bytes : 1;
    }
    out[at] = '\0';
    return at;
}

void last_words_text(const struct last_words *words, char *out)
{
    const char *start = words->tail;
    const char *end = words->tail + words->n;
    while (end > start && (end[-1] == '\n' || end[-1] == '\r' || end[-1] == ' '))
        end--;
    bool cut = words->cut;
    size_t at = 0;
    out[0] = '\0';
    if (words->cut && words->error_n > 0 &&
        memmem(start, (size_t)(end - start), words->error_line, words->error_n) == NULL) {
        at = put_clean(out, at, LAST_WORDS_SIZE - 8, words->error_line, words->error_n);
        at = put_clean(out, at, LAST_WORDS_SIZE, " ... ", 5);
    }
    size_t room = LAST_WORDS_SIZE - 1 - at;
    if ((size_t)(end - start) > room) {
        start = end - room;
        cut = true;
    }
    if (cut) { /* from the first whole line on, if there is one */
        const char *newline = memchr(start, '\n', (size_t)(end - start));
        start = newline ? newline + 1 : start;
        while (start < end && ((unsigned char)*start & 0xc0) == 0x80)
            start++;
    }
    put_clean(out, at, LAST_WORDS_SIZE, start, (size_t)(end - start));
}
