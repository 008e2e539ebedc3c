/* A key that the customer keeps, with which the store encrypts one object (SSE-C, customer-provided keys). */
#pragma once

#include "base/error.h"

struct object_customer_key {
    char *base64; /* as headers carry it; NULL = none */
    char *digest; /* of the 32 bytes, base64 */
};

/* secret: 32 bytes in base64. digest_name: as libcrypto names it, "MD5" or "SHA256". ERROR_INPUT names
 * member, which names the secret. */
int object_customer_key_init(struct object_customer_key *key, const char *secret, const char *digest_name,
                             const char *member, struct error *err);
void object_customer_key_deinit(struct object_customer_key *key); /* overwrites it */
