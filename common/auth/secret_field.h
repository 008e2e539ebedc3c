/* One field of a secret that is a JSON object, as Vault and AWS Secrets Manager keep them. */
#pragma once

#include "base/error.h"

/*
 * field "": a copy of the text. Otherwise the text must be a JSON object with that member: a string gives its
 * value, anything else its JSON. what: the reference, for messages; the text is never repeated in them.
 * *ret_secret is malloc'ed: free it with secret_free. ERROR_NOT_FOUND (no such field, or an empty one),
 * ERROR_INPUT (no JSON object); retryable: people repair secrets.
 */
int secret_field(const char *text, const char *field, const char *what, char **ret_secret, struct error *err);
