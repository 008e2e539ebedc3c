/* Private to the Azure credentials: one set of them in memory of its own. */
#pragma once

#include <stdbool.h>

#include "auth/azure_credentials.h"

enum { AZURE_KEYS_MAX = 64 * 1024 }; /* bytes of one set, its source included */

/*
 * Checks that a set can be used and copies it; the id is computed. "" becomes NULL. from->source names its
 * origin in messages. ERROR_INPUT: a name that no account has, an empty secret, a blank or a control
 * character in one, a key without an account; no value is ever repeated.
 */
int azure_keys_new(const struct azure_credentials *from, struct azure_credentials **ret, struct error *err);

/* Whether what is sent with each request may go to endpoint (none: the credentials' own, else https). sas:
 * it may go over https only, says its issuer. ERROR_INPUT: it would be readable on the way. */
int azure_keys_check_endpoint(const struct azure_credentials *keys, const char *endpoint, bool https_only,
                              struct error *err);

/* "" and NULL alike. */
bool azure_is_said(const char *text);
