/*
 * What clients write, read by a table of fields: JSON bodies and query parameters alike. Everything that is
 * wrong is told at once, each with its field and what to write: unknown and repeated fields, missing ones,
 * wrong types, values out of range. A handler:
 *
 *   enum { NAME, PRIORITY, FIELDS };
 *   static const struct input_field fields[FIELDS] = {
 *       [NAME] = {"name", INPUT_TEXT, INPUT_REQUIRED, .min = 1, .max = 100},
 *       [PRIORITY] = {"priority", INPUT_INTEGER, .max = 1000},
 *   };
 *   const struct input *input = input_body(request, fields, FIELDS);
 *   if (input == NULL)
 *       return; // has been answered
 *   use(input->values[NAME].text);
 */
#pragma once

#include "http.h"
#include "problem.h"

#define INPUT_DEPTH_MAX 32
#define INPUT_FIELDS_MAX 48 /* of a table */

enum input_type {
    INPUT_TEXT, /* min..max bytes (max 0: 10000) of UTF-8; no control characters but, with INPUT_LINES, \n \t
                 */
    INPUT_INTEGER, /* min..max; both 0: 0..2147483647 */
    INPUT_BOOLEAN, /* query: true, false */
    INPUT_CHOICE,  /* one of choices; .integer is its index */
    INPUT_TIME, /* ISO 8601 with time and zone (2025-11-02T08:00:00Z, ...+01:00); .integer is ms since 1970 */
    INPUT_TEXTS,  /* array of texts, each of INPUT_TEXT's form and 1..max bytes, at most INPUT_TEXTS_MAX;
                     query:  separated by commas. .json is an array of strings */
    INPUT_OBJECT, /* any object of at most max bytes when written compactly (max 0: 64 KiB); bodies only */
};
#define INPUT_TEXTS_MAX 200

enum input_flags {
    INPUT_REQUIRED = 1,
    INPUT_NULLABLE = 2, /* bodies: null is a value (is_null); else it is refused */
    INPUT_LINES = 4,
    INPUT_SECRET = 8, /* messages never show the value */
    INPUT_OR_TEXT =
        16, /* INPUT_OBJECT: its JSON as a text (then .text, not .json) will do as well; it is not parsed */
};

struct input_field {
    const char *name;
    enum input_type type;
    unsigned flags;
    int64_t min, max;
    const char *const *choices; /* INPUT_CHOICE: ends with NULL */
    const char *hint;           /* what to write, ends the message; NULL: from type and range. No final dot */
};

struct input_value {
    bool given; /* the client wrote it; otherwise everything here is 0 */
    bool is_null;
    const char
        *text; /* INPUT_TEXT, INPUT_CHOICE; NUL-terminated, no NUL inside. INPUT_INTEGER: canonical digits */
    int64_t integer; /* INPUT_INTEGER, INPUT_CHOICE, INPUT_TIME */
    bool boolean;
    json_t *json; /* INPUT_TEXTS, INPUT_OBJECT; borrowed */
};

struct input {
    struct input_value values[INPUT_FIELDS_MAX]; /* in the table's order */
    unsigned n_given;
    /* private: what the values point into */
    json_t *root;
    char digits[INPUT_FIELDS_MAX][24];
};

/* The body, an object (an empty body counts as {}); the query's parameters. Valid until the request has been
 * replied to. NULL: it has been, with 400 (a body that can't be read: not JSON, nested deeper than
 * INPUT_DEPTH_MAX, not UTF-8, a member twice; a query that is wrong in any way) or 422 (a body's fields). */
const struct input *input_body(struct http_request *request, const struct input_field *fields,
                               size_t n_fields);
const struct input *input_query(struct http_request *request, const struct input_field *fields,
                                size_t n_fields);

/* -- the same without a request, for tests and fuzzers. NULL: ret_problem is filled and must be deinited. */

struct input *input_parse_body(const char *bytes, size_t size, const struct input_field *fields,
                               size_t n_fields, struct problem *ret_problem);
struct input *input_parse_query(const char *query, const struct input_field *fields, size_t n_fields,
                                struct problem *ret_problem);
void input_free(struct input *input); /* NULL is fine */
