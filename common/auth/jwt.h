/*
 * JSON Web Tokens (RFC 7519) as service accounts send them to be given access (RFC 7523): signed with RS256
 * (RSASSA-PKCS1-v1_5 and SHA-256), in JWS compact serialisation (RFC 7515). Pure.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

struct jwt_assertion {
    const char *private_key; /* PEM: PKCS#8 or PKCS#1, not encrypted, RSA of 2048 to 16384 bits */
    const char *key_id;      /* "kid"; NULL or "" = none */
    const char *issuer, *scope, *audience;
    const char *subject; /* "sub"; NULL or "" = none */
    int64_t issued_at_s; /* Unix time */
    int64_t lifetime_s;
};

/*
 * *ret: malloc'ed "header.claims.signature", to be freed with secret_free. what: who the key belongs to, for
 * messages. ERROR_INPUT: the key isn't one that can sign, and why; a text that isn't UTF-8. Nothing of the
 * key is repeated.
 */
int jwt_sign(const struct jwt_assertion *assertion, const char *what, char **ret, struct error *err);
