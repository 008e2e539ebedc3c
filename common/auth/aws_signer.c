#include "auth/aws_signer.h"

#include <string.h>

#include "auth/aws_keys.h"
#include "auth/sigv4.h"
#include "base/clock.h"
#include "base/digest.h"

enum { HOST_MAX = 4096 };

int aws_signer_use(struct aws_signer *signer, const char *what, const struct aws_credentials *keys,
                   struct error *err)
{
    aws_signer_deinit(signer);
    return aws_keys_copy(what, keys, &signer->keys, &signer->keys_memory, err);
}

void aws_signer_deinit(struct aws_signer *signer)
{
    aws_credentials_memory_free(signer->keys_memory);
    signer->keys_memory = NULL;
}

/* "https://host:8443/path" as signed: what is sent as Host (a scheme's own port isn't), and the path. */
static int split_url(const char *url, struct strbuf *host, const char **ret_path, struct error *err)
{
    const char *rest = strstr(url, "://");
    bool tls = strncmp(url, "https://", strlen("https://")) == 0;
    if (rest == NULL)
        return error_set(err, ERROR_INPUT, false, "an address without http:// or https://");
    rest += strlen("://");
    size_t size = strcspn(rest, "/?#");
    const char *port = tls ? ":443" : ":80";
    *ret_path = rest + size;
    size_t n = strlen(port);
    if (size > n && memcmp(rest + size - n, port, n) == 0)
        size -= n;
    strbuf_append(host, rest, size);
    return 0;
}

static int hash_body(const struct strbuf *body, char ret_hex[DIGEST_SHA256_SIZE], struct error *err)
{
    struct digest *digest = digest_new();
    if (digest == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    digest_update(digest, strbuf_cstr(body), body->size);
    digest_final(digest, ret_hex);
    digest_free(digest);
    return 0;
}

static int sign_for_host(const struct aws_signer *signer, struct service_request *request, const char *host,
                         const char *path, struct error *err)
{
    struct sigv4_header headers[SERVICE_CALL_MAX_HEADERS + 1] = {{"host", host}};
    char body_hash[DIGEST_SHA256_SIZE];
    int n = 1;
    for (int i = 0; i < request->n_headers; i++)
        headers[n++] =
            (struct sigv4_header){request->headers[i].name, strbuf_cstr(&request->headers[i].value)};
    int rc = hash_body(&request->body, body_hash, err);
    if (rc)
        return rc;
    struct sigv4_request to_sign = {.method = request->method,
                                    .path = path,
                                    .headers = headers,
                                    .n_headers = n,
                                    .payload_hash = body_hash,
                                    .region = signer->region,
                                    .service = signer->service,
                                    .access_key_id = signer->keys.access_key_id,
                                    .secret_access_key = signer->keys.secret_access_key,
                                    .session_token = signer->keys.session_token,
                                    .time_s = clock_wall_ms() / 1000,
                                    .path_rule = SIGV4_PATH_NORMALISE};
    struct sigv4_signature signature;
    rc = sigv4_sign(&to_sign, &signature, NULL, NULL, err);
    if (rc)
        return rc;
    strbuf_puts(service_request_add_header(request, "X-Amz-Date"), signature.date);
    strbuf_puts(service_request_add_header(request, "Authorization"), signature.authorization);
    if (signer->keys.session_token)
        strbuf_puts(service_request_add_header(request, "X-Amz-Security-Token"), signer->keys.session_token);
    sigv4_signature_deinit(&signature);
    return 0;
}

int aws_signer_sign(const struct aws_signer *signer, struct service_request *request, struct error *err)
{
    struct strbuf host;
    const char *path = NULL;
    strbuf_init(&host, HOST_MAX);
    int rc = split_url(strbuf_cstr(&request->url), &host, &path, err);
    if (rc == 0)
        rc = sign_for_host(signer, request, strbuf_cstr(&host), path, err);
    strbuf_deinit(&host);
    return rc;
}
