#include "auth/sigv4.h"

#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/sigv4_canonical.h"
#include "base/civil.h"

enum {
    HASH_SIZE = 32,
    HEX_SIZE = 2 * HASH_SIZE + 1,
    SCOPE_MAX = 256,
    SECRET_MAX = 1024,
    EXPIRES_MAX_S = 604800
};

/* Fetched once, as in base/digest.c. keyless is an HMAC-SHA256 to be copied, then keyed. */
static EVP_MD *sha256;
static EVP_MAC_CTX *keyless;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fetch(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = hmac ? EVP_MAC_CTX_new(hmac) : NULL;
    EVP_MAC_free(hmac); /* the context keeps its own reference */
    OSSL_PARAM digest[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0),
                           OSSL_PARAM_construct_end()};
    if (ctx && EVP_MAC_init(ctx, (const unsigned char *)"", 0, digest) == 1)
        keyless = ctx;
    else
        EVP_MAC_CTX_free(ctx);
}

static bool hmac(EVP_MAC_CTX *ctx, const void *key, size_t key_size, const char *text,
                 unsigned char ret[HASH_SIZE])
{
    size_t n = 0;
    return EVP_MAC_init(ctx, key, key_size, NULL) == 1 &&
           EVP_MAC_update(ctx, (const unsigned char *)text, strlen(text)) == 1 &&
           EVP_MAC_final(ctx, ret, &n, HASH_SIZE) == 1 && n == HASH_SIZE;
}

static void to_hex(const unsigned char bytes[HASH_SIZE], char ret[HEX_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < HASH_SIZE; i++) {
        ret[2 * i] = digits[bytes[i] >> 4];
        ret[2 * i + 1] = digits[bytes[i] & 15];
    }
    ret[HEX_SIZE - 1] = '\0';
}

/* What one signature needs on its way. */
struct signing {
    const struct sigv4_request *request;
    char date[17];         /* 20150830T123600Z */
    char scope[SCOPE_MAX]; /* 20150830/us-east-1/service/aws4_request */
    struct sigv4_list headers, query;
    struct strbuf names, canonical, to_sign;
    char signature[HEX_SIZE];
};

static void signing_deinit(struct signing *s)
{
    sigv4_list_deinit(&s->headers);
    sigv4_list_deinit(&s->query);
    strbuf_deinit(&s->names);
    if (s->canonical.data)
        explicit_bzero(s->canonical.data, s->canonical.capacity);
    strbuf_deinit(&s->canonical);
    strbuf_deinit(&s->to_sign);
}

static bool is_present(const char *text)
{
    return text != NULL && text[0] != '\0';
}

/* Printable ASCII without what would end it inside a header, and nothing in it. */
static bool is_plain(const char *text, const char *refused)
{
    if (!is_present(text))
        return false;
    for (; *text; text++) {
        if (*text <= ' ' || *text >= 0x7f || strchr(refused, *text))
            return false;
    }
    return true;
}

static int check(const struct sigv4_request *r, struct error *err)
{
    if (r->n_headers > SIGV4_MAX_HEADERS || r->n_query > SIGV4_MAX_QUERY)
        return error_set(err, ERROR_LIMIT, false, "signature: more than %d headers or %d parameters",
                         SIGV4_MAX_HEADERS, SIGV4_MAX_QUERY);
    if (!is_plain(r->method, "/") || r->path == NULL || (r->path[0] != '\0' && r->path[0] != '/'))
        return error_set(err, ERROR_INPUT, false,
                         "signature: no method, or a path that doesn't begin with '/'");
    if (!is_plain(r->payload_hash, ""))
        return error_set(err, ERROR_INPUT, false, "signature: no payload hash");
    if (!is_plain(r->region, "/,") || !is_plain(r->service, "/,"))
        return error_set(err, ERROR_INPUT, false,
                         "signature: no region, or one with a blank, '/' or ',' in it");
    if (!is_plain(r->access_key_id, ",") || !is_present(r->secret_access_key))
        return error_set(err, ERROR_INPUT, false,
                         "signature: access key id or secret is empty, or the id holds a blank or a ','");
    if (strlen(r->secret_access_key) > SECRET_MAX)
        return error_set(err, ERROR_LIMIT, false, "signature: a secret access key longer than %d bytes",
                         SECRET_MAX);
    if (is_present(r->session_token) && !is_plain(r->session_token, ""))
        return error_set(err, ERROR_INPUT, false,
                         "signature: a session token with a blank or control character");
    if (r->time_s < 0 || r->time_s > INT64_C(253402300799)) /* the end of 9999 */
        return error_set(err, ERROR_INPUT, false, "signature: time %lld is out of range",
                         (long long)r->time_s);
    return 0;
}

static int write_scope(struct signing *s, struct error *err)
{
    struct civil t = civil_from_seconds(s->request->time_s);
    snprintf(s->date, sizeof s->date, "%04u%02u%02uT%02u%02u%02uZ", (unsigned)t.year % 10000,
             (unsigned)t.month % 100, (unsigned)t.day % 100, (unsigned)t.hour % 100, (unsigned)t.minute % 100,
             (unsigned)t.second % 100); /* the remainders are for the compiler, which fears for the buffer */
    int n = snprintf(s->scope, sizeof s->scope, "%.8s/%s/%s/aws4_request", s->date, s->request->region,
                     s->request->service);
    if (n >= (int)sizeof s->scope)
        return error_set(err, ERROR_LIMIT, false, "signature: region and service are too long");
    return 0;
}

static int add_headers(struct signing *s, struct error *err)
{
    static const char *const refused[] = {"x-amz-date", "x-amz-security-token", "authorization"};
    const struct sigv4_request *r = s->request;
    for (int i = 0; i < r->n_headers; i++) {
        int rc = sigv4_list_add_header(&s->headers, r->headers[i].name, r->headers[i].value, err);
        if (rc)
            return rc;
    }
    if (!s->headers.text.failed && !sigv4_list_has(&s->headers, "host"))
        return error_set(err, ERROR_INPUT, false,
                         "signature: the host header must be signed, and isn't given");
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        if (sigv4_list_has(&s->headers, refused[i]))
            return error_set(err, ERROR_INPUT, false, "signature: %s is the signer's own header", refused[i]);
    }
    return 0;
}

/* Checks, date and scope, the request's own headers and parameters; deinit also on an error. */
static int signing_init(struct signing *s, const struct sigv4_request *request, struct error *err)
{
    s->request = request;
    sigv4_list_init(&s->headers);
    sigv4_list_init(&s->query);
    strbuf_init(&s->names, SIGV4_MAX_REQUEST);
    strbuf_init(&s->canonical, SIGV4_MAX_REQUEST);
    strbuf_init(&s->to_sign, 1024);
    pthread_once(&once, fetch);
    if (sha256 == NULL || keyless == NULL)
        return error_set(err, ERROR_SYSTEM, false, "libcrypto has no SHA-256 or no HMAC");
    int rc = check(request, err);
    if (rc == 0)
        rc = write_scope(s, err);
    if (rc == 0)
        rc = add_headers(s, err);
    for (int i = 0; rc == 0 && i < request->n_query; i++)
        sigv4_list_add_query(&s->query, request->query[i].name, request->query[i].value);
    return rc;
}

static void write_canonical(struct signing *s)
{
    const struct sigv4_request *r = s->request;
    struct strbuf *out = &s->canonical;
    strbuf_puts(out, r->method);
    strbuf_putc(out, '\n');
    sigv4_write_path(r->path, r->path_rule, out);
    strbuf_putc(out, '\n');
    sigv4_list_write_query(&s->query, out);
    strbuf_putc(out, '\n');
    sigv4_list_write_headers(&s->headers, out);
    strbuf_putc(out, '\n');
    strbuf_append(out, strbuf_cstr(&s->names), s->names.size);
    strbuf_putc(out, '\n');
    strbuf_puts(out, r->payload_hash);
}

/* The key of day, region and service; four HMACs cost less than keeping secrets around would. */
static bool derive(EVP_MAC_CTX *ctx, const struct signing *s, unsigned char key[HASH_SIZE])
{
    const struct sigv4_request *r = s->request;
    char first[4 + SECRET_MAX + 1];
    int n = snprintf(first, sizeof first, "AWS4%s", r->secret_access_key);
    char day[9];
    memcpy(day, s->date, 8);
    day[8] = '\0';
    bool ok = hmac(ctx, first, (size_t)n, day, key) && hmac(ctx, key, HASH_SIZE, r->region, key) &&
              hmac(ctx, key, HASH_SIZE, r->service, key) && hmac(ctx, key, HASH_SIZE, "aws4_request", key);
    explicit_bzero(first, sizeof first);
    return ok;
}

static bool compute(struct signing *s)
{
    unsigned char bytes[HASH_SIZE], key[HASH_SIZE];
    char hex[HEX_SIZE];
    if (EVP_Digest(s->canonical.data, s->canonical.size, bytes, NULL, sha256, NULL) != 1)
        return false;
    to_hex(bytes, hex);
    strbuf_printf(&s->to_sign, "AWS4-HMAC-SHA256\n%s\n%s\n%s", s->date, s->scope, hex);
    if (s->to_sign.failed)
        return false;
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_dup(keyless);
    bool ok = ctx && derive(ctx, s, key) && hmac(ctx, key, HASH_SIZE, s->to_sign.data, bytes);
    EVP_MAC_CTX_free(ctx);
    explicit_bzero(key, sizeof key);
    if (ok)
        to_hex(bytes, s->signature);
    return ok;
}

/* From complete lists to the signature; what was asked for is appended to the caller's buffers. */
static int sign(struct signing *s, struct strbuf *canonical_request, struct strbuf *string_to_sign,
                struct error *err)
{
    write_canonical(s);
    if (s->canonical.failed || s->names.failed)
        return error_set(err, ERROR_LIMIT, false,
                         "signature: the request is longer than %d bytes, or memory is out",
                         SIGV4_MAX_REQUEST);
    if (!compute(s))
        return error_set(err, ERROR_SYSTEM, true, "signature: libcrypto failed, or memory is out");
    if (canonical_request)
        strbuf_append(canonical_request, s->canonical.data, s->canonical.size);
    if (string_to_sign)
        strbuf_append(string_to_sign, s->to_sign.data, s->to_sign.size);
    return 0;
}

static int sign_headers(struct signing *s, struct sigv4_signature *ret, struct strbuf *canonical_request,
                        struct strbuf *string_to_sign, struct error *err)
{
    const struct sigv4_request *r = s->request;
    int rc = sigv4_list_add_header(&s->headers, "x-amz-date", s->date, err);
    if (rc == 0 && is_present(r->session_token) && !r->token_unsigned)
        rc = sigv4_list_add_header(&s->headers, "x-amz-security-token", r->session_token, err);
    if (rc)
        return rc;
    sigv4_list_write_names(&s->headers, &s->names);
    rc = sign(s, canonical_request, string_to_sign, err);
    if (rc)
        return rc;
    char *authorization = NULL;
    if (asprintf(&authorization, "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s",
                 r->access_key_id, s->scope, s->names.data, s->signature) < 0)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    memcpy(ret->date, s->date, sizeof ret->date);
    ret->authorization = authorization;
    return 0;
}

int sigv4_sign(const struct sigv4_request *request, struct sigv4_signature *ret,
               struct strbuf *canonical_request, struct strbuf *string_to_sign, struct error *err)
{
    struct signing s;
    int rc = signing_init(&s, request, err);
    if (rc == 0)
        rc = sign_headers(&s, ret, canonical_request, string_to_sign, err);
    signing_deinit(&s);
    return rc;
}

void sigv4_signature_deinit(struct sigv4_signature *signature)
{
    if (signature->authorization)
        explicit_bzero(signature->authorization, strlen(signature->authorization));
    free(signature->authorization);
    signature->authorization = NULL;
}

static void add_presign_parameters(struct signing *s, int64_t expires_s)
{
    const struct sigv4_request *r = s->request;
    char expires[24];
    snprintf(expires, sizeof expires, "%lld", (long long)expires_s);
    struct strbuf credential;
    strbuf_init(&credential, SIGV4_MAX_REQUEST);
    strbuf_printf(&credential, "%s/%s", r->access_key_id, s->scope);
    if (credential.failed)
        s->query.text.failed = true;
    sigv4_list_add_query(&s->query, "X-Amz-Algorithm", "AWS4-HMAC-SHA256");
    sigv4_list_add_query(&s->query, "X-Amz-Credential", strbuf_cstr(&credential));
    sigv4_list_add_query(&s->query, "X-Amz-Date", s->date);
    sigv4_list_add_query(&s->query, "X-Amz-Expires", expires);
    sigv4_list_add_query(&s->query, "X-Amz-SignedHeaders", strbuf_cstr(&s->names));
    if (is_present(r->session_token) && !r->token_unsigned)
        sigv4_list_add_query(&s->query, "X-Amz-Security-Token", r->session_token);
    strbuf_deinit(&credential);
}

static int sign_query(struct signing *s, int64_t expires_s, struct strbuf *ret_query,
                      struct strbuf *canonical_request, struct strbuf *string_to_sign, struct error *err)
{
    const struct sigv4_request *r = s->request;
    if (expires_s < 1 || expires_s > EXPIRES_MAX_S)
        return error_set(err, ERROR_INPUT, false, "presigned URL: expires in 1 to %d seconds, not %lld",
                         EXPIRES_MAX_S, (long long)expires_s);
    sigv4_list_write_names(&s->headers, &s->names);
    add_presign_parameters(s, expires_s);
    int rc = sign(s, canonical_request, string_to_sign, err);
    if (rc)
        return rc;
    sigv4_list_write_query(&s->query, ret_query);
    if (is_present(r->session_token) && r->token_unsigned) {
        strbuf_puts(ret_query, "&X-Amz-Security-Token=");
        sigv4_encode(ret_query, r->session_token, false);
    }
    strbuf_printf(ret_query, "&X-Amz-Signature=%s", s->signature);
    if (ret_query->failed)
        return error_set(err, ERROR_LIMIT, false, "presigned URL: longer than %zu bytes", ret_query->max);
    return 0;
}

int sigv4_presign(const struct sigv4_request *request, int64_t expires_s, struct strbuf *ret_query,
                  struct strbuf *canonical_request, struct strbuf *string_to_sign, struct error *err)
{
    struct signing s;
    int rc = signing_init(&s, request, err);
    if (rc == 0)
        rc = sign_query(&s, expires_s, ret_query, canonical_request, string_to_sign, err);
    signing_deinit(&s);
    return rc;
}
