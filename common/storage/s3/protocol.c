#include "storage/s3/protocol.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/digest.h"
#include "storage/object/key.h"
#include "storage/object/learned.h"
#include "storage/s3/config_members.h"
#include "storage/s3/document.h"
#include "storage/s3/errors.h"
#include "storage/s3/request.h"
#include "storage/s3/s3.h"

/* What is repaired once per call. */
enum repair { REPAIR_REGION = 1 << 0, REPAIR_TOKEN = 1 << 1, REPAIR_KEYS = 1 << 2 };

/* Of a call, kept from try to try. */
struct state {
    bool has_token;
    bool locate;             /* the next request is a HEAD of the bucket, to learn its region */
    bool asked_anew;         /* for keys in place of those that were refused */
    char region[64];         /* that the request itself was last signed for */
    char access_key_id[160]; /* of the last signature; and by what its secret can be told from another */
    unsigned char secret_sha256[DIGEST_SHA256_BYTES];
    struct aws_credentials_wait *wait;
    struct s3_document document; /* of the last answer */
};

static struct s3_session *session_of(const struct object_call *call)
{
    return (struct s3_session *)object_call_session(call);
}

/* Sending */

static void sha256_of_secret(const struct aws_credentials *credentials, unsigned char *out)
{
    const char *secret = credentials->secret_access_key;
    if (EVP_Digest(secret, strlen(secret), out, NULL, EVP_sha256(), NULL) != 1)
        memset(out, 0, DIGEST_SHA256_BYTES);
}

static bool signed_with(const struct state *state, const struct aws_credentials *credentials)
{
    unsigned char sha256[DIGEST_SHA256_BYTES];
    sha256_of_secret(credentials, sha256);
    return strcmp(state->access_key_id, credentials->access_key_id) == 0 &&
           memcmp(state->secret_sha256, sha256, sizeof sha256) == 0;
}

static int send_request(struct object_call *call, const struct aws_credentials *credentials,
                        struct error *err)
{
    struct s3_session *session = session_of(call);
    struct state *state = object_call_state(call);
    struct s3_config *config = &session->config;
    const char *region = object_learned_word(config->endpoint, config->bucket);
    if (region && strcmp(region, config->region) != 0)
        s3_config_set_region(config, region);
    snprintf(state->access_key_id, sizeof state->access_key_id, "%s", credentials->access_key_id);
    sha256_of_secret(credentials, state->secret_sha256);
    state->has_token = credentials->session_token && *credentials->session_token;
    if (!state->locate)
        snprintf(state->region, sizeof state->region, "%s", config->region);

    const struct object_ask *ask = object_call_ask(call);
    const struct object_ask where = {.operation = ask->operation, .method = "HEAD", .body_fd = -1};
    struct object_request request;
    int rc = s3_request_build(session, state->locate ? &where : ask, credentials,
                              object_session_now_ms(&session->base) / 1000, &request, err);
    if (rc < 0)
        return rc;
    request.aside = state->locate;
    return object_call_send(call, &request, err);
}

/* Credentials */

static struct aws_credentials_ask credentials_ask(const struct s3_session *session)
{
    return (struct aws_credentials_ask){
        .credentials_ref = session->base.credentials_ref,
        .profile = session->config.profile,
        .chain = session->config.preset->chain,
        .region = session->config.region,
        .ca_file = session->config.ca_file,
    };
}

static void on_credentials(void *data, const struct aws_credentials *credentials, const struct error *err)
{
    struct object_call *call = data;
    struct state *state = object_call_state(call);
    struct error own = {0};
    bool anew = state->asked_anew;
    state->wait = NULL;
    state->asked_anew = false;
    if (credentials && anew && signed_with(state, credentials)) {
        object_call_give_up(call); /* these very keys were refused */
        return;
    }
    if (err)
        own = *err;
    else
        send_request(call, credentials, &own);
    if (own.code)
        object_call_fail(call, &own);
}

/* They stand in the configuration. */
static bool has_literal_keys(const struct s3_session *session)
{
    return session->config.access_key_id && session->base.credentials_ref == NULL;
}

/* Asks for credentials, with which the request is sent. */
static int begin(struct object_call *call, struct error *err)
{
    const struct s3_session *session = session_of(call);
    const struct s3_config *config = &session->config;
    struct state *state = object_call_state(call);
    if (has_literal_keys(session)) {
        const struct aws_credentials literal = {.access_key_id = config->access_key_id,
                                                .secret_access_key = config->secret_access_key,
                                                .session_token = config->session_token};
        return send_request(call, &literal, err);
    }
    const struct aws_credentials_ask ask = credentials_ask(session);
    return aws_credentials_get(session->base.access->aws, &ask, on_credentials, call, &state->wait, err);
}

static void forget(struct object_call *call)
{
    struct state *state = object_call_state(call);
    aws_credentials_forget(state->wait);
    state->wait = NULL;
}

/* Repairs */

static bool plausible_region(const char *region)
{
    return region && s3_region_is_valid(region);
}

/* Takes up what the answer says of the bucket's region, when that is news. */
static bool learn_region(struct object_call *call, const struct http_response *response)
{
    const struct s3_config *config = &session_of(call)->config;
    const struct state *state = object_call_state(call);
    const char *region = response->header(response, "x-amz-bucket-region");
    if (!plausible_region(region))
        region = state->document.region;
    if (plausible_region(region))
        object_learn_word(config->endpoint, config->bucket, region);
    /* or another call has learned it meanwhile */
    region = object_learned_word(config->endpoint, config->bucket);
    return region && *region && strcmp(region, state->region) != 0;
}

static bool repair_region(struct object_call *call, const struct http_response *response)
{
    struct state *state = object_call_state(call);
    if (!object_call_once(call, REPAIR_REGION))
        return false;
    state->locate = !learn_region(call, response);
    return true;
}

static bool judge_aside(struct object_call *call, const struct http_response *response)
{
    struct state *state = object_call_state(call);
    state->locate = false;
    return response && learn_region(call, response);
}

/* Has the credentials fetched anew, unless they stand in the configuration. */
static bool fetch_anew(struct object_call *call)
{
    const struct s3_session *session = session_of(call);
    const struct state *state = object_call_state(call);
    if (has_literal_keys(session))
        return false;
    const struct aws_credentials_ask ask = credentials_ask(session);
    aws_credentials_expired(session->base.access->aws, &ask, state->access_key_id);
    return true;
}

/* Keys are kept for a while, and rotated meanwhile: the request is sent again only if there are others now.
 */
static bool repair_keys(struct object_call *call)
{
    struct state *state = object_call_state(call);
    if (!object_call_once(call, REPAIR_KEYS))
        return false;
    state->asked_anew = fetch_anew(call);
    return state->asked_anew;
}

/* Judging */

/* Stores say what they don't find; a 404 without a code is a proxy's that finds no store behind it. */
static bool is_strange(const struct object_call *call, const struct http_response *response)
{
    const struct state *state = object_call_state(call);
    return response->status == 404 && *state->document.code == '\0' &&
           strcmp(object_call_ask(call)->method, "HEAD") != 0;
}

/* The answer to HEAD has no body: what 400 and 403 mean is seen from what stands around them. */
static enum object_error_class class_of(const struct object_call *call, const struct http_response *response)
{
    const struct state *state = object_call_state(call);
    enum object_error_class class = s3_error_class(response->status, state->document.code);
    if (strcmp(object_call_ask(call)->method, "HEAD") != 0 || *state->document.code ||
        class != OBJECT_ERROR_FINAL)
        return class;
    const char *region = response->header(response, "x-amz-bucket-region");
    if (response->status == 400 && plausible_region(region) && strcmp(region, state->region) != 0)
        return OBJECT_ERROR_REGION;
    if (response->status == 400 && state->has_token)
        return OBJECT_ERROR_TOKEN;
    if (response->status == 403 && object_call_is_skewed(call, response))
        return OBJECT_ERROR_CLOCK;
    return class;
}

/* 2xx come here when they don't hold what they must. */
static enum object_error_class explain(const struct object_call *call, const struct http_response *response,
                                       struct error *err)
{
    const struct state *state = object_call_state(call);
    const struct s3_document *document = &state->document;
    const char *root = object_call_ask(call)->expect_root;
    int status = response->status;
    if (status < 300 && document->code[0] == '\0') {
        if (root)
            error_set(err, ERROR_PROTOCOL, true, "%d, but no whole %s came with it", status, root);
        else
            error_set(err, ERROR_PROTOCOL, true,
                      "%d, but no ETag came with it, as if a proxy answered in the store's place", status);
        snprintf(err->native, sizeof err->native, "%d", status);
        return OBJECT_ERROR_TRANSIENT;
    }
    if (status < 300) {
        s3_error_classify(500, document->code, document->message, err);
        error_context(err, "status %d, then an error as", status);
        return s3_error_class(500, document->code);
    }
    if (is_strange(call, response)) {
        error_set(err, ERROR_PROTOCOL, true,
                  "404 without a code, as if a proxy answered in the store's place");
        snprintf(err->native, sizeof err->native, "404");
        return OBJECT_ERROR_TRANSIENT;
    }
    enum object_error_class class = class_of(call, response);
    s3_error_classify(status, document->code, document->message, err);
    err->retryable = err->retryable || class == OBJECT_ERROR_CLOCK || class == OBJECT_ERROR_TOKEN;
    return class;
}

static enum object_verdict verdict_of(struct object_call *call, enum object_error_class class,
                                      const struct http_response *response)
{
    bool repaired = false;
    switch (class) {
    case OBJECT_ERROR_TRANSIENT:
        return OBJECT_TRANSIENT;
    case OBJECT_ERROR_REGION:
        repaired = repair_region(call, response);
        break;
    case OBJECT_ERROR_CLOCK:
        repaired = object_call_repair_clock(call, response);
        break;
    case OBJECT_ERROR_TOKEN:
        repaired = object_call_once(call, REPAIR_TOKEN) && fetch_anew(call);
        break;
    case OBJECT_ERROR_KEYS:
        repaired = repair_keys(call);
        break;
    case OBJECT_ERROR_FINAL:
        break;
    }
    return repaired ? OBJECT_AGAIN : OBJECT_FINAL;
}

static enum object_verdict judge(struct object_call *call, struct object_answer *answer, struct error *err)
{
    const struct http_response *response = answer->response;
    const struct object_ask *ask = object_call_ask(call);
    struct state *state = object_call_state(call);
    struct s3_document *document = &state->document;
    const char *root = ask->expect_root;
    bool success = response->status >= 200 && response->status < 300;
    *document = (struct s3_document){0};
    if (!success || root)
        s3_document_read(response->body, response->body_size, document);
    object_hide_text(document->message, state->access_key_id);
    const char *request_id = response->header(response, "x-amz-request-id");
    answer->code = document->code;
    answer->message = document->message;
    answer->request_id = request_id ? request_id : document->request_id;
    bool whole = (root == NULL || strcmp(document->root, root) == 0) &&
                 (!(ask->flags & S3_EXPECT_ETAG) || response->header(response, "etag"));
    if (success && whole)
        return OBJECT_SUCCESS;
    return verdict_of(call, explain(call, response, err), response);
}

const struct object_protocol s3_protocol = {
    .driver = &storage_s3,
    .container_word = "bucket",
    .check_key = object_key_check,
    .session_size = sizeof(struct s3_session),
    .session_init = s3_session_init,
    .take_secret = s3_session_take_secret,
    .session_deinit = s3_session_deinit,
    .call_size = sizeof(struct state),
    .begin = begin,
    .forget = forget,
    .judge = judge,
    .judge_aside = judge_aside,
};
