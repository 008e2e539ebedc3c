/*
 * Secrets that we hand out: API tokens and the values of session cookies. 256 random bits each; only their
 * SHA-256 is kept, so that a copy of the database lets nobody in.
 */
#pragma once

#include <stdbool.h>

#include "base/digest.h"
#include "base/error.h"

#define BEARER_TOKEN_PREFIX "bm_" /* so that people and secret scanners recognise one */

enum { BEARER_SIZE = 48 }; /* prefix, 43 characters of URL-safe base64, and a NUL */

/* prefix: at most 4 bytes, "" for cookies. Overwrite it when it is handed out. ERROR_SYSTEM: no randomness.
 */
int bearer_make(const char *prefix, char ret_secret[BEARER_SIZE], struct error *err);

/* False: it can't be one of ours (its length or characters). */
bool bearer_hash(const char *secret, char ret_hex[DIGEST_SHA256_SIZE]);

/* HMAC-SHA-256 of purpose with the secret as key: what may be shown to scripts of a page beside a cookie that
 * they can't read. */
int bearer_derive(const char *secret, const char *purpose, char ret_hex[DIGEST_SHA256_SIZE],
                  struct error *err);

/* In time that depends on the lengths alone. */
bool bearer_equal(const char *a, const char *b);
