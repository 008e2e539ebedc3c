#include "base/digest.h"

#include <assert.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>

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

void digest_copy(struct digest *to, const struct digest *from)
{
    int ok = EVP_MD_CTX_copy_ex((EVP_MD_CTX *)to, (const EVP_MD_CTX *)from);
    assert(ok == 1);
    (void)ok;
}

void digest_final_bytes(struct digest *digest, unsigned char ret_bytes[DIGEST_SHA256_BYTES])
{
    unsigned n = 0;
    int ok = EVP_DigestFinal_ex((EVP_MD_CTX *)digest, ret_bytes, &n);
    assert(ok == 1 && n == DIGEST_SHA256_BYTES);
    (void)ok;
}

void digest_final(struct digest *digest, char ret_hex[DIGEST_SHA256_SIZE])
{
    unsigned char bytes[DIGEST_SHA256_BYTES];
    digest_final_bytes(digest, bytes);
    digest_to_hex(bytes, ret_hex);
}

void digest_to_hex(const unsigned char bytes[DIGEST_SHA256_BYTES], char ret_hex[DIGEST_SHA256_SIZE])
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < DIGEST_SHA256_BYTES; i++) {
        ret_hex[2 * i] = hex[bytes[i] >> 4];
        ret_hex[2 * i + 1] = hex[bytes[i] & 15];
    }
    ret_hex[DIGEST_SHA256_SIZE - 1] = '\0';
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool digest_from_hex(const char *hex, unsigned char ret_bytes[DIGEST_SHA256_BYTES])
{
    unsigned char bytes[DIGEST_SHA256_BYTES];
    for (size_t i = 0; i < sizeof bytes; i++) {
        int high = nibble(hex[2 * i]), low = high < 0 ? -1 : nibble(hex[2 * i + 1]);
        if (low < 0)
            return false;
        bytes[i] = (unsigned char)(high << 4 | low);
    }
    if (hex[DIGEST_SHA256_SIZE - 1] != '\0')
        return false;
    memcpy(ret_bytes, bytes, sizeof bytes);
    return true;
}
