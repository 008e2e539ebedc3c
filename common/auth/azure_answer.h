/* Private to the Azure credentials: what is answered to the question for a token. Pure functions. No message
 * repeats more of an answer than an error's code. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct azure_token {
    char *text; /* secret_free */
    int64_t expires_at_ms;
};

/* A 200: {access_token, token_type, expires_in or expires_on (seconds, as numbers or texts)}. what: for
 * messages. expires_in goes before expires_on: it needs no clock that is right. ERROR_PROTOCOL (retryable):
 * not that. */
int azure_answer_read(const char *what, const char *body, size_t size, int64_t now_ms,
                      struct azure_token *ret, struct error *err);

/* Any other status: {error, error_description}, or nothing of the kind. ERROR_UNREACHABLE (retryable):
 * throttled, or the service's own fault; managed identities say 404 and 410 too while they come up.
 * ERROR_DENIED: refused, with what to do about it where the code tells. native holds the code,
 * or the status. */
int azure_answer_refused(const char *what, int status, const char *body, size_t size, bool managed,
                         struct error *err);

/* Seconds, as a header's value; NULL or anything else: 0. At most a day. */
int64_t azure_answer_retry_after_ms(const char *value);
