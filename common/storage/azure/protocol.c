/* One request to Azure: who asks, what the answer means, what can be repaired. */
#include <stdio.h>
#include <string.h>

#include "auth/azure_credentials.h"
#include "base/clock.h"
#include "storage/azure/document.h"
#include "storage/azure/errors.h"
#include "storage/azure/request.h"
#include "storage/azure/session.h"
#include "storage/object/key.h"

#define RETRY_AFTER_MAX_MS (INT64_C(24) * 3600 * 1000)

enum repair { REPAIR_SECRET = 1 << 0 };

/* Of a call, kept from try to try. */
struct state {
    bool by_key;                        /* the clock counts: x-ms-date is signed */
    bool asked_anew;                    /* for a secret in place of the one that was refused */
    char id[AZURE_CREDENTIALS_ID_SIZE]; /* of the one last used */
    struct azure_credentials_wait *wait;
    struct azure_document document; /* of the last answer */
    char code[sizeof((struct azure_document *)0)->code];
};

static struct azure_session *session_of(const struct object_call *call)
{
    return azure_session_of(object_call_session(call));
}

/* Credentials */

static struct azure_credentials_ask credentials_ask(const struct azure_session *session)
{
    const struct azure_config *config = &session->config;
    return (struct azure_credentials_ask){
        .credentials_ref = session->base.credentials_ref,
        .account = config->account,
        .client_id = config->client_id,
        .tenant_id = config->tenant_id,
        .endpoint = config->base_url,
    };
}

/* They stand, sealed, in the configuration. */
static const char *literal_of(const struct azure_session *session)
{
    const struct azure_config *config = &session->config;
    if (session->base.credentials_ref)
        return NULL;
    return config->account_key ? config->account_key
           : config->sas_token ? config->sas_token
                               : config->connection_string;
}

static int send_request(struct object_call *call, const struct azure_credentials *credentials,
                        struct error *err)
{
    struct azure_session *session = session_of(call);
    struct state *state = object_call_state(call);
    struct object_request request;
    memcpy(state->id, credentials->id, sizeof state->id);
    state->by_key = credentials->kind == AZURE_SHARED_KEY;
    int rc = azure_config_place(&session->config, credentials->account, credentials->endpoint, err);
    if (rc == 0)
        rc = azure_request_build(session, object_call_ask(call), credentials,
                                 object_session_now_ms(&session->base), &request, err);
    return rc < 0 ? rc : object_call_send(call, &request, err);
}

static void on_credentials(void *data, const struct azure_credentials *credentials, const struct error *err)
{
    struct object_call *call = data;
    struct state *state = object_call_state(call);
    struct error own = {0};
    bool anew = state->asked_anew;
    state->wait = NULL;
    state->asked_anew = false;
    if (credentials && anew && strcmp(credentials->id, state->id) == 0) {
        object_call_give_up(call); /* this very secret was refused */
        return;
    }
    if (err)
        own = *err;
    else
        send_request(call, credentials, &own);
    if (own.code)
        object_call_fail(call, &own);
}

static int begin(struct object_call *call, struct error *err)
{
    const struct azure_session *session = session_of(call);
    const struct azure_credentials_ask ask = credentials_ask(session);
    const char *literal = literal_of(session);
    struct state *state = object_call_state(call);
    struct azure_credentials *credentials;
    if (literal == NULL)
        return azure_credentials_get(session->base.access->azure, &ask, on_credentials, call, &state->wait,
                                     err);
    int rc = azure_credentials_parse(literal, "storage_config", &ask, clock_wall_ms(), &credentials, err);
    if (rc < 0)
        return rc;
    rc = send_request(call, credentials, err);
    azure_credentials_free(credentials);
    return rc;
}

static void forget(struct object_call *call)
{
    struct state *state = object_call_state(call);
    azure_credentials_forget(state->wait);
    state->wait = NULL;
}

/* Repairs */

/* Secrets are kept for a while, and rotated meanwhile: the request is sent again only if there is another
 * one now. */
static bool repair_secret(struct object_call *call)
{
    const struct azure_session *session = session_of(call);
    struct state *state = object_call_state(call);
    if (literal_of(session) || !object_call_once(call, REPAIR_SECRET))
        return false;
    const struct azure_credentials_ask ask = credentials_ask(session);
    azure_credentials_expired(session->base.access->azure, &ask, state->id);
    state->asked_anew = true;
    return true;
}

/* AuthenticationFailed doesn't say why: a clock that is far from the server's is looked at first. */
static bool repair_refused(struct object_call *call, const struct http_response *response)
{
    const struct state *state = object_call_state(call);
    if (state->by_key && object_call_is_skewed(call, response) && object_call_repair_clock(call, response))
        return true;
    return repair_secret(call);
}

static enum object_verdict verdict_of(struct object_call *call, enum object_error_class class,
                                      const struct http_response *response)
{
    switch (class) {
    case OBJECT_ERROR_TRANSIENT:
        return OBJECT_TRANSIENT;
    case OBJECT_ERROR_KEYS:
        return repair_refused(call, response) ? OBJECT_AGAIN : OBJECT_FINAL;
    case OBJECT_ERROR_TOKEN:
        return repair_secret(call) ? OBJECT_AGAIN : OBJECT_FINAL;
    case OBJECT_ERROR_CLOCK:
    case OBJECT_ERROR_REGION:
    case OBJECT_ERROR_FINAL:
        return OBJECT_FINAL;
    }
    return OBJECT_FINAL;
}

/* Judging */

/* What is missing from a success, or NULL. */
static const char *missing_from(const struct object_call *call, const struct http_response *response)
{
    const struct object_ask *ask = object_call_ask(call);
    const struct state *state = object_call_state(call);
    if (response->header(response, "x-ms-request-id") == NULL &&
        response->header(response, "x-ms-version") == NULL)
        return "x-ms-request-id";
    if ((ask->flags & AZURE_ASK_ABOUT_BLOB) && response->header(response, "ETag") == NULL)
        return "ETag";
    if (ask->expect_root && strcmp(state->document.root, ask->expect_root) != 0)
        return ask->expect_root;
    return NULL;
}

/* The service puts its id on each answer, and a code on each error. */
static bool is_strange(const struct object_call *call, const struct http_response *response)
{
    const struct state *state = object_call_state(call);
    return *state->code == '\0' && response->header(response, "x-ms-request-id") == NULL &&
           (response->status == 404 || response->status == 409 || response->status == 412);
}

static void set_native(struct error *err, int status)
{
    snprintf(err->native, sizeof err->native, "%d", status);
}

static int64_t retry_after_ms(const struct http_response *response)
{
    const char *text = response->header(response, "x-ms-retry-after-ms");
    long long ms = 0;
    if (text == NULL || sscanf(text, "%lld", &ms) != 1 || ms < 0)
        return 0;
    return ms < RETRY_AFTER_MAX_MS ? ms : RETRY_AFTER_MAX_MS;
}

static void read_answer(struct object_call *call, struct object_answer *answer)
{
    const struct http_response *response = answer->response;
    struct state *state = object_call_state(call);
    bool success = response->status >= 200 && response->status < 300;
    const char *code = response->header(response, "x-ms-error-code");
    const char *id = response->header(response, "x-ms-request-id");
    state->document = (struct azure_document){0};
    if (!success || object_call_ask(call)->expect_root)
        azure_document_read(response->body, response->body_size, &state->document);
    snprintf(state->code, sizeof state->code, "%s", code ? code : state->document.code);
    answer->code = state->code;
    answer->message = state->document.message;
    answer->request_id = id ? id : "";
}

static enum object_verdict judge(struct object_call *call, struct object_answer *answer, struct error *err)
{
    const struct http_response *response = answer->response;
    const struct state *state = object_call_state(call);
    int status = response->status;
    read_answer(call, answer);
    azure_session_learn(session_of(call), response);
    if (status >= 200 && status < 300) {
        const char *missing = missing_from(call, response);
        if (missing == NULL)
            return OBJECT_SUCCESS;
        error_set(err, ERROR_PROTOCOL, true,
                  "%d, but no %s came with it, as if a proxy answered in the store's place", status, missing);
        set_native(err, status);
        return OBJECT_TRANSIENT;
    }
    if (is_strange(call, response)) {
        error_set(err, ERROR_PROTOCOL, true, "%d without a code, as if a proxy answered in the store's place",
                  status);
        set_native(err, status);
        return OBJECT_TRANSIENT;
    }
    struct object_error_row row = object_error_find(&azure_errors, status, state->code);
    if (row.class == OBJECT_ERROR_TOKEN && state->by_key)
        row.class = OBJECT_ERROR_KEYS; /* a key doesn't end: nothing to wait for */
    object_error_fill(&row, status, state->code, state->document.message, err);
    err->retry_after_ms = retry_after_ms(response);
    return verdict_of(call, row.class, response);
}

const struct object_protocol azure_protocol = {
    .driver = &storage_azure,
    .container_word = "container",
    .check_key = object_key_check, /* prefixes too; what is written is held to azure_config_check_key */
    .session_size = sizeof(struct azure_session),
    .session_init = azure_session_init,
    .take_secret = azure_session_take_secret,
    .session_deinit = azure_session_deinit,
    .call_size = sizeof(struct state),
    .begin = begin,
    .forget = forget,
    .judge = judge,
};
