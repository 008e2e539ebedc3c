/*
 * Sealed: base64 of nonce (12 bytes), ciphertext, tag (16). Nonces are random: of one key, 2^32 texts may be
 * sealed before a repeated nonce becomes likely enough to matter (NIST SP 800-38D, 8.3); configurations are
 * sealed by hand.
 */
#include "auth/keyring.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/base64.h"
#include "base/digest.h"

enum { KEY_SIZE = 32, NONCE_SIZE = 12, TAG_SIZE = 16, SEALED_MAX = 16 << 20 };

struct key {
    unsigned char bytes[KEY_SIZE];
    char id[KEYRING_ID_SIZE];
};

struct keyring {
    struct key keys[KEYRING_MAX_KEYS];
    int n;
};

struct keyring *keyring_new(void)
{
    return calloc(1, sizeof(struct keyring));
}

void keyring_free(struct keyring *keyring)
{
    if (keyring == NULL)
        return;
    explicit_bzero(keyring, sizeof *keyring);
    free(keyring);
}

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = strchr(digits, c >= 'A' && c <= 'F' ? c + 'a' - 'A' : c);
    return c && at ? (int)(at - digits) : -1;
}

static bool from_hex(const char *text, unsigned char out[KEY_SIZE])
{
    if (strlen(text) != 2 * KEY_SIZE)
        return false;
    for (size_t i = 0; i < KEY_SIZE; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

static bool from_base64(const char *text, unsigned char out[KEY_SIZE])
{
    unsigned char *bytes;
    size_t n;
    if (base64_decode(text, BASE64_STANDARD, &bytes, &n) && base64_decode(text, BASE64_URLSAFE, &bytes, &n))
        return false;
    bool ok = n == KEY_SIZE;
    if (ok)
        memcpy(out, bytes, KEY_SIZE);
    explicit_bzero(bytes, n);
    free(bytes);
    return ok;
}

static int set_id(struct key *key, struct error *err)
{
    static const char label[] = "backupmanager key id"; /* its NUL counts */
    char hex[DIGEST_SHA256_SIZE];
    struct digest *digest = digest_new();
    if (digest == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    digest_update(digest, label, sizeof label);
    digest_update(digest, key->bytes, KEY_SIZE);
    digest_final(digest, hex);
    digest_free(digest);
    memcpy(key->id, hex, KEYRING_ID_SIZE - 1);
    key->id[KEYRING_ID_SIZE - 1] = '\0';
    return 0;
}

static const struct key *find(const struct keyring *keyring, const char *id)
{
    for (int i = 0; i < keyring->n; i++)
        if (strcmp(keyring->keys[i].id, id) == 0)
            return &keyring->keys[i];
    return NULL;
}

int keyring_add(struct keyring *keyring, const char *text, const char *name, struct error *err)
{
    struct key key;
    if (!from_hex(text, key.bytes) && !from_base64(text, key.bytes))
        return error_set(
            err, ERROR_INPUT, false,
            "%.300s: an encryption key is 32 bytes as base64 or hex (openssl rand -base64 32 makes "
            "one)",
            name);
    int rc = set_id(&key, err);
    if (rc == 0 && find(keyring, key.id) == NULL) {
        if (keyring->n == KEYRING_MAX_KEYS)
            rc = error_set(err, ERROR_LIMIT, false, "%.300s: more than %d encryption keys", name,
                           KEYRING_MAX_KEYS);
        else
            keyring->keys[keyring->n++] = key;
    }
    explicit_bzero(&key, sizeof key);
    return rc;
}

void keyring_move(struct keyring *keyring, struct keyring *from)
{
    *keyring = *from;
    explicit_bzero(from, sizeof *from);
}

bool keyring_has(const struct keyring *keyring, const char *key_id)
{
    return find(keyring, key_id) != NULL;
}

const char *keyring_current_id(const struct keyring *keyring)
{
    return keyring->n > 0 ? keyring->keys[0].id : "";
}

static int crypto_failed(struct error *err)
{
    return error_set(err, ERROR_SYSTEM, true, "libcrypto: AES-256-GCM failed");
}

/* out: nonce, ciphertext, tag. */
static bool encrypt(const struct key *key, const char *context, const void *text, int size,
                    unsigned char *out)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n;
    bool ok = ctx && RAND_bytes(out, NONCE_SIZE) == 1 &&
              EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key->bytes, out) == 1 &&
              EVP_EncryptUpdate(ctx, NULL, &n, (const unsigned char *)context, (int)strlen(context)) == 1 &&
              EVP_EncryptUpdate(ctx, out + NONCE_SIZE, &n, text, size) == 1 && n == size &&
              EVP_EncryptFinal_ex(ctx, out + NONCE_SIZE + size, &n) == 1 && n == 0 &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_SIZE, out + NONCE_SIZE + size) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

int keyring_seal(const struct keyring *keyring, const char *context, const void *text, size_t size,
                 char ret_id[KEYRING_ID_SIZE], char **ret, struct error *err)
{
    if (keyring->n == 0)
        return error_set(
            err, ERROR_INPUT, false,
            "no encryption key: put one where only this program reads it (openssl rand -base64 32 > "
            "/run/secrets/backup_key) and set BM_ENCRYPTION_KEY_REF=file:/run/secrets/backup_key");
    if (size > SEALED_MAX)
        return error_set(err, ERROR_LIMIT, false, "more than %d bytes to encrypt", SEALED_MAX);
    unsigned char *out = malloc(NONCE_SIZE + size + TAG_SIZE);
    if (out == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    char *sealed = NULL;
    int rc = encrypt(&keyring->keys[0], context, text, (int)size, out) ? 0 : crypto_failed(err);
    if (rc == 0) {
        sealed = base64_encode(out, NONCE_SIZE + size + TAG_SIZE);
        rc = sealed ? 0 : error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    free(out);
    if (rc)
        return rc;
    memcpy(ret_id, keyring->keys[0].id, KEYRING_ID_SIZE);
    *ret = sealed;
    return 0;
}

/* What was decrypted counts only when the tag is right. */
static bool decrypt(const struct key *key, const char *context, unsigned char *sealed, int size,
                    unsigned char *out)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int text = size - NONCE_SIZE - TAG_SIZE;
    int n;
    bool ok = ctx && EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key->bytes, sealed) == 1 &&
              EVP_DecryptUpdate(ctx, NULL, &n, (const unsigned char *)context, (int)strlen(context)) == 1 &&
              EVP_DecryptUpdate(ctx, out, &n, sealed + NONCE_SIZE, text) == 1 && n == text &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_SIZE, sealed + size - TAG_SIZE) == 1 &&
              EVP_DecryptFinal_ex(ctx, out + text, &n) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

int keyring_open(const struct keyring *keyring, const char *key_id, const char *context, const char *sealed,
                 char **ret, size_t *ret_size, struct error *err)
{
    const struct key *key = find(keyring, key_id);
    if (key == NULL)
        return error_set(
            err, ERROR_NOT_FOUND, true,
            "encryption key %.16s is not among the %d of BM_ENCRYPTION_KEY_REF; add a reference to it "
            "there",
            key_id, keyring->n);
    unsigned char *bytes;
    size_t size;
    if (base64_decode(sealed, BASE64_STANDARD, &bytes, &size))
        return error_set(err, ERROR_CORRUPT, false, "what key %.16s encrypted is no longer base64", key_id);
    char *out = NULL;
    int rc = 0;
    if (size < NONCE_SIZE + TAG_SIZE || size > SEALED_MAX + NONCE_SIZE + TAG_SIZE)
        rc = error_set(err, ERROR_CORRUPT, false, "what key %.16s encrypted has been cut", key_id);
    else if ((out = malloc(size + 1)) == NULL)
        rc = error_set(err, ERROR_SYSTEM, true, "out of memory");
    else if (!decrypt(key, context, bytes, (int)size, (unsigned char *)out))
        rc = error_set(err, ERROR_CORRUPT, false,
                       "what key %.16s encrypted has been changed since, or belongs elsewhere", key_id);
    free(bytes);
    if (rc) {
        if (out)
            explicit_bzero(out, size + 1);
        free(out);
        return rc;
    }
    *ret_size = size - NONCE_SIZE - TAG_SIZE;
    out[*ret_size] = '\0';
    *ret = out;
    return 0;
}
