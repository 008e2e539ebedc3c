#include "auth/google_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/base64.h"
#include "auth/google_environment.h"
#include "auth/jwt.h"
#include "auth/secret.h"
#include "auth/sigv4.h"

enum { ASSERTION_LIFETIME_S = 3600, CLIENT_MAX = 4096 };

static int out_of_memory(struct error *err)
{
    return error_set(err, ERROR_SYSTEM, true, "out of memory");
}

static void add_field(struct strbuf *body, const char *name, const char *value)
{
    strbuf_printf(body, "%s%s=", body->size ? "&" : "", name);
    sigv4_encode(body, value, false);
}

static void begin_form(struct service_request *request, const char *url, const char *grant_type)
{
    request->method = "POST";
    strbuf_puts(&request->url, url);
    strbuf_puts(service_request_add_header(request, "Content-Type"), "application/x-www-form-urlencoded");
    strbuf_puts(service_request_add_header(request, "Accept"), "application/json");
    add_field(&request->body, "grant_type", grant_type);
}

/* ---- the metadata server ---- */

int google_request_metadata(struct service_request *request, struct error *err)
{
    static const enum google_variable variables[] = {GOOGLE_GCE_METADATA_HOST, GOOGLE_GCE_METADATA_ROOT,
                                                     GOOGLE_GCE_METADATA_IP};
    const char *host = "metadata.google.internal";
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        const char *given = google_environment(variables[i]);
        if (given == NULL)
            continue;
        if (given[strspn(given, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.:[]-")])
            return error_set(err, ERROR_INPUT, false, "%s must be HOST or HOST:PORT",
                             google_environment_name(variables[i]));
        host = given;
        break;
    }
    request->method = "GET";
    strbuf_printf(&request->url, "http://%s/computeMetadata/v1/instance/service-accounts/default/token",
                  host);
    strbuf_puts(service_request_add_header(request, "Metadata-Flavor"), "Google");
    return 0;
}

/* ---- what is sent for a token ---- */

int google_request_assertion(struct service_request *request, const struct google_source *source,
                             const char *scope, int64_t now_s, struct error *err)
{
    const struct jwt_assertion assertion = {.private_key = source->account.private_key,
                                            .key_id = source->account.key_id,
                                            .issuer = source->account.email,
                                            .scope = scope,
                                            .audience = source->token_url,
                                            .issued_at_s = now_s,
                                            .lifetime_s = ASSERTION_LIFETIME_S};
    char *text;
    int rc = jwt_sign(&assertion, source->name, &text, err);
    if (rc)
        return rc;
    begin_form(request, source->token_url, "urn:ietf:params:oauth:grant-type:jwt-bearer");
    add_field(&request->body, "assertion", text);
    secret_free(text);
    return 0;
}

int google_request_refresh(struct service_request *request, const struct google_source *source,
                           struct error *err)
{
    (void)err;
    begin_form(request, source->token_url, "refresh_token");
    add_field(&request->body, "client_id", source->client.id);
    add_field(&request->body, "client_secret", source->client.secret);
    add_field(&request->body, "refresh_token", source->client.refresh_token);
    return 0;
}

/* ---- federation ---- */

int google_request_subject(struct service_request *request, const struct google_source *source,
                           struct error *err)
{
    (void)err;
    request->method = "GET";
    strbuf_puts(&request->url, source->federation.url);
    void *at = json_object_iter((json_t *)source->federation.headers);
    for (; at; at = json_object_iter_next((json_t *)source->federation.headers, at))
        strbuf_puts(service_request_add_header(request, json_object_iter_key(at)),
                    json_string_value(json_object_iter_value(at)));
    return 0;
}

/* RFC 6749, 2.3.1: both are encoded as in a form first. */
static int add_client(struct service_request *request, const struct google_source *source, struct error *err)
{
    struct strbuf pair;
    strbuf_init(&pair, CLIENT_MAX);
    sigv4_encode(&pair, source->client.id, false);
    strbuf_putc(&pair, ':');
    sigv4_encode(&pair, source->client.secret, false);
    char *text = pair.failed ? NULL : base64_encode((const unsigned char *)pair.data, pair.size);
    bool ok = text != NULL;
    if (ok)
        strbuf_printf(service_request_add_header(request, "Authorization"), "Basic %s", text);
    secret_free(text);
    if (pair.data)
        explicit_bzero(pair.data, pair.capacity);
    strbuf_deinit(&pair);
    return ok ? 0 : out_of_memory(err);
}

static int add_user_project(struct service_request *request, const char *project, struct error *err)
{
    json_t *options = json_pack("{s:s}", "userProject", project);
    char *text = json_dumps(options, JSON_COMPACT);
    json_decref(options);
    if (text == NULL)
        return out_of_memory(err);
    add_field(&request->body, "options", text);
    free(text);
    return 0;
}

int google_request_exchange(struct service_request *request, const struct google_source *source,
                            const char *scope, const char *subject_token, struct error *err)
{
    begin_form(request, source->token_url, "urn:ietf:params:oauth:grant-type:token-exchange");
    add_field(&request->body, "audience", source->federation.audience);
    add_field(&request->body, "scope", scope);
    add_field(&request->body, "requested_token_type", "urn:ietf:params:oauth:token-type:access_token");
    add_field(&request->body, "subject_token", subject_token);
    add_field(&request->body, "subject_token_type", source->federation.token_type);
    if (source->client.id) /* which tells whose project it is as well */
        return add_client(request, source, err);
    if (source->federation.user_project)
        return add_user_project(request, source->federation.user_project, err);
    return 0;
}

/* ---- impersonation ---- */

int google_request_impersonation(struct service_request *request, const struct google_source *source,
                                 const char *scope, const char *token, struct error *err)
{
    char lifetime[16];
    snprintf(lifetime, sizeof lifetime, "%ds", source->impersonation.lifetime_s);
    json_t *body = json_pack("{s:O*, s:[s], s:s}", "delegates", source->impersonation.delegates, "scope",
                             scope, "lifetime", lifetime);
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    if (text == NULL)
        return out_of_memory(err);
    request->method = "POST";
    strbuf_puts(&request->url, source->impersonation.url);
    strbuf_puts(service_request_add_header(request, "Content-Type"), "application/json");
    strbuf_puts(service_request_add_header(request, "Accept"), "application/json");
    strbuf_printf(service_request_add_header(request, "Authorization"), "Bearer %s", token);
    strbuf_puts(&request->body, text);
    free(text);
    return 0;
}
