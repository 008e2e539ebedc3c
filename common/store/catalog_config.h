/* A destination's storage_config as people write it, before catalog_apply: its secrets encrypted, opened for
 * the checks. */
#pragma once

#include <stdbool.h>

#include <jansson.h>

#include "auth/keyring.h"
#include "base/error.h"

/* What catalog rows show in place of what is sealed. */
#define CATALOG_CONFIG_HIDDEN "***"

/* Whether text is to be sealed or opened: catalog_config_settle will need the keys. text may be NULL. */
bool catalog_config_needs_keys(const char *text, bool encrypt);

/*
 * Sets storage_config in changes from text, as it was written: encrypt replaces its literal secrets by
 * `sealed`; without, they are refused. What is sealed is opened into the key opened_config, for
 * catalog_apply's checks.
 *
 * kept: the storage_config that the row has by now, not redacted, "" when it has none: "sealed": "***", as
 * rows are shown, stands for what is sealed in it. NULL: for nothing. With encrypt, new secrets beside it are
 * added, and replace those of their name.
 *
 * keyring may be NULL where no key is needed. ERROR_INPUT and keyring_open's errors; no part of text's values
 * is in the message. Free changes with secret_json_free.
 */
int catalog_config_settle(json_t *changes, const char *text, bool encrypt, const char *kept,
                          const struct keyring *keyring, struct error *err);
