#include "base/digest.h"

#include <assert.h>
#include <openssl/evp.h>
#include <pthread.h>

/* Fetched once: an implicit fetch per stream costs more than hashing a small file. */
static EVP_MD *sha256;
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;

static void fetch(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

struct digest *digest_new(void)
{
    pthread_once(&sha256_once, fetch);
    if (sha256 == NULL)
        return NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx && EVP_DigestInit_ex2(ctx, sha256, NULL) != 1) {
        EVP_MD_CTX_free(ctx);
        ctx = NULL;
    }
    return (struct digest *)ctx;
}

void digest_free(struct digest *digest)
{
    EVP_MD_CTX_free((EVP_MD_CTX *)digest);
}

void digest_reset(struct digest *digest)
{
    int ok = EVP_DigestInit_ex2((EVP_MD_CTX *)digest, sha256, NULL);
    assert(ok == 1);
    (void)ok;
}

void digest_update(struct digest *digest, const void *data, size_t size)
{
    int ok = EVP_DigestUpdate((EVP_MD_CTX *)digest, data, size);
    assert(ok == 1);
    (void)ok;
}

void digest_final(struct digest *digest, char ret_hex[DIGEST_SHA256_SIZE])
{
    static const char hex[] = "0123456789abcdef";
    unsigned char bytes[32];
    unsigned n = 0;
    int ok = EVP_DigestFinal_ex((EVP_MD_CTX *)digest, bytes, &n);
    assert(ok == 1 && n == sizeof bytes);
    (void)ok;
    for (size_t i = 0; i < sizeof bytes; i++) {
        ret_hex[2 * i] = hex[bytes[i] >> 4];
        ret_hex[2 * i + 1] = hex[bytes[i] & 15];
    }
    ret_hex[64] = '\0';
}
