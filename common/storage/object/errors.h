/*
 * Error answers by class: the store's own codes first, the HTTP status second. Each driver brings its codes
 * as data. Pure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum object_error_class {
    OBJECT_ERROR_FINAL,
    OBJECT_ERROR_TRANSIENT, /* the same request may succeed soon */
    OBJECT_ERROR_CLOCK,     /* signed with a clock too far from the server's */
    OBJECT_ERROR_TOKEN,     /* the credentials have expired */
    OBJECT_ERROR_KEYS,      /* they are refused: final, unless they were replaced since they were read */
    OBJECT_ERROR_REGION,    /* signed for, or sent to, another region than the container's */
};

struct object_error_row {
    const char *code; /* ends in '*': a beginning; NULL in rows of a status */
    enum object_error_class class;
    enum error_code error;
    const char *way_out; /* for people; NULL = none */
};

/* What stands for an answer without a code, or with one that isn't in the table. */
struct object_status_row {
    int status;
    struct object_error_row row;
};

struct object_error_table {
    const struct object_error_row *codes; /* the first match counts */
    size_t n_codes;
    const struct object_status_row *statuses; /* before those that all stores have in common (errors.c) */
    size_t n_statuses;
};

/* code "" = none came. Always finds one. */
struct object_error_row object_error_find(const struct object_error_table *table, int status,
                                          const char *code);

/* Fills err (code, retryable: TRANSIENT, CLOCK and TOKEN; native; message without context: "403 AccessDenied:
 * Access Denied; <way out>") and returns its code. Runs of characters that could be a key, a token or a
 * signature don't reach the message. */
int object_error_fill(const struct object_error_row *row, int status, const char *code, const char *message,
                      struct error *err);

/* "***" in place of what could be a key, a token or a signature: 32 characters and more. In place. */
void object_hide_secrets(char *text);
/* '*' over each occurrence of what (which may be ""). In place. */
void object_hide_text(char *text, const char *what);

/* Milliseconds to wait from now on, by the value of a Retry-After header (seconds, or an HTTP date): at most
 * a day; 0 = nothing said (value may be NULL), or nothing that is understood. */
int64_t object_retry_after_ms(const char *value, int64_t now_ms);

/* Unix time of an HTTP date (RFC 9110), or -1. */
int64_t object_http_date_ms(const char *value);
