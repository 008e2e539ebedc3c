#include "storage/gcs/protocol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/secret.h"
#include "base/percent.h"
#include "storage/gcs/document.h"
#include "storage/gcs/errors.h"
#include "storage/gcs/gcs.h"
#include "storage/gcs/resource.h"
#include "storage/gcs/upload_url.h"

#define REPAIR_TOKEN (1U << 0)

struct gcs_call {
    struct google_credentials_wait *wait;
    char *token;                  /* that the last request carried; NULL = none */
    bool asked_anew;              /* for another than the one that was refused */
    struct gcs_document document; /* of the last answer */
};

/* Session */

static int session_init(struct object_session *base, const struct storage_location *location,
                        struct error *err)
{
    struct gcs_session *session = (struct gcs_session *)base;
    int rc = gcs_config_load(location, &session->config, err);
    if (rc < 0)
        return rc;
    const struct gcs_config *config = &session->config;
    base->container = config->bucket;
    base->endpoint = config->endpoint;
    base->ca_file = config->ca_file;
    base->max_requests = config->max_requests;
    base->credentials_ref = config->credentials_ref;
    base->secret_ref = config->encryption_key_ref;
    base->secret_for = "the key that \"encryption_key_ref\" names";
    return 0;
}

static int take_secret(struct object_session *base, const char *secret, struct error *err)
{
    struct gcs_session *session = (struct gcs_session *)base;
    return object_customer_key_init(&session->customer_key, secret, "SHA256", "encryption_key_ref", err);
}

static void session_deinit(struct object_session *base)
{
    struct gcs_session *session = (struct gcs_session *)base;
    object_customer_key_deinit(&session->customer_key);
    explicit_bzero(session->secret_digest, sizeof session->secret_digest);
}

/* Access lists, holds and retention are not for those who may but write objects. */
struct google_credentials_ask gcs_credentials_ask(const struct gcs_session *session)
{
    const struct gcs_config *config = &session->config;
    bool full = config->predefined_acl || config->temporary_hold || config->event_based_hold ||
                config->retention_mode;
    return (struct google_credentials_ask){
        .credentials_ref = session->base.credentials_ref,
        .text = session->base.credentials_ref ? NULL : config->service_account_json,
        .scope = full ? GOOGLE_SCOPE_FULL_CONTROL : GOOGLE_SCOPE_READ_WRITE,
    };
}

/* Sending */

static void write_url(const struct gcs_session *session, const struct object_ask *ask,
                      struct object_request *request)
{
    if (ask->url) {
        strbuf_puts(&request->url, ask->url);
        return;
    }
    strbuf_printf(&request->url, "%s%s/storage/v1/b/%s", session->config.endpoint,
                  ask->flags & GCS_ASK_UPLOAD ? "/upload" : "", session->config.bucket);
    if (!(ask->flags & GCS_ASK_BUCKET))
        strbuf_puts(&request->url, "/o");
    if (ask->key) {
        strbuf_putc(&request->url, '/');
        percent_encode(&request->url, ask->key, strlen(ask->key), false);
    }
    object_request_add_query(request, ask->query, ask->n_query);
}

static void add_customer_key(const struct gcs_session *session, struct object_request *request)
{
    object_request_add_line(request, "x-goog-encryption-algorithm", "AES256");
    object_request_add_line(request, "x-goog-encryption-key", session->customer_key.base64);
    object_request_add_line(request, "x-goog-encryption-key-sha256", session->customer_key.digest);
}

static void add_credentials(const struct gcs_session *session, const struct google_credentials *credentials,
                            struct object_request *request)
{
    char line[8192];
    const char *payer = session->config.user_project;
    if (credentials) {
        snprintf(line, sizeof line, "Bearer %s", credentials->access_token);
        object_request_add_line(request, "Authorization", line);
        explicit_bzero(line, sizeof line);
        if (payer == NULL)
            payer = credentials->quota_project;
    }
    if (payer)
        object_request_add_line(request, "x-goog-user-project", payer);
}

static int send_request(struct object_call *call, const struct google_credentials *credentials,
                        struct error *err)
{
    const struct gcs_session *session = (const struct gcs_session *)object_call_session(call);
    const struct object_ask *ask = object_call_ask(call);
    struct object_request request;
    object_request_init(&request, ask->method);
    write_url(session, ask, &request);
    for (int i = 0; i < ask->n_headers; i++)
        object_request_add_line(&request, ask->headers[i].name, ask->headers[i].value);
    if (ask->url == NULL)
        add_credentials(session, credentials, &request);
    if (ask->customer_key && session->customer_key.base64)
        add_customer_key(session, &request);
    return object_call_send(call, &request, err);
}

static int keep_token(struct gcs_call *state, const char *token, struct error *err)
{
    secret_free(state->token);
    state->token = strdup(token);
    return state->token ? 0 : error_set(err, ERROR_SYSTEM, true, "out of memory");
}

static void keep_digest(struct gcs_session *session, const struct google_credentials *credentials)
{
    session->has_secret_digest = credentials->has_secret_digest;
    memcpy(session->secret_digest, credentials->secret_digest, sizeof session->secret_digest);
}

static void on_credentials(void *data, const struct google_credentials *credentials, const struct error *err)
{
    struct object_call *call = data;
    struct gcs_call *state = object_call_state(call);
    bool anew = state->asked_anew;
    struct error own = {0};
    state->wait = NULL;
    state->asked_anew = false;
    if (credentials && anew && state->token && strcmp(state->token, credentials->access_token) == 0) {
        object_call_give_up(call); /* this very token was refused */
        return;
    }
    if (err) {
        own = *err;
    } else if (keep_token(state, credentials->access_token, &own) == 0) {
        keep_digest((struct gcs_session *)object_call_session(call), credentials);
        send_request(call, credentials, &own);
    }
    if (own.code)
        object_call_fail(call, &own);
}

static int begin(struct object_call *call, struct error *err)
{
    const struct gcs_session *session = (const struct gcs_session *)object_call_session(call);
    struct gcs_call *state = object_call_state(call);
    if (session->config.auth == GCS_AUTH_NONE || object_call_ask(call)->url)
        return send_request(call, NULL, err);
    const struct google_credentials_ask ask = gcs_credentials_ask(session);
    return google_credentials_get(session->base.access->google, &ask, on_credentials, call, &state->wait,
                                  err);
}

static void forget(struct object_call *call)
{
    struct gcs_call *state = object_call_state(call);
    google_credentials_forget(state->wait);
    state->wait = NULL;
}

static void call_deinit(struct object_call *call)
{
    struct gcs_call *state = object_call_state(call);
    secret_free(state->token);
    state->token = NULL;
}

/* Judging */

/* NULL: it holds what it must; else what is missing. */
static const char *missing(const struct object_ask *ask, const struct http_response *response)
{
    struct gcs_resource resource;
    if (ask->flags & GCS_WANT_OBJECT && !gcs_resource_read(response->body, response->body_size, &resource))
        return "no whole object resource";
    if (ask->flags & GCS_WANT_LISTING && strstr(response->body, "storage#objects") == NULL)
        return "no listing";
    if (ask->flags & GCS_WANT_MEDIA && response->header(response, "x-goog-generation") == NULL)
        return "no x-goog-generation";
    if (ask->flags & GCS_WANT_SESSION && response->header(response, "location") == NULL)
        return "no Location";
    if (ask->flags & GCS_WANT_NOTHING && response->body_size > 0)
        return "no empty body";
    return NULL;
}

static bool is_success(const struct object_ask *ask, int status)
{
    return (status >= 200 && status < 300) || (status == 308 && ask->flags & GCS_TAKE_308) ||
           (status == 499 && ask->flags & GCS_TAKE_499);
}

/* Google says what it doesn't find, and marks all it says. */
static bool is_strange(const struct gcs_call *state, const struct http_response *response)
{
    int status = response->status;
    return (status == 404 || status == 410 || status == 412) && !state->document.found &&
           response->header(response, "x-guploader-uploadid") == NULL;
}

static int not_the_store(struct error *err, int status, const char *what)
{
    int rc = error_set(err, ERROR_PROTOCOL, true,
                       "%d, but %s came with it, as if a proxy answered in the store's place", status, what);
    snprintf(err->native, sizeof err->native, "%d", status);
    return rc;
}

/* What must not be told of what the store repeats: the token, and the id of an upload. */
static void hide(const struct object_ask *ask, struct gcs_call *state)
{
    static const char name[] = "upload_id=";
    const char *found = ask->url ? strstr(ask->url, name) : NULL;
    if (state->token)
        object_hide_text(state->document.message, state->token);
    if (found) {
        char id[GCS_SESSION_MAX + 1];
        found += strlen(name);
        snprintf(id, sizeof id, "%.*s", (int)strcspn(found, "&"), found);
        object_hide_text(state->document.message, id);
        explicit_bzero(id, sizeof id);
    }
}

static enum object_verdict repair_token(struct object_call *call)
{
    const struct gcs_session *session = (const struct gcs_session *)object_call_session(call);
    struct gcs_call *state = object_call_state(call);
    if (state->token == NULL || !object_call_once(call, REPAIR_TOKEN))
        return OBJECT_FINAL;
    const struct google_credentials_ask ask = gcs_credentials_ask(session);
    google_credentials_expired(session->base.access->google, &ask, state->token);
    state->asked_anew = true;
    return OBJECT_AGAIN;
}

static enum object_verdict judge(struct object_call *call, struct object_answer *answer, struct error *err)
{
    const struct object_ask *ask = object_call_ask(call);
    struct gcs_call *state = object_call_state(call);
    const struct http_response *response = answer->response;
    const char *wants = NULL;
    state->document = (struct gcs_document){0};
    if (is_success(ask, answer->status)) {
        wants = answer->status < 300 ? missing(ask, response) : NULL;
        if (wants == NULL)
            return OBJECT_SUCCESS;
        not_the_store(err, answer->status, wants);
        return OBJECT_TRANSIENT;
    }
    gcs_document_read(response->body, response->body_size, &state->document);
    hide(ask, state);
    answer->code = state->document.code;
    answer->message = state->document.message;
    if (is_strange(state, response)) {
        not_the_store(err, answer->status, "no word of Google's");
        return OBJECT_TRANSIENT;
    }
    gcs_error_classify(answer->status, answer->code, answer->message, err);
    switch (gcs_error_class(answer->status, answer->code, answer->message)) {
    case OBJECT_ERROR_TRANSIENT:
        return OBJECT_TRANSIENT;
    case OBJECT_ERROR_KEYS:
    case OBJECT_ERROR_TOKEN:
        return repair_token(call);
    case OBJECT_ERROR_FINAL:
    case OBJECT_ERROR_CLOCK:
    case OBJECT_ERROR_REGION:
        break;
    }
    return OBJECT_FINAL;
}

/* What several operations ask */

void gcs_ask_resource(const char *key, struct object_draft *draft)
{
    object_draft_init(draft, "objects.get", "GET", key);
    object_draft_query(draft, "fields", GCS_RESOURCE_FIELDS);
    draft->ask.customer_key = true; /* or no checksum is told */
    draft->ask.flags = GCS_WANT_OBJECT;
}

void gcs_ask_bucket(struct object_draft *draft)
{
    object_draft_init(draft, "buckets.get", "GET", NULL);
    object_draft_query(draft, "fields", "name");
    draft->ask.flags = GCS_ASK_BUCKET;
}

bool gcs_says_no_bucket(const struct object_answer *answer)
{
    return strcmp(answer->code, "NoSuchBucket") == 0 ||
           strcasestr(answer->message, "bucket does not exist") != NULL;
}

const struct object_protocol gcs_protocol = {
    .driver = &storage_gcs,
    .container_word = "bucket",
    .check_key = gcs_config_check_key,
    .session_size = sizeof(struct gcs_session),
    .session_init = session_init,
    .take_secret = take_secret,
    .session_deinit = session_deinit,
    .call_size = sizeof(struct gcs_call),
    .begin = begin,
    .forget = forget,
    .judge = judge,
    .call_deinit = call_deinit,
};
