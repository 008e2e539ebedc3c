#include "auth/jwt.h"

#include <jansson.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "auth/base64.h"
#include "auth/secret.h"
#include "base/strbuf.h"

enum {
    KEY_MAX = 32 * 1024, /* PEM of 16384 bits is 13 KB */
    MIN_BITS = 2048,     /* RFC 7518, 3.3 */
    MAX_BITS = 16384,
    SIGNATURE_MAX = MAX_BITS / 8,
    TEXTS_MAX = 4 * 1024,
    TOKEN_MAX = 64 * 1024, /* of texts that are all escaped, and encoded */
};

static int out_of_memory(struct error *err)
{
    return error_set(err, ERROR_SYSTEM, true, "out of memory");
}

/* ---- the key ---- */

/* There's nobody who could be asked for a passphrase. */
static int no_passphrase(char *to, int size, int writing, void *data)
{
    (void)to;
    (void)size;
    (void)writing;
    (void)data;
    return -1;
}

static int unusable_key(const char *what, const char *pem, struct error *err)
{
    const char *why = "isn't a private key in PEM (\"-----BEGIN PRIVATE KEY-----\")";
    if (strstr(pem, "ENCRYPTED"))
        why = "is encrypted: write it without a passphrase";
    else if (strstr(pem, "-----BEGIN ") && strchr(pem, '\n') == NULL)
        why = "has lost its line breaks: in JSON each of them is \\n";
    return error_set(err, ERROR_INPUT, false, "%.300s: the private key %s", what, why);
}

static int check_key(const EVP_PKEY *key, const char *what, struct error *err)
{
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA)
        return error_set(err, ERROR_INPUT, false, "%.300s: the private key isn't an RSA key", what);
    int bits = EVP_PKEY_get_bits(key);
    if (bits < MIN_BITS || bits > MAX_BITS)
        return error_set(err, ERROR_INPUT, false,
                         "%.300s: the private key has %d bits, RS256 asks for %d to %d: make a new one", what,
                         bits, MIN_BITS, MAX_BITS);
    return 0;
}

static int load_key(const char *pem, const char *what, EVP_PKEY **ret, struct error *err)
{
    size_t size = strlen(pem);
    if (size > KEY_MAX)
        return error_set(err, ERROR_INPUT, false, "%.300s: the private key is longer than %d bytes", what,
                         KEY_MAX);
    BIO *bio = BIO_new_mem_buf(pem, (int)size);
    if (bio == NULL)
        return out_of_memory(err);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    int rc = key ? check_key(key, what, err) : unusable_key(what, pem, err);
    ERR_clear_error();
    if (rc) {
        EVP_PKEY_free(key);
        return rc;
    }
    *ret = key;
    return 0;
}

/* ---- the parts ---- */

static int append_encoded(struct strbuf *token, const void *bytes, size_t size, struct error *err)
{
    char *text = base64_encode_url(bytes, size);
    if (text == NULL)
        return out_of_memory(err);
    strbuf_puts(token, text);
    secret_free(text);
    return 0;
}

/* Takes the reference to json. */
static int append_json(struct strbuf *token, json_t *json, const char *what, struct error *err)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    if (text == NULL)
        return error_set(err, ERROR_INPUT, false,
                         "%.300s: a text of the assertion isn't UTF-8, or memory is out", what);
    int rc = append_encoded(token, text, strlen(text), err);
    free(text);
    return rc;
}

static const char *present(const char *text)
{
    return text && text[0] != '\0' ? text : NULL;
}

static int append_claims(struct strbuf *token, const struct jwt_assertion *a, const char *what,
                         struct error *err)
{
    json_t *header = json_pack("{s:s, s:s*, s:s}", "alg", "RS256", "kid", present(a->key_id), "typ", "JWT");
    int rc = append_json(token, header, what, err);
    if (rc)
        return rc;
    strbuf_putc(token, '.');
    json_t *claims =
        json_pack("{s:s, s:s, s:s, s:I, s:I, s:s*}", "iss", a->issuer, "scope", a->scope, "aud", a->audience,
                  "iat", (json_int_t)a->issued_at_s, "exp",
                  (json_int_t)a->issued_at_s + (json_int_t)a->lifetime_s, "sub", present(a->subject));
    return append_json(token, claims, what, err);
}

static int append_signature(struct strbuf *token, EVP_PKEY *key, const char *what, struct error *err)
{
    unsigned char signature[SIGNATURE_MAX];
    size_t size = sizeof signature;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context == NULL)
        return out_of_memory(err);
    bool ok = EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestSign(context, signature, &size, (const unsigned char *)strbuf_cstr(token),
                             token->size) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    if (!ok)
        return error_set(err, ERROR_INPUT, false, "%.300s: the private key can't sign", what);
    strbuf_putc(token, '.');
    return append_encoded(token, signature, size, err);
}

static int check_texts(const struct jwt_assertion *a, const char *what, struct error *err)
{
    const char *const texts[] = {a->key_id, a->issuer, a->scope, a->audience, a->subject};
    size_t size = 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        size += texts[i] ? strlen(texts[i]) : 0;
    if (size > TEXTS_MAX)
        return error_set(err, ERROR_LIMIT, false, "%.300s: the assertion's texts are longer than %d bytes",
                         what, TEXTS_MAX);
    return 0;
}

static int write_token(struct strbuf *token, const struct jwt_assertion *a, EVP_PKEY *key, const char *what,
                       struct error *err)
{
    int rc = check_texts(a, what, err);
    if (rc == 0)
        rc = append_claims(token, a, what, err);
    if (rc == 0)
        rc = append_signature(token, key, what, err);
    return rc == 0 && token->failed ? out_of_memory(err) : rc;
}

int jwt_sign(const struct jwt_assertion *assertion, const char *what, char **ret, struct error *err)
{
    EVP_PKEY *key = NULL;
    int rc = load_key(assertion->private_key, what, &key, err);
    if (rc)
        return rc;
    struct strbuf token;
    strbuf_init(&token, TOKEN_MAX);
    rc = write_token(&token, assertion, key, what, err);
    EVP_PKEY_free(key);
    if (rc == 0)
        *ret = token.data; /* NUL-terminated; what strbuf_deinit would free */
    else {
        if (token.data)
            explicit_bzero(token.data, token.capacity);
        strbuf_deinit(&token);
    }
    return rc;
}
