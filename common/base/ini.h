/*
 * Profile files as AWS's tools read them, given whole:
 *
 *     # comment            ; comment
 *     [section]            blanks inside the brackets at both ends don't count
 *     key = value          ends at a blank followed by '#' or ';'; keys are given in lower case
 *     s3 =
 *         nested = skipped: lines that stand further to the right than the key before them
 *
 * LF or CRLF, a UTF-8 byte order mark in front is fine. A section or key may come again: the reader decides.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"

enum {
    INI_MAX_SIZE = 1024 * 1024,
    INI_MAX_LINE = 64 * 1024,
};

/* May be NULL. Strings are valid during the call only, and are overwritten at the end. Each returns 0, or a
 * negative code with err filled, which ends the reading with that error. */
struct ini_events {
    int (*on_section)(void *data, const char *section, struct error *err);
    int (*on_value)(void *data, const char *section, const char *key, const char *value, struct error *err);
};

/* ERROR_INPUT names the line's number, never its content; ERROR_LIMIT; ERROR_SYSTEM. Bytes needn't be UTF-8;
 * a zero byte is refused. */
int ini_parse(const char *bytes, size_t size, const struct ini_events *events, void *data, struct error *err);
