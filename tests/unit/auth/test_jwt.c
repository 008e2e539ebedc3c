/*
 * Assertions against two independent judges: byte for byte against tokens that PyJWT 2.6.0 (Debian 12's
 * python3-jwt) signed with the same key, which RS256 allows for it has no randomness; and by libcrypto's own
 * verification with the public key. The key in PKCS#1 is the other one, by `openssl rsa -traditional`.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/base64.h"
#include "auth/jwt.h"
#include "auth/secret.h"
#include "google_key.h"

static const char google_key_pkcs1[] = "-----BEGIN RSA PRIVATE KEY-----\n"
                                       "MIIEogIBAAKCAQEAmWaVEqRywkPacXnu628sqizf5KKcCFyDiT8X9ITNAQp8QgUP\n"
                                       "FnKNblPuFR6XPPw0TaN6Cp3RwO/uosQByrsfmoKlcc+0LGDndUEofn+bzW7MPsv3\n"
                                       "JhlO5W59zREShAymGefguF6M7gjzqUn51s0nEI93xWHZwzYiP+LNVNJ8sDqOV2xM\n"
                                       "ddaVhOwbaXfTXodOuG3qJWzJcCvchzLTPPngTnHtxP4L6DH5ciPs/961s4iaqQJZ\n"
                                       "vXPnVr4jGXenvCLW8SJhD+PGIAO6+MDaeWk1sosE3b3QJRVat2z1ETlf826MeZfF\n"
                                       "Fya8dZ0zESU3C/1CDktKaz5ArnE6RHTwFtRqrQIDAQABAoIBAAwAwtlalMAunwES\n"
                                       "EWfKoywNptc1AhCFbKVokm9HlOLn9yETVELlY7umRZLRefQDp/QLPplmD+uQ2pNR\n"
                                       "0vISAj8MyfVF00tFqda66ng7c+13JfQj8YrBoDLDmoRZOaGre7O7ORI0E8LsYGR2\n"
                                       "rV3pX40kLLL9HRTxP2zQSlDAx5DiZQnzrv6ie6Ti20KLX+jbHYCHd1RNC34K3bd6\n"
                                       "kZ6PtqyqCZrP18Pk38OIVs0aPo3jX1KC97YvAQEY3W/Q9bGgimTzP0YArBTfAPib\n"
                                       "8eexubjiUqQNzWGRhEc65d8q2K2qTI3ZI6Ma8yDk1iMjhY6ap4yNo6cKLgyFOhq1\n"
                                       "e0msG+ECgYEAzGoWv0DfaU5dloLNJSkYgRHXVR4ff6nS7cb0Nqw/EFovPOrtWURq\n"
                                       "aHlyC+Gw6M6njA7yeYIZioEuiX0osuM675q1x3PDhRISvQnJNWYlYRsFQUuLUjAP\n"
                                       "dpIQpXmPW8ZfIu9x4Rt52R6Md3Yd++TwSBIkLKFzD4KYbXb6OplsI6cCgYEAwBzS\n"
                                       "6Ixa5ycOT+nuDXLJJO6gktf1CVI1/86bnIJJIM8VP5YZWv1oVQt120FFlJNPbI+Q\n"
                                       "XS3Wm+46myyQLdQzlZc9qYXDfq5WJEr6UKAQPX9bp0vii5E76hlrocLCyQr28IV4\n"
                                       "fLtyRJiQlN4KZC6g1nrlNYRpF0bXRWraqMCIWYsCgYBXUxbmmzMVzImEi9pRfq3e\n"
                                       "LZ382cKBCi52r6CSXqEOPkih0IaWtPh0KzWCR+cIfYfr+FKzf9Wjaq5Tw+kICrSZ\n"
                                       "uVDgpN6o0WC56x1Ot5VOV3m2PCyHbsqcT6fW2QhaH3Ny/DF9BfzWuQsu2YHToyjW\n"
                                       "0REtE8eQn6y4TrR1JiehTwKBgG2ZBAl+6O0uLtAQWKp7bZ0QNbMQWM50hDHnoIbt\n"
                                       "HOMGwMyByP1LzBWYcCghWJymXY1Facp+uAxFIFIeXjKG+NbCbX8kvJ6svp/91kfg\n"
                                       "yOMMoTET7a5JsLCgx/KEtbMT+kTFIDOojEvt7a2/7pWwtDkn61NYssuAspb7mrri\n"
                                       "++Z5AoGASsaFNVn5OPzjeN+XXLdV2f4YGiD4aCoqlmtWe/3PbcfpBHsRNIYUT0Fk\n"
                                       "zvDX6a0ueaIpw8W9HH/7sbfU9l5I+ecQyUfUjXTczpe8mlyy1NkD4cJB98lk6K0O\n"
                                       "xG0AbrdiHgD8AyFSo1XUiMOptWpvJCkekyrCjBAKFgUeUCBbRXg=\n"
                                       "-----END RSA PRIVATE KEY-----\n";

static const char with_key_id[] =
    "eyJhbGciOiJSUzI1NiIsImtpZCI6IjJmOWMxYiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJiYWNrdXBAc2hvcC5pYW0uZ3NlcnZpY2V"
    "hY2NvdW50LmNvbSIsInNjb3BlIjoiaHR0cHM6Ly93d3cuZ29vZ2xlYXBpcy5jb20vYXV0aC9kZXZzdG9yYWdlLnJlYWRfd3JpdGU"
    "iLCJhdWQiOiJodHRwczovL29hdXRoMi5nb29nbGVhcGlzLmNvbS90b2tlbiIsImlhdCI6MTc2NzIyNTYwMCwiZXhwIjoxNzY3MjI"
    "5MjAwfQ.Zzd3AdgbL0GUWW7OzLrJ_p3oHDbFo4XYClwmHAnqjfmheODrvSinhFjBxbnBuyltA6RsQIVnb6aWCTJ8nW-OEQnlih6G"
    "eXSOkTQxOTT1Q_2FtkIvbhYoBOsiFR0HrACWc7Tb2LMFyKKC_DGoEL0o7oOLxgVR_AAmCkKJl8YfNvaBseZyUBSJ0-NgoOr_o810"
    "IZUiYCbbze3YPqSJiGt0CoXVhy9HZzNmX3kzEuj-J0LQnTeMxIu2n_rtZTLuNIzhkPa6EUlGsBG2XQGMrI2SH41iYDAPNTVNPFFA"
    "IihUMAxwPq1frWQ7YGl52YmtqnnhX2nsHOknu_Tik3xLDnYvXQ";

static const char with_subject[] =
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJiYWNrdXBAc2hvcC5pYW0uZ3NlcnZpY2VhY2NvdW50LmNvbSIsInN"
    "jb3BlIjoiaHR0cHM6Ly93d3cuZ29vZ2xlYXBpcy5jb20vYXV0aC9kZXZzdG9yYWdlLnJlYWRfd3JpdGUiLCJhdWQiOiJodHRwczo"
    "vL29hdXRoMi5nb29nbGVhcGlzLmNvbS90b2tlbiIsImlhdCI6MTc2NzIyNTYwMCwiZXhwIjoxNzY3MjI5MjAwLCJzdWIiOiJ6b2V"
    "AZXhhbXBsZS5jb20ifQ.DDLVxp8f-Uu-kp__hWMYzDUqg2AcFpWmpRWuW_xZMESieu65Kuy2x_cXm7vQvWJkp00jaM2ZwWgJE5qC"
    "Yzel6yeM7UEAR40gi684sFeoPVZO_DueFoiFDBP499AQELhVFw5UOygLfStM9P6w8Lrb5HB_pMCVMgxz1NfscVxhyIC1ze0WtFcD"
    "nL4WkZnxYTiS2QnEW71NaWQQDfhWc5c3bNnA-5DGm1BvmxI2zSPsoL0heBsGdG98nV4PLwJk_356QjRnXVAqU0AHVHsqH_pDqptP"
    "mrqvyLCIn_2WPslpVhsNS96PkY4AIFF-zx06tTFEiVthkgAyw4t6AS2VLx8q5w";

/* The Nth of these calls fails (linked with --wrap); 0 = none. */
static int fail_at, calls;

static bool fails(void)
{
    return fail_at > 0 && ++calls == fail_at;
}

void *__real_malloc(size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_realloc(void *memory, size_t size);

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fails() ? NULL : __real_realloc(memory, size);
}

static struct jwt_assertion an_assertion(void)
{
    return (struct jwt_assertion){.private_key = google_key_pkcs8,
                                  .key_id = "2f9c1b",
                                  .issuer = "backup@shop.iam.gserviceaccount.com",
                                  .scope = "https://www.googleapis.com/auth/devstorage.read_write",
                                  .audience = "https://oauth2.googleapis.com/token",
                                  .issued_at_s = 1767225600,
                                  .lifetime_s = 3600};
}

static char *sign(struct jwt_assertion a)
{
    char *token = NULL;
    struct error err = {0};
    if (jwt_sign(&a, "env:KEY", &token, &err))
        fail_msg("%s", err.message);
    return token;
}

static void same_bytes_as_another_tool(void **state)
{
    (void)state;
    struct jwt_assertion a = an_assertion();
    char *token = sign(a);
    assert_string_equal(token, with_key_id);
    secret_free(token);
    a.key_id = "";
    a.subject = "zoe@example.com";
    token = sign(a);
    assert_string_equal(token, with_subject);
    secret_free(token);
}

static void pkcs1_is_read_too(void **state)
{
    (void)state;
    struct jwt_assertion a = an_assertion();
    a.private_key = google_key_pkcs1;
    char *token = sign(a);
    assert_string_equal(token, with_key_id);
    secret_free(token);
}

/* ---- verification ---- */

/* Decodes what has lost its padding. */
static void decode(const char *text, size_t n, unsigned char **ret, size_t *ret_size)
{
    char padded[4096];
    assert_true(n + 4 < sizeof padded);
    memcpy(padded, text, n);
    while (n % 4)
        padded[n++] = '=';
    padded[n] = '\0';
    assert_int_equal(base64_decode(padded, BASE64_URLSAFE, ret, ret_size), 0);
}

static bool verifies(const char *token, const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const char *dot = strrchr(token, '.');
    unsigned char *signature;
    size_t size;
    decode(dot + 1, strlen(dot + 1), &signature, &size);
    assert_int_equal(EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key), 1);
    int ok = EVP_DigestVerify(context, signature, size, (const unsigned char *)token, (size_t)(dot - token));
    free(signature);
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    BIO_free(bio);
    return ok == 1;
}

static char *pem_of(EVP_PKEY *key, const EVP_CIPHER *cipher)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, cipher, "pass", cipher ? 4 : 0, NULL, NULL), 1);
    long n = BIO_get_mem_data(bio, &text);
    char *copy = strndup(text, (size_t)n);
    BIO_free(bio);
    EVP_PKEY_free(key);
    return copy;
}

static void a_signature_verifies(void **state)
{
    (void)state;
    char *pem = pem_of(EVP_RSA_gen(2049), NULL); /* a size that isn't a multiple of 8 */
    struct jwt_assertion a = an_assertion();
    a.private_key = pem;
    a.subject = "Zo\xc3\xab@example.com";
    char *token = sign(a);
    assert_true(verifies(token, pem));
    assert_false(verifies(token, google_key_pkcs8));
    assert_null(strpbrk(token, "=+/ \n"));

    char *first = strchr(token, '.'), *second = strrchr(token, '.');
    unsigned char *claims;
    size_t size;
    decode(first + 1, (size_t)(second - first - 1), &claims, &size);
    json_t *json = json_loadb((char *)claims, size, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(json, "sub")), a.subject);
    assert_int_equal(json_integer_value(json_object_get(json, "exp")), 1767229200);
    json_decref(json);
    free(claims);
    token[1] ^= 1;
    assert_false(verifies(token, pem));
    secret_free(token);
    free(pem);
}

/* ---- keys that can't sign ---- */

static void refuse(const char *pem, const char *words)
{
    struct jwt_assertion a = an_assertion();
    struct error err = {0};
    char *token = NULL;
    a.private_key = pem;
    int rc = jwt_sign(&a, "env:KEY", &token, &err);
    if (rc != ERROR_INPUT || err.retryable || strstr(err.message, words) == NULL)
        fail_msg("wanted \"%s\", got %d: %s", words, rc, err.message);
    assert_non_null(strstr(err.message, "env:KEY"));
    assert_null(token);
    char line[41] = ""; /* of the key's own */
    const char *body = strchr(pem, '\n');
    if (body && strlen(body) > sizeof line) {
        memcpy(line, body + 1, sizeof line - 1);
        assert_null(strstr(err.message, line));
    }
}

static void unusable_keys_are_named(void **state)
{
    (void)state;
    static char broken[sizeof google_key_pkcs8], long_one[40000];
    refuse("", "isn't a private key in PEM");
    refuse("hunter2", "isn't a private key in PEM");
    refuse("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "isn't a private key in PEM");
    memcpy(broken, google_key_pkcs8, sizeof broken);
    broken[400] = '*';
    refuse(broken, "isn't a private key in PEM");
    memcpy(broken, google_key_pkcs8, sizeof broken);
    broken[sizeof broken / 2] = '\0';
    refuse(broken, "isn't a private key in PEM");
    memcpy(broken, google_key_pkcs8, sizeof broken);
    for (char *at = broken; *at; at++)
        *at = (char)(*at == '\n' ? ' ' : *at);
    refuse(broken, "has lost its line breaks");
    memset(long_one, 'A', sizeof long_one - 1);
    refuse(long_one, "longer than");

    static const struct {
        const char *words;
        unsigned bits;
    } sizes[] = {{"has 1024 bits", 1024}, {"has 2047 bits", 2047}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *pem = pem_of(EVP_RSA_gen(sizes[i].bits), NULL);
        refuse(pem, sizes[i].words);
        free(pem);
    }
    char *pem = pem_of(EVP_EC_gen("P-256"), NULL);
    refuse(pem, "isn't an RSA key");
    free(pem);
    pem = pem_of(EVP_RSA_gen(2048), EVP_aes_256_cbc());
    refuse(pem, "is encrypted");
    free(pem);
}

static void texts_must_be_text(void **state)
{
    (void)state;
    struct jwt_assertion a = an_assertion();
    struct error err = {0};
    char *token = NULL;
    a.issuer = "\xff";
    assert_int_equal(jwt_sign(&a, "env:KEY", &token, &err), ERROR_INPUT);
    static char subject[40000];
    memset(subject, 'a', sizeof subject - 1);
    a = an_assertion();
    a.subject = subject;
    assert_int_equal(jwt_sign(&a, "env:KEY", &token, &err), ERROR_LIMIT);
    assert_null(token);
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    struct jwt_assertion a = an_assertion();
    int rc = ERROR_SYSTEM, n = 0;
    for (; rc && n < 100; n++) {
        struct error err = {0};
        char *token = NULL;
        calls = 0;
        fail_at = n + 1;
        rc = jwt_sign(&a, "env:KEY", &token, &err);
        fail_at = 0;
        assert_true(rc == 0 || (rc == ERROR_SYSTEM && err.retryable && token == NULL));
        secret_free(token);
    }
    assert_int_equal(rc, 0);
    assert_true(n > 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bytes_as_another_tool), cmocka_unit_test(pkcs1_is_read_too),
        cmocka_unit_test(a_signature_verifies),       cmocka_unit_test(unusable_keys_are_named),
        cmocka_unit_test(texts_must_be_text),         cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
