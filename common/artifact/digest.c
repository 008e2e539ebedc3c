#include "artifact/digest.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

struct digest {
    EVP_MD_CTX *ctx;
};

struct digest *digest_new(void)
{
    struct digest *digest = calloc(1, sizeof *digest);
    if (digest == NULL)
        return NULL;
    digest->ctx = EVP_MD_CTX_new();
    if (digest->ctx == NULL || EVP_DigestInit_ex(digest->ctx, EVP_sha256(), NULL) != 1) {
        digest_free(digest);
        return NULL;
    }
    return digest;
}

void digest_free(struct digest *digest)
{
    if (digest == NULL)
        return;
    EVP_MD_CTX_free(digest->ctx);
    free(digest);
}

/* Once initialised, SHA-256 in memory cannot fail. */
void digest_update(struct digest *digest, const void *data, size_t n)
{
    int ok = EVP_DigestUpdate(digest->ctx, data, n);
    assert(ok == 1);
    (void)ok;
}

void digest_final(struct digest *digest, char *out)
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    int ok = EVP_DigestFinal_ex(digest->ctx, bytes, &n);
    assert(ok == 1 && n == 32);
    (void)ok;
    for (unsigned i = 0; i < n; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}
