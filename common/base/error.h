/*
 * What went wrong, for callers and for people.
 *
 * Functions that can fail return 0 or a negative `enum error_code` and fill a caller-owned `struct error`.
 * The code is for callers that branch on it, the message for the operator; context is added on the way up.
 * Outputs are untouched on failure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum error_code {
    ERROR_INPUT = -1,        /* what a person or a configuration said is wrong; nothing was changed */
    ERROR_NOT_FOUND = -2,    /* the named thing does not exist */
    ERROR_EXISTS = -3,       /* the named thing exists already */
    ERROR_UNREACHABLE = -4,  /* a server, a disk or a source can't be reached now */
    ERROR_TIMEOUT = -5,      /* no answer within the bound */
    ERROR_IO = -6,           /* reading or writing failed */
    ERROR_NO_SPACE = -7,     /* the place is full */
    ERROR_DENIED = -8,       /* permission, credentials */
    ERROR_CONFLICT = -9,     /* something else stands at the final name, or someone else changed the row */
    ERROR_CORRUPT = -10,     /* size or digest differs from what was promised */
    ERROR_SOURCE = -11,      /* the source's dump began and failed */
    ERROR_CANCELLED = -12,   /* a person, a drain or a lost lease ended it */
    ERROR_PROTOCOL = -13,    /* a peer said something it must not say */
    ERROR_LIMIT = -14,       /* a bound was reached */
    ERROR_UNSAFE_PATH = -15, /* a path that leaves its base, or a name that can't be used */
    ERROR_UNSUPPORTED = -16, /* known, but not possible here */
    ERROR_SYSTEM = -17,      /* memory, descriptors, threads, a bug */
};

struct error {
    int code;               /* enum error_code, 0 = none */
    bool retryable;         /* the same call may succeed later */
    int64_t retry_after_ms; /* the peer asked to wait that long; 0 = it said nothing */
    char native[24];        /* SQLSTATE, errno name, HTTP status, ...; may be empty */
    char message[1000];     /* one line, no secret in it */
};

/* Fills *err (may be NULL) and returns code. */
int error_set(struct error *err, int code, bool retryable, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same, from an errno value: code and retryability by the table in queue-protocol "Errors on disks", the
 * message ends in ": <strerror>", native is the errno's name. Returns the code. */
int error_errno(struct error *err, int errnum, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Prefixes "context: " to the message. */
void error_context(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Stable lower-case name ("no_space"), as stored in backup_destinations.error_code. */
const char *error_code_name(int code);

/* Exit status for a program that ends with this error: 2 for ERROR_INPUT, 1 otherwise. */
int error_exit_status(const struct error *err);
