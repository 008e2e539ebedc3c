#include "storage/s3/request.h"

#include <assert.h>
#include <string.h>

#include "auth/sigv4.h"
#include "base/digest.h"

#define PATH_MAX_SIZE (4 << 10)

/* The headers to sign, while they are collected. */
struct headers {
    struct sigv4_header list[OBJECT_REQUEST_MAX_HEADERS];
    int n;
    bool failed;
};

static void add(struct headers *headers, const char *name, const char *value)
{
    /* three more lines are added unsigned: Authorization, x-amz-date, x-amz-security-token; and Content-Type
     */
    if (headers->n == OBJECT_REQUEST_MAX_HEADERS - 4) {
        headers->failed = true;
        return;
    }
    headers->list[headers->n++] = (struct sigv4_header){.name = name, .value = value};
}

static bool has(const struct headers *headers, const char *name)
{
    for (int i = 0; i < headers->n; i++)
        if (strcasecmp(headers->list[i].name, name) == 0)
            return true;
    return false;
}

static void collect(const struct s3_session *session, const struct object_ask *ask, const char *payload_hash,
                    struct headers *headers)
{
    const struct s3_config *config = &session->config;
    add(headers, "Host", strstr(config->scheme_host, "://") + 3);
    add(headers, "x-amz-content-sha256", payload_hash);
    for (int i = 0; i < ask->n_headers; i++)
        add(headers, ask->headers[i].name, ask->headers[i].value);
    if (config->expected_bucket_owner)
        add(headers, "x-amz-expected-bucket-owner", config->expected_bucket_owner);
    if (ask->customer_key) {
        assert(session->customer_key.base64);
        add(headers, "x-amz-server-side-encryption-customer-algorithm", "AES256");
        add(headers, "x-amz-server-side-encryption-customer-key", session->customer_key.base64);
        add(headers, "x-amz-server-side-encryption-customer-key-MD5", session->customer_key.digest);
    }
}

/* "/bucket/key", "/key", "/bucket" or "/", decoded. */
static void append_path(struct strbuf *path, const struct s3_config *config, const char *key)
{
    strbuf_putc(path, '/');
    if (!config->virtual_hosted) {
        strbuf_puts(path, config->bucket);
        if (key)
            strbuf_putc(path, '/');
    }
    if (key)
        strbuf_puts(path, key);
}

/* Host is left to the HTTP client, which writes the same from the URL. */
static void write_lines(const struct headers *headers, const struct sigv4_signature *signature,
                        const char *session_token, struct object_request *ret)
{
    for (int i = 1; i < headers->n; i++)
        object_request_add_line(ret, headers->list[i].name, headers->list[i].value);
    object_request_add_line(ret, "x-amz-date", signature->date);
    if (session_token)
        object_request_add_line(ret, "x-amz-security-token", session_token);
    object_request_add_line(ret, "Authorization", signature->authorization);
    if (!has(headers, "Content-Type"))
        object_request_omit_line(ret, "Content-Type"); /* the client adds none */
}

static void write_url(const struct s3_config *config, const struct object_ask *ask, const char *path,
                      struct object_request *ret)
{
    strbuf_puts(&ret->url, config->scheme_host);
    sigv4_encode(&ret->url, path, true);
    object_request_add_query(ret, ask->query, ask->n_query);
}

static int hash_body(const struct object_ask *ask, char out[DIGEST_SHA256_SIZE], struct error *err)
{
    assert(ask->body_size == 0 || ask->body_fd < 0);
    struct digest *digest = digest_new();
    if (digest == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    if (ask->body_size > 0)
        digest_update(digest, ask->body, ask->body_size);
    digest_final(digest, out);
    digest_free(digest);
    return 0;
}

static int sign(const struct s3_session *session, const struct object_ask *ask, const struct headers *headers,
                const char *payload_hash, const char *path, const struct aws_credentials *credentials,
                int64_t time_s, struct sigv4_signature *ret, struct error *err)
{
    struct sigv4_query query[SIGV4_MAX_QUERY];
    if (ask->n_query > SIGV4_MAX_QUERY)
        return error_set(err, ERROR_LIMIT, false, "a request has more than %d parameters", SIGV4_MAX_QUERY);
    for (int i = 0; i < ask->n_query; i++)
        query[i] = (struct sigv4_query){ask->query[i].name, ask->query[i].value};
    const struct sigv4_request request = {
        .method = ask->method,
        .path = path,
        .query = query,
        .n_query = ask->n_query,
        .headers = headers->list,
        .n_headers = headers->n,
        .payload_hash = payload_hash,
        .region = session->config.region,
        .service = "s3",
        .access_key_id = credentials->access_key_id,
        .secret_access_key = credentials->secret_access_key,
        .session_token = credentials->session_token,
        .time_s = time_s,
        .path_rule = SIGV4_PATH_ONCE,
    };
    return sigv4_sign(&request, ret, NULL, NULL, err);
}

static int build(const struct s3_session *session, const struct object_ask *ask, const char *path,
                 const struct aws_credentials *credentials, int64_t time_s, struct object_request *ret,
                 struct error *err)
{
    char hash[DIGEST_SHA256_SIZE];
    const char *payload_hash = ask->payload_hash;
    if (payload_hash == NULL) {
        int rc = hash_body(ask, hash, err);
        if (rc < 0)
            return rc;
        payload_hash = hash;
    }
    assert(session->config.https || strcmp(payload_hash, S3_UNSIGNED) != 0);
    struct headers headers = {0};
    collect(session, ask, payload_hash, &headers);
    if (headers.failed)
        return error_set(err, ERROR_LIMIT, false, "a request has more than %d headers",
                         OBJECT_REQUEST_MAX_HEADERS);
    struct sigv4_signature signature = {0};
    int rc = sign(session, ask, &headers, payload_hash, path, credentials, time_s, &signature, err);
    if (rc < 0)
        return rc;
    const char *token = credentials->session_token;
    write_lines(&headers, &signature, token && *token ? token : NULL, ret);
    sigv4_signature_deinit(&signature);
    write_url(&session->config, ask, path, ret);
    return 0;
}

int s3_request_build(const struct s3_session *session, const struct object_ask *ask,
                     const struct aws_credentials *credentials, int64_t time_s, struct object_request *ret,
                     struct error *err)
{
    object_request_init(ret, ask->method);
    struct strbuf path;
    strbuf_init(&path, PATH_MAX_SIZE);
    append_path(&path, &session->config, ask->key);
    int rc = path.failed ? error_set(err, ERROR_LIMIT, false, "a path is longer than %d bytes", PATH_MAX_SIZE)
                         : build(session, ask, strbuf_cstr(&path), credentials, time_s, ret, err);
    strbuf_deinit(&path);
    if (rc < 0)
        object_request_deinit(ret);
    return rc;
}
