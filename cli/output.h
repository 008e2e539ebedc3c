/*
 * What people and programs read: JSON rows as tables, as lists of facts, or as they are. Columns of a table
 * are a static description; values come from JSON objects as the store gives them (column names as keys,
 * times in ISO 8601 UTC).
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum output_format {
    OUTPUT_TEXT,
    OUTPUT_NUMBER,   /* to the right */
    OUTPUT_SIZE,     /* bytes -> "34.2 MiB" */
    OUTPUT_TIME,     /* ISO 8601 -> "2025-11-02 08:00:00" */
    OUTPUT_SECONDS,  /* "45 s", "2 m 05 s" */
    OUTPUT_YESNO,    /* boolean */
    OUTPUT_CHECKSUM, /* the first 12 digits */
};

struct output_column {
    const char *title; /* NULL ends the list */
    const char *key;
    enum output_format format;
};

/* One line per object of the array; `empty` is printed instead of a table without rows. */
void output_table(const json_t *rows, const struct output_column *columns, const char *empty);

/* "title:  value" lines; null values are left out. Sizes show exact bytes too, checksums in full. */
void output_facts(const json_t *row, const struct output_column *columns);

/* Indented JSON and a newline on stdout. */
void output_json(const json_t *value);

/* Columns that a terminal needs for this UTF-8 text; control characters and broken bytes count as the '?'
 * they are shown as. */
int output_width(const char *text);

/* "34.2 MiB" into out[32]. */
const char *output_size(int64_t bytes, char *out);
