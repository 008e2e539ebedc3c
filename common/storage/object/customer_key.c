#include "storage/object/customer_key.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define KEY_SIZE 32
#define KEY_BASE64_SIZE 44
#define DIGEST_BASE64_SIZE 88

static int keep(struct object_customer_key *key, const char *secret, const unsigned char *bytes,
                const char *digest_name, struct error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned char base64[DIGEST_BASE64_SIZE + 1];
    unsigned n = 0;
    const EVP_MD *md = EVP_get_digestbyname(digest_name);
    if (md == NULL || EVP_Digest(bytes, KEY_SIZE, digest, &n, md, NULL) != 1)
        return error_set(err, ERROR_SYSTEM, true, "%s is not available", digest_name);
    EVP_EncodeBlock(base64, digest, (int)n);
    struct object_customer_key out = {.base64 = strdup(secret), .digest = strdup((const char *)base64)};
    if (out.base64 == NULL || out.digest == NULL) {
        object_customer_key_deinit(&out);
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    *key = out;
    return 0;
}

int object_customer_key_init(struct object_customer_key *key, const char *secret, const char *digest_name,
                             const char *member, struct error *err)
{
    unsigned char bytes[KEY_BASE64_SIZE];
    if (strlen(secret) != KEY_BASE64_SIZE || secret[KEY_BASE64_SIZE - 1] != '=' ||
        EVP_DecodeBlock(bytes, (const unsigned char *)secret, KEY_BASE64_SIZE) != KEY_SIZE + 1)
        return error_set(err, ERROR_INPUT, false,
                         "what \"%s\" names is not a key: 32 random bytes in base64 are "
                         "needed (openssl rand -base64 32)",
                         member);
    int rc = keep(key, secret, bytes, digest_name, err);
    explicit_bzero(bytes, sizeof bytes);
    return rc;
}

void object_customer_key_deinit(struct object_customer_key *key)
{
    if (key->base64)
        explicit_bzero(key->base64, strlen(key->base64));
    free(key->base64);
    free(key->digest);
    *key = (struct object_customer_key){0};
}
