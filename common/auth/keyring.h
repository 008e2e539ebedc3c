/*
 * Keys for what is encrypted at rest: AES-256-GCM. BM_ENCRYPTION_KEY_REF names one or more references,
 * comma-separated: the first key encrypts, all of them decrypt (rotation: put the new one in front,
 * re-encrypt, drop the old one). A key is 32 bytes as base64 or hex. Its id is the first 16 hex digits of the
 * SHA-256 of "backupmanager key id\0" and the key.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum { KEYRING_ID_SIZE = 17, KEYRING_MAX_KEYS = 8 };

struct keyring;

struct keyring *keyring_new(void);          /* empty; NULL when memory is out */
void keyring_free(struct keyring *keyring); /* overwrites; NULL is fine */

/* name: the reference it came from, for messages. ERROR_INPUT: not 32 bytes; ERROR_LIMIT. A key twice is
 * fine. */
int keyring_add(struct keyring *keyring, const char *text, const char *name, struct error *err);
/* keyring has from's keys from now on, and from none. */
void keyring_move(struct keyring *keyring, struct keyring *from);
bool keyring_has(const struct keyring *keyring, const char *key_id);
/* The id that keyring_seal uses; "" while empty. */
const char *keyring_current_id(const struct keyring *keyring);

/* *ret: malloc'ed base64 of nonce (12 bytes, random), ciphertext and tag (16); ret_id gets the key's id.
 * context is authenticated (AAD), not stored: what the text belongs to. ERROR_INPUT while the ring is empty:
 * says to set BM_ENCRYPTION_KEY_REF. */
int keyring_seal(const struct keyring *keyring, const char *context, const void *text, size_t size,
                 char ret_id[KEYRING_ID_SIZE], char **ret, struct error *err);
/* *ret: malloc'ed, NUL-terminated; overwrite before freeing. ERROR_NOT_FOUND (retryable): no such key here,
 * names its id; ERROR_CORRUPT: changed, or another context. */
int keyring_open(const struct keyring *keyring, const char *key_id, const char *context, const char *sealed,
                 char **ret, size_t *ret_size, struct error *err);
