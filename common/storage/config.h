/*
 * storage_config of a destination: a JSON object, kept as text. It may name where secrets live
 * (credentials_ref), and it may hold them encrypted, never in clear. Encrypted, the members that are secret
 * stand in one:
 *
 *   {"bucket": "b", "prefix": "p", "sealed": {"key_id": "0123456789abcdef", "data": "<base64>"}}
 *
 * where data is a JSON object of them, encrypted by a keyring's key with the context "storage_config".
 */
#pragma once

#include <jansson.h>

#include "base/error.h"

struct keyring;

/* An object without any literal secret; sealed ones stay sealed. ERROR_INPUT names the member and says what
 * to write instead (credentials_ref); no part of the text's values is repeated in the message. text NULL or
 * "" gives *ret_config = NULL; otherwise json_decref it. Bound: 64 KiB. */
int storage_config_parse(const char *text, json_t **ret_config, struct error *err);

/* The same, with literal secrets let through, for storage_config_seal: free it with storage_config_free. */
int storage_config_parse_literal(const char *text, json_t **ret_config, struct error *err);

/* *ret_config: config (not NULL), its literal secrets encrypted with the ring's current key; without any, as
 * it is. ERROR_INPUT: it has a sealed member already, a reference that is none, or there is no key (says how
 * to make one). */
int storage_config_seal(const json_t *config, const struct keyring *keyring, json_t **ret_config,
                        struct error *err);

/* *ret_config: config with what was sealed merged in, to be freed by storage_config_free; NULL for NULL.
 * keyring may be NULL where nothing is sealed. Errors are keyring_open's; ERROR_CORRUPT too for what is no
 * object. */
int storage_config_open(const json_t *config, const struct keyring *keyring, json_t **ret_config,
                        struct error *err);

/* *ret_config: config with what is sealed encrypted anew, with the ring's current key. Errors as above;
 * ERROR_INPUT for a config without sealed. */
int storage_config_reseal(const json_t *config, const struct keyring *keyring, json_t **ret_config,
                          struct error *err);

/* json_decref, after the strings nobody else holds were overwritten; NULL is fine. */
void storage_config_free(json_t *config);

/* The id of the key that encrypted what is sealed in it, or NULL. */
const char *storage_config_key_id(const json_t *config);

/* What people and API answers are shown: text, with "***" for sealed and for every member that holds a secret
 * (rows of older programs). malloc'ed; NULL when memory is out. text is not NULL. */
char *storage_config_redact(const char *text);
