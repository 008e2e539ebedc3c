#include "auth/azure_identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/azure_environment.h"
#include "auth/azure_keys.h"
#include "auth/secret.h"
#include "auth/service_address.h"
#include "auth/small_file.h"
#include "base/percent.h"

/* The same in all of Azure's clouds. */
static const char resource[] = "https://storage.azure.com/";
static const char scope[] = "https://storage.azure.com/.default";
static const char assertion_type[] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/* ---- identities ---- */

static bool is_id(const char *text)
{
    return strlen(text) <= 128 &&
           text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_")] == '\0';
}

static int copy(char **ret, const char *text)
{
    if (azure_is_said(text))
        *ret = strdup(text);
    return azure_is_said(text) && *ret == NULL ? -1 : 0;
}

int azure_identity_init(struct azure_identity *identity, enum azure_identity_kind kind,
                        const struct azure_identity_texts *texts, const char *source, struct error *err)
{
    if ((azure_is_said(texts->tenant_id) && !is_id(texts->tenant_id)) ||
        (azure_is_said(texts->client_id) && !is_id(texts->client_id)))
        return error_set(err, ERROR_INPUT, false, "%.150s: a tenant's or a client's id that can't be one",
                         source);
    *identity = (struct azure_identity){.kind = kind};
    snprintf(identity->source, sizeof identity->source, "%s", source);
    if (copy(&identity->tenant_id, texts->tenant_id) || copy(&identity->client_id, texts->client_id) ||
        copy(&identity->client_secret, texts->client_secret) ||
        copy(&identity->token_file, texts->token_file)) {
        azure_identity_deinit(identity);
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    return 0;
}

void azure_identity_deinit(struct azure_identity *identity)
{
    free(identity->tenant_id);
    free(identity->client_id);
    secret_free(identity->client_secret);
    free(identity->token_file);
    *identity = (struct azure_identity){0};
}

bool azure_identity_is_managed(const struct azure_identity *identity)
{
    return identity->kind == AZURE_IDENTITY_APP_SERVICE || identity->kind == AZURE_IDENTITY_MACHINE;
}

/* ---- Entra ID ---- */

static void add_field(struct strbuf *body, const char *name, const char *value)
{
    strbuf_printf(body, "%s%s=", body->size > 0 ? "&" : "", name);
    percent_encode(body, value, strlen(value), false);
}

static int write_authority(struct strbuf *url, const char *tenant_id, struct error *err)
{
    const char *given = azure_environment(AZURE_AUTHORITY_HOST);
    if (given == NULL)
        given = "https://login.microsoftonline.com";
    enum service_address address = service_address_of(given);
    if (address != SERVICE_ADDRESS_HTTPS && address != SERVICE_ADDRESS_HERE)
        return error_set(err, ERROR_INPUT, false, "AZURE_AUTHORITY_HOST: must be https://HOST");
    size_t n = strlen(given);
    while (n > 0 && given[n - 1] == '/')
        n--;
    strbuf_append(url, given, n);
    strbuf_printf(url, "/%s/oauth2/v2.0/token", tenant_id);
    return 0;
}

static int add_assertion(struct strbuf *body, const char *file, struct error *err)
{
    char *token;
    int rc = small_file_read_token(file, &token, err);
    if (rc)
        return rc;
    add_field(body, "client_assertion_type", assertion_type);
    add_field(body, "client_assertion", token);
    small_file_free(token, strlen(token));
    return 0;
}

static int prepare_entra(const struct azure_identity *identity, struct service_request *request,
                         struct error *err)
{
    request->method = "POST";
    strbuf_puts(service_request_add_header(request, "Content-Type"), "application/x-www-form-urlencoded");
    strbuf_puts(service_request_add_header(request, "Accept"), "application/json");
    add_field(&request->body, "client_id", identity->client_id);
    add_field(&request->body, "grant_type", "client_credentials");
    add_field(&request->body, "scope", scope);
    int rc = write_authority(&request->url, identity->tenant_id, err);
    if (rc)
        return rc;
    if (identity->kind == AZURE_IDENTITY_FEDERATED)
        return add_assertion(&request->body, identity->token_file, err);
    add_field(&request->body, "client_secret", identity->client_secret);
    return 0;
}

/* ---- managed identities ---- */

static void add_query(struct strbuf *url, const char *version, const char *client_id)
{
    strbuf_printf(url, "?api-version=%s&resource=", version);
    percent_encode(url, resource, strlen(resource), false);
    if (client_id == NULL)
        return;
    strbuf_puts(url, "&client_id=");
    percent_encode(url, client_id, strlen(client_id), false);
}

static int prepare_app_service(const struct azure_identity *identity, struct service_request *request,
                               struct error *err)
{
    const char *endpoint = azure_environment(AZURE_IDENTITY_ENDPOINT);
    const char *header = azure_environment(AZURE_IDENTITY_HEADER);
    if (endpoint == NULL || service_address_of(endpoint) == SERVICE_ADDRESS_WRONG)
        return error_set(err, ERROR_INPUT, false, "IDENTITY_ENDPOINT: must be http://HOST/PATH");
    if (header == NULL)
        return error_set(err, ERROR_INPUT, false, "IDENTITY_HEADER: isn't set");
    request->method = "GET";
    strbuf_puts(&request->url, endpoint);
    add_query(&request->url, "2019-08-01", identity->client_id);
    strbuf_puts(service_request_add_header(request, "X-IDENTITY-HEADER"), header);
    return 0;
}

static int prepare_machine(const struct azure_identity *identity, struct service_request *request,
                           struct error *err)
{
    static const char path[] = "/metadata/identity/oauth2/token";
    const char *given = azure_environment(AZURE_POD_IDENTITY_AUTHORITY_HOST);
    if (given == NULL)
        given = "http://169.254.169.254";
    if (service_address_of(given) == SERVICE_ADDRESS_WRONG)
        return error_set(err, ERROR_INPUT, false,
                         "AZURE_POD_IDENTITY_AUTHORITY_HOST: must be http://HOST, with a port");
    size_t n = strlen(given), path_size = strlen(path);
    while (n > 0 && given[n - 1] == '/')
        n--;
    if (n > path_size && memcmp(given + n - path_size, path, path_size) == 0)
        n -= path_size; /* some write the whole address */
    request->method = "GET";
    strbuf_append(&request->url, given, n);
    strbuf_puts(&request->url, path);
    add_query(&request->url, "2018-02-01", identity->client_id);
    strbuf_puts(service_request_add_header(request, "Metadata"), "true");
    return 0;
}

int azure_identity_prepare(const struct azure_identity *identity, struct service_request *request,
                           struct error *err)
{
    switch (identity->kind) {
    case AZURE_IDENTITY_SECRET:
    case AZURE_IDENTITY_FEDERATED:
        return prepare_entra(identity, request, err);
    case AZURE_IDENTITY_APP_SERVICE:
        return prepare_app_service(identity, request, err);
    case AZURE_IDENTITY_MACHINE:
        break;
    }
    return prepare_machine(identity, request, err);
}

/* ---- answers ---- */

int azure_identity_answer(const struct azure_identity *identity, const struct http_response *response,
                          int64_t now_ms, struct azure_token *ret, struct error *err)
{
    const char *what = identity->source;
    if (response->status == 200)
        return azure_answer_read(what, response->body, response->body_size, now_ms, ret, err);
    int rc = azure_answer_refused(what, response->status, response->body, response->body_size,
                                  azure_identity_is_managed(identity), err);
    err->retry_after_ms = azure_answer_retry_after_ms(response->header(response, "Retry-After"));
    return rc;
}
