/*
 * Secrets by reference: env:NAME, file:/path (read at each call, one trailing newline dropped); a bare name
 * is put into default_template ("vault:kv/%s") when that is set. vault: and aws-sm: are recognised and
 * refused as ERROR_UNSUPPORTED.
 */
#pragma once

#include "base/error.h"

/*
 * Syntax only: ERROR_INPUT names the forms that can be used. The reference itself is repeated in the message
 * only when it begins with a known scheme: anything else may be a literal secret in the wrong place.
 * default_template may be NULL or "".
 */
int secret_reference_check(const char *reference, const char *default_template, struct error *err);

/*
 * Blocking (a small file at most). *ret_secret is malloc'ed: free it with secret_free. A missing, empty or
 * unreadable variable or file is ERROR_NOT_FOUND / ERROR_DENIED / ... (retryable: people repair secrets); the
 * message names the reference, never the value. Bound: 64 KiB.
 */
int secret_resolve(const char *reference, const char *default_template, char **ret_secret, struct error *err);

/* Overwrites and frees; NULL is fine. */
void secret_free(char *secret);
