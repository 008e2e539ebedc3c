/* Fernet tokens (github.com/fernet/spec): the older system's databases.password_encrypted. Reading only. */
#pragma once

#include "base/error.h"

/* key: urlsafe base64 of 32 bytes (the older system's ENCRYPTION_KEY). *ret: malloc'ed, free with
 * secret_free. ERROR_INPUT: key or token malformed; ERROR_DENIED: the token was made with another key, or
 * changed. No message repeats either. */
int fernet_decrypt(const char *token, const char *key, char **ret, struct error *err);
