/* A keyring's keys, fetched by their references. */
#pragma once

#include <uv.h>

#include "auth/keyring.h"
#include "auth/secrets.h"

/* references: comma-separated, the first is the key that encrypts; "" = none: the ring becomes empty. It and
 * keyring outlive the operation. The ring changes as a whole, when all keys have come; on an error it stays
 * as it was. done runs exactly once from the loop, never before return. Errors are those of secrets_get and
 * keyring_add. */
int keyring_load(uv_loop_t *loop, struct secrets *secrets, const char *references, struct keyring *keyring,
                 void (*done)(void *data, const struct error *err), void *data, struct error *err);
