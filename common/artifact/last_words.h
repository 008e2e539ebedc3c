/*
 * The end of what a child wrote to its standard error, for an error message: the last whole lines, and before
 * them the last line that says "error:" or "FATAL" when a long detail has pushed it out.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum {
    LAST_WORDS_TAIL = 2048,
    LAST_WORDS_LINE = 400,
    LAST_WORDS_SIZE = 800, /* of the text given out, with its NUL */
};

struct last_words {
    char tail[LAST_WORDS_TAIL];
    size_t n;
    bool cut; /* the tail does not begin where the stream did */
    char line[LAST_WORDS_LINE];
    size_t line_n;
    char error_line[LAST_WORDS_LINE];
    size_t error_n;
};

void last_words_init(struct last_words *words);
void last_words_add(struct last_words *words, const char *data, size_t n);
/* One line of valid UTF-8 without control characters into out[LAST_WORDS_SIZE]; "" when nothing was said. */
void last_words_text(const struct last_words *words, char *out);
/* Whether what is kept holds this text. */
bool last_words_say(const struct last_words *words, const char *text);
