/*
 * Error answers by class: S3's own codes first, the HTTP status second. Pure. The table in errors.c follows
 * AWS's list of error responses and what MinIO, Ceph and Backblaze add to it.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

enum s3_error_class {
    S3_ERROR_FINAL,
    S3_ERROR_TRANSIENT, /* the same request may succeed soon */
    S3_ERROR_REGION,    /* signed for, or sent to, another region than the bucket's */
    S3_ERROR_CLOCK,     /* signed with a clock too far from the server's */
    S3_ERROR_TOKEN,     /* the credentials have expired */
    S3_ERROR_KEYS,      /* they are refused: final, unless they were replaced since they were read */
};

/* code "" = none came (HEAD has no body). */
enum s3_error_class s3_error_class(int status, const char *code);

/* Fills err (code, retryable, native, message without context: "403 AccessDenied: Access Denied; <way out>")
 * and returns its code. Runs of characters that could be a key, a token or a signature don't reach the
 * message. */
int s3_error_classify(int status, const char *code, const char *message, struct error *err);

/* Milliseconds to wait from now on, by the value of a Retry-After header (seconds, or an HTTP date): at most
 * a day; 0 = nothing said, or nothing that is understood. */
int64_t s3_retry_after_ms(const char *value, int64_t now_ms);

/* Unix time of an HTTP date (RFC 9110), or -1. */
int64_t s3_http_date_ms(const char *value);
