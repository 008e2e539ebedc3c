/* key = signing key (16), encryption key (16); token = 0x80, time (8), IV (16), AES-128-CBC, HMAC-SHA256
 * (32). */
#include "auth/fernet.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "auth/base64.h"

enum {
    KEY_HALF = 16,
    IV_AT = 9,
    TEXT_AT = IV_AT + 16,
    BLOCK = 16,
    MAC_SIZE = 32,
    TOKEN_MIN = TEXT_AT + BLOCK + MAC_SIZE,
    TOKEN_MAX = 64 * 1024,
};

static bool is_signed(const unsigned char *token, size_t size, const unsigned char *key)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    return HMAC(EVP_sha256(), key, KEY_HALF, token, size - MAC_SIZE, mac, &n) && n == MAC_SIZE &&
           CRYPTO_memcmp(mac, token + size - MAC_SIZE, MAC_SIZE) == 0;
}

/* The text's size, or -1 when its padding is wrong. out has size bytes. */
static int decrypt(const unsigned char *token, size_t size, const unsigned char *key, unsigned char *out)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0, rest = 0;
    bool ok = ctx && EVP_DecryptInit_ex(ctx, EVP_aes_128_cbc(), NULL, key + KEY_HALF, token + IV_AT) == 1 &&
              EVP_DecryptUpdate(ctx, out, &n, token + TEXT_AT, (int)(size - TEXT_AT - MAC_SIZE)) == 1 &&
              EVP_DecryptFinal_ex(ctx, out + n, &rest) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return ok ? n + rest : -1;
}

static int open_token(const unsigned char *token, size_t size, const unsigned char *key, char **ret,
                      struct error *err)
{
    if (size < TOKEN_MIN || size > TOKEN_MAX || (size - TOKEN_MIN) % BLOCK != 0 || token[0] != 0x80)
        return error_set(err, ERROR_INPUT, false, "not a Fernet token");
    if (!is_signed(token, size, key))
        return error_set(err, ERROR_DENIED, false,
                         "the Fernet token was made with another key, or has been changed");
    char *out = malloc(size);
    if (out == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    int n = decrypt(token, size, key, (unsigned char *)out);
    if (n < 0 || memchr(out, '\0', (size_t)n)) {
        explicit_bzero(out, size);
        free(out);
        return error_set(err, ERROR_INPUT, false, "the Fernet token holds no text");
    }
    out[n] = '\0';
    *ret = out;
    return 0;
}

int fernet_decrypt(const char *token, const char *key, char **ret, struct error *err)
{
    unsigned char *key_bytes, *token_bytes;
    size_t key_size, token_size;
    if (base64_decode(key, BASE64_URLSAFE, &key_bytes, &key_size))
        return error_set(err, ERROR_INPUT, false, "the Fernet key is not urlsafe base64");
    int rc;
    if (key_size != (size_t)2 * KEY_HALF)
        rc = error_set(err, ERROR_INPUT, false, "the Fernet key is not 32 bytes long");
    else if (base64_decode(token, BASE64_URLSAFE, &token_bytes, &token_size))
        rc = error_set(err, ERROR_INPUT, false, "not a Fernet token");
    else {
        rc = open_token(token_bytes, token_size, key_bytes, ret, err);
        free(token_bytes);
    }
    explicit_bzero(key_bytes, key_size);
    free(key_bytes);
    return rc;
}
