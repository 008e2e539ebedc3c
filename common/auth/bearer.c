#include "auth/bearer.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "auth/base64.h"

enum { RANDOM_BYTES = 32, MIN_LENGTH = 43 };

int bearer_make(const char *prefix, char ret_secret[BEARER_SIZE], struct error *err)
{
    unsigned char bytes[RANDOM_BYTES];
    char *text = RAND_bytes(bytes, sizeof bytes) == 1 ? base64_encode_url(bytes, sizeof bytes) : NULL;
    explicit_bzero(bytes, sizeof bytes);
    if (text == NULL || strlen(prefix) + strlen(text) >= BEARER_SIZE) {
        free(text);
        return error_set(err, ERROR_SYSTEM, true, "no randomness or no memory for a token");
    }
    strcpy(ret_secret, prefix);
    strcat(ret_secret, text);
    explicit_bzero(text, strlen(text));
    free(text);
    return 0;
}

bool bearer_hash(const char *secret, char ret_hex[DIGEST_SHA256_SIZE])
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    size_t n = strnlen(secret, BEARER_SIZE);
    unsigned char bytes[DIGEST_SHA256_BYTES];
    unsigned size = 0;
    if (n < MIN_LENGTH || n >= BEARER_SIZE || strspn(secret, alphabet) != n ||
        EVP_Digest(secret, n, bytes, &size, EVP_sha256(), NULL) != 1 || size != sizeof bytes)
        return false;
    digest_to_hex(bytes, ret_hex);
    return true;
}

int bearer_derive(const char *secret, const char *purpose, char ret_hex[DIGEST_SHA256_SIZE],
                  struct error *err)
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)purpose, strlen(purpose),
             bytes, &size) == NULL ||
        size != DIGEST_SHA256_BYTES)
        return error_set(err, ERROR_SYSTEM, false, "HMAC-SHA-256 is not available");
    digest_to_hex(bytes, ret_hex);
    explicit_bzero(bytes, sizeof bytes);
    return 0;
}

bool bearer_equal(const char *a, const char *b)
{
    size_t n = strlen(a);
    return n == strlen(b) && CRYPTO_memcmp(a, b, n) == 0;
}
