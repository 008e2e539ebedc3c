/* Private to the Google credentials: what the services answer. Pure functions. No message repeats more of an
 * answer than an error's code and words (google_text_copy_said). */
#pragma once

#include <stddef.h>

#include "auth/google_source.h"

struct google_token {
    char *value; /* free with secret_free */
    int64_t expires_at_ms;
};

/* Where an answer comes from, and where the one who reads an error has to look. */
enum google_step {
    GOOGLE_STEP_METADATA,
    GOOGLE_STEP_ASSERTION,   /* a service account's, for a token */
    GOOGLE_STEP_REFRESH,     /* a user's refresh token, for a token */
    GOOGLE_STEP_SUBJECT,     /* the identity provider's token */
    GOOGLE_STEP_EXCHANGE,    /* ... for one of Google's */
    GOOGLE_STEP_IMPERSONATE, /* a token, for one of a service account */
};

struct google_answer {
    enum google_step step;
    const char *what; /* in front of messages */
    int status;       /* HTTP's */
    const char *body;
    size_t size;
    const char *flavor;      /* of the header Metadata-Flavor; NULL = none */
    const char *retry_after; /* of that header, in seconds (a date is taken for none); NULL = none */
    int64_t now_ms;          /* Unix time */
};

/*
 * A token, of any step but GOOGLE_STEP_SUBJECT. *ret is untouched on an error:
 *
 *   ERROR_PROTOCOL     not what such a service answers; retryable
 *   ERROR_UNREACHABLE  408, 429, 5xx, or a code that says the service has a problem; retryable
 *   ERROR_DENIED       refused, and what to look at. Retryable is an identity provider's token that isn't
 *                      valid, for it is renewed
 *   ERROR_NOT_FOUND    GOOGLE_STEP_METADATA: whoever answers isn't Google's metadata server; or the machine
 *                      has no service account
 */
int google_answer_token(const struct google_answer *answer, struct google_token *ret, struct error *err);

/* The identity provider's token (free with secret_free) in an answer; or in a file's text, status 200. field:
 * as in google_source. Blanks at its ends are dropped. ERROR_PROTOCOL, ERROR_UNREACHABLE, ERROR_DENIED:
 * retryable, for such tokens are renewed. */
int google_answer_subject(const struct google_answer *answer, const char *field, char **ret,
                          struct error *err);
