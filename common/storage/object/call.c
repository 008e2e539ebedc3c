#include "storage/s3/call.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/random.h"
#include "storage/object/learned.h"
#include "storage/s3/ask.h"
#include "storage/s3/config_members.h"
#include "storage/s3/document.h"
#include "storage/s3/request.h"

#define TRIES 3
#define RESPONSE_MAX ((size_t)1 << 20)
#define EXPECT_ABOVE ((uint64_t)1 << 20)
#define SKEW_MS (INT64_C(5) * 60 * 1000) /* servers allow 15 minutes */

enum call_state {
    CALL_CREDENTIALS, /* asked for */
    CALL_SENT,        /* the request is under way */
    CALL_LOCATING,    /* a HEAD of the bucket is under way, to learn its region */
    CALL_WAITING,     /* before the next try */
    CALL_CANCELLED,   /* done is due */
    CALL_DONE,
};

struct s3_call {
    struct s3_session *session;
    struct s3_ask ask; /* its strings and arrays are copies */
    void *memory;
    enum call_state state;
    int tries;
    bool region_repaired, clock_repaired, token_repaired, keys_repaired, has_token;
    bool locate; /* the next request is the HEAD of the bucket */
    bool given;  /* on_body was called */
    bool cancelled;
    bool asked_anew;         /* for keys in place of those that were refused */
    char region[64];         /* that the request itself was last signed for */
    char access_key_id[160]; /* of the last signature; and by what its secret can be told from another */
    unsigned char secret_sha256[DIGEST_SHA256_BYTES];
    struct aws_credentials_wait *wait;
    struct http_request *request;
    uv_timer_t timer;
    struct s3_document document; /* of the last answer */
    struct error err;            /* the one that is to be repaired */
};

static int64_t backoff_base_ms = 500, backoff_cap_ms = 8000;

void s3_call_set_backoff(int64_t base_ms, int64_t cap_ms)
{
    backoff_base_ms = base_ms;
    backoff_cap_ms = cap_ms;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct s3_call *call = handle->data;
    free(call->memory);
    free(call);
}

static void finish(struct s3_call *call, const struct s3_answer *answer, const struct error *err)
{
    assert(call->state != CALL_DONE && call->request == NULL && call->wait == NULL);
    call->state = CALL_DONE;
    /* done may end all that we point to; our memory stays until the timer is closed */
    uv_close((uv_handle_t *)&call->timer, on_timer_closed);
    call->ask.done(call->ask.data, answer, err);
}

static void add_context(struct s3_call *call, struct error *err)
{
    error_context(err, "%s in bucket '%s'", call->ask.operation, call->session->config.bucket);
}

static void fail(struct s3_call *call, struct error *err)
{
    add_context(call, err);
    finish(call, NULL, err);
}

/* Sending */

static void on_response(void *data, const struct http_response *response, const struct error *err);

static int on_body(void *data, const void *bytes, size_t size, struct error *err)
{
    struct s3_call *call = data;
    call->given = true;
    return call->ask.on_body(call->ask.data, bytes, size, err);
}

static int send_signed(struct s3_call *call, const struct s3_ask *ask, const struct s3_request *request,
                       struct error *err)
{
    struct s3_session *session = call->session;
    bool head = call->locate;
    const struct http_ask http = {
        .method = ask->method,
        .url = request->url,
        .headers = request->lines,
        .n_headers = request->n_lines,
        .group = session->group,
        .body = ask->body,
        .body_fd = ask->body_size > 0 ? ask->body_fd : -1,
        .body_offset = ask->body_offset,
        .body_size = ask->body_size,
        .expect_continue = ask->body_size > EXPECT_ABOVE,
        .fresh_connection = ask->fresh_connection,
        .response_max = ask->response_max ? ask->response_max : RESPONSE_MAX,
        .on_body = ask->on_body ? on_body : NULL,
        .ca_file = session->config.ca_file,
        .bytes_sent = ask->bytes_sent,
        .done = on_response,
        .data = call,
    };
    call->state = head ? CALL_LOCATING : CALL_SENT;
    return http_start(session->access->http, &http, &call->request, err);
}

static void sha256_of_secret(const struct aws_credentials *credentials, unsigned char *out)
{
    const char *secret = credentials->secret_access_key;
    if (EVP_Digest(secret, strlen(secret), out, NULL, EVP_sha256(), NULL) != 1)
        memset(out, 0, DIGEST_SHA256_BYTES);
}

static bool signed_with(const struct s3_call *call, const struct aws_credentials *credentials)
{
    unsigned char sha256[DIGEST_SHA256_BYTES];
    sha256_of_secret(credentials, sha256);
    return strcmp(call->access_key_id, credentials->access_key_id) == 0 &&
           memcmp(call->secret_sha256, sha256, sizeof sha256) == 0;
}

static int send_request(struct s3_call *call, const struct aws_credentials *credentials, struct error *err)
{
    struct s3_session *session = call->session;
    const char *region = object_learned_word(session->config.endpoint, session->config.bucket);
    if (region && strcmp(region, session->config.region) != 0)
        s3_config_set_region(&session->config, region);
    snprintf(call->access_key_id, sizeof call->access_key_id, "%s", credentials->access_key_id);
    sha256_of_secret(credentials, call->secret_sha256);
    call->has_token = credentials->session_token && *credentials->session_token;
    if (!call->locate)
        snprintf(call->region, sizeof call->region, "%s", session->config.region);

    const struct s3_ask where = {.operation = call->ask.operation, .method = "HEAD", .body_fd = -1};
    const struct s3_ask *ask = call->locate ? &where : &call->ask;
    int64_t now_ms = clock_wall_ms() + object_learned_clock_ms(session->config.endpoint);
    struct s3_request request;
    int rc = s3_request_build(session, ask, credentials, now_ms / 1000, &request, err);
    if (rc < 0)
        return rc;
    rc = send_signed(call, ask, &request, err);
    s3_request_deinit(&request);
    return rc;
}

/* Credentials */

static struct aws_credentials_ask credentials_ask(const struct s3_call *call)
{
    const struct s3_session *session = call->session;
    return (struct aws_credentials_ask){
        .credentials_ref = session->credentials_ref,
        .profile = session->config.profile,
        .chain = session->config.preset->chain,
        .region = session->config.region,
        .ca_file = session->config.ca_file,
    };
}

static void on_credentials(void *data, const struct aws_credentials *credentials, const struct error *err)
{
    struct s3_call *call = data;
    struct error own = {0};
    bool anew = call->asked_anew;
    call->wait = NULL;
    call->asked_anew = false;
    if (credentials && anew && signed_with(call, credentials)) {
        finish(call, NULL, &call->err); /* these very keys were refused */
        return;
    }
    if (err)
        own = *err;
    else
        send_request(call, credentials, &own);
    if (own.code)
        fail(call, &own);
}

/* Asks for credentials, with which the request is sent. */
static int begin(struct s3_call *call, struct error *err)
{
    const struct s3_config *config = &call->session->config;
    if (config->access_key_id && call->session->credentials_ref == NULL) {
        const struct aws_credentials literal = {.access_key_id = config->access_key_id,
                                                .secret_access_key = config->secret_access_key,
                                                .session_token = config->session_token};
        return send_request(call, &literal, err);
    }
    const struct aws_credentials_ask ask = credentials_ask(call);
    call->state = CALL_CREDENTIALS;
    return aws_credentials_get(call->session->access->aws, &ask, on_credentials, call, &call->wait, err);
}

static void begin_again(struct s3_call *call)
{
    struct error err = {0};
    if (begin(call, &err) < 0)
        fail(call, &err);
}

static void end_cancelled(struct s3_call *call)
{
    struct error err;
    error_set(&err, ERROR_CANCELLED, true, "cancelled");
    fail(call, &err);
}

static void on_timer(uv_timer_t *timer)
{
    struct s3_call *call = timer->data;
    if (call->state == CALL_CANCELLED) {
        end_cancelled(call);
        return;
    }
    assert(call->state == CALL_WAITING);
    begin_again(call);
}

/* Judging. An answer that isn't success ends the call, or one of these takes it up again and says true. */

static bool try_again(struct s3_call *call, const struct error *err)
{
    if (call->ask.once || call->given || call->tries >= TRIES || err->retry_after_ms > S3_CALL_MAX_WAIT_MS)
        return false;
    int64_t wait_ms = backoff_ms(call->tries++, backoff_base_ms, backoff_cap_ms, random_u64());
    if (wait_ms < err->retry_after_ms)
        wait_ms = err->retry_after_ms;
    call->state = CALL_WAITING;
    uv_timer_start(&call->timer, on_timer, (uint64_t)wait_ms, 0);
    return true;
}

static bool plausible_region(const char *region)
{
    return region && s3_region_is_valid(region);
}

/* Takes up what the answer says of the bucket's region, when that is news. */
static bool learn_region(struct s3_call *call, const struct http_response *response)
{
    const struct s3_config *config = &call->session->config;
    const char *region = response->header(response, "x-amz-bucket-region");
    if (!plausible_region(region))
        region = call->document.region;
    if (plausible_region(region))
        object_learn_word(config->endpoint, config->bucket, region);
    /* or another call has learned it meanwhile */
    region = object_learned_word(config->endpoint, config->bucket);
    return region && *region && strcmp(region, call->region) != 0;
}

static bool repair_region(struct s3_call *call, const struct http_response *response, const struct error *err)
{
    if (call->region_repaired)
        return false;
    call->region_repaired = true;
    if (!learn_region(call, response)) {
        call->locate = true;
        call->err = *err;
    }
    begin_again(call);
    return true;
}

static bool repair_clock(struct s3_call *call, const struct http_response *response)
{
    const char *date = response->header(response, "date");
    int64_t server_ms = date ? object_http_date_ms(date) : -1;
    if (call->clock_repaired || server_ms < 0)
        return false;
    call->clock_repaired = true;
    object_learn_clock_ms(call->session->config.endpoint, server_ms - clock_wall_ms());
    begin_again(call);
    return true;
}

/* Has the credentials fetched anew, unless they stand in the configuration. */
static bool fetch_anew(struct s3_call *call)
{
    const struct s3_session *session = call->session;
    if (session->config.access_key_id && session->credentials_ref == NULL)
        return false;
    const struct aws_credentials_ask ask = credentials_ask(call);
    aws_credentials_expired(session->access->aws, &ask, call->access_key_id);
    begin_again(call);
    return true;
}

static bool repair_token(struct s3_call *call)
{
    if (call->token_repaired)
        return false;
    call->token_repaired = true;
    return fetch_anew(call);
}

/* Keys are kept for a while, and rotated meanwhile: the request is sent again only if there are others now.
 */
static bool repair_keys(struct s3_call *call, const struct error *err)
{
    if (call->keys_repaired)
        return false;
    call->keys_repaired = call->asked_anew = true;
    call->err = *err;
    return fetch_anew(call);
}

static bool skewed(const struct s3_call *call, const struct http_response *response)
{
    const char *date = response->header(response, "date");
    int64_t server_ms = date ? object_http_date_ms(date) : -1;
    if (server_ms < 0)
        return false;
    int64_t off_ms = server_ms - clock_wall_ms() - object_learned_clock_ms(call->session->config.endpoint);
    return off_ms > SKEW_MS || off_ms < -SKEW_MS;
}

/* Stores say what they don't find; a 404 without a code is a proxy's that finds no store behind it. */
static bool is_strange(const struct s3_call *call, const struct http_response *response)
{
    return response->status == 404 && *call->document.code == '\0' && strcmp(call->ask.method, "HEAD") != 0;
}

/* The answer to HEAD has no body: what 400 and 403 mean is seen from what stands around them. */
static enum object_error_class class_of(const struct s3_call *call, const struct http_response *response)
{
    enum object_error_class class = s3_error_class(response->status, call->document.code);
    if (is_strange(call, response))
        return OBJECT_ERROR_TRANSIENT;
    if (strcmp(call->ask.method, "HEAD") != 0 || *call->document.code || class != OBJECT_ERROR_FINAL)
        return class;
    const char *region = response->header(response, "x-amz-bucket-region");
    if (response->status == 400 && plausible_region(region) && strcmp(region, call->region) != 0)
        return OBJECT_ERROR_REGION;
    if (response->status == 400 && call->has_token)
        return OBJECT_ERROR_TOKEN;
    if (response->status == 403 && skewed(call, response))
        return OBJECT_ERROR_CLOCK;
    return class;
}

static bool take_up_again(struct s3_call *call, enum object_error_class class,
                          const struct http_response *response, const struct error *err)
{
    switch (class) {
    case OBJECT_ERROR_TRANSIENT:
        return try_again(call, err);
    case OBJECT_ERROR_REGION:
        return repair_region(call, response, err);
    case OBJECT_ERROR_CLOCK:
        return repair_clock(call, response);
    case OBJECT_ERROR_TOKEN:
        return repair_token(call);
    case OBJECT_ERROR_KEYS:
        return repair_keys(call, err);
    case OBJECT_ERROR_FINAL:
        return false;
    }
    return false;
}

static void hide_key_id(const struct s3_call *call, char *message)
{
    size_t n = strlen(call->access_key_id);
    for (char *at = n ? strstr(message, call->access_key_id) : NULL; at; at = strstr(at, call->access_key_id))
        memset(at, '*', n);
}

/* The error of an answer that isn't success; 2xx come here when they don't hold what they must. */
static enum object_error_class explain(struct s3_call *call, const struct http_response *response,
                                       const char *request_id, struct error *err)
{
    struct s3_document *document = &call->document;
    enum object_error_class class;
    hide_key_id(call, document->message);
    if (response->status < 300 && document->code[0] == '\0') {
        class = OBJECT_ERROR_TRANSIENT;
        if (call->ask.expect_root)
            error_set(err, ERROR_PROTOCOL, true, "%d, but no whole %s came with it", response->status,
                      call->ask.expect_root);
        else
            error_set(err, ERROR_PROTOCOL, true,
                      "%d, but no ETag came with it, as if a proxy answered in the store's place",
                      response->status);
        snprintf(err->native, sizeof err->native, "%d", response->status);
    } else if (response->status < 300) {
        class = s3_error_class(500, document->code);
        s3_error_classify(500, document->code, document->message, err);
        error_context(err, "status %d, then an error as", response->status);
    } else {
        class = class_of(call, response);
        s3_error_classify(response->status, document->code, document->message, err);
        err->retryable = err->retryable || class == OBJECT_ERROR_CLOCK || class == OBJECT_ERROR_TOKEN;
    }
    if (is_strange(call, response)) {
        error_set(err, ERROR_PROTOCOL, true,
                  "404 without a code, as if a proxy answered in the store's place");
        snprintf(err->native, sizeof err->native, "404");
    }
    add_context(call, err);
    if (*request_id) {
        size_t n = strlen(err->message);
        snprintf(err->message + n, sizeof err->message - n, " (request %.64s)", request_id);
    }
    err->retry_after_ms = object_retry_after_ms(response->header(response, "retry-after"), clock_wall_ms());
    return class;
}

static void judge(struct s3_call *call, const struct http_response *response)
{
    struct s3_document *document = &call->document;
    const char *root = call->ask.expect_root;
    bool success = response->status >= 200 && response->status < 300;
    *document = (struct s3_document){0};
    if (!success || root)
        s3_document_read(response->body, response->body_size, document);
    const char *request_id = response->header(response, "x-amz-request-id");
    struct s3_answer answer = {
        .status = response->status,
        .code = document->code,
        .message = document->message,
        .request_id = request_id ? request_id : document->request_id,
        .response = response,
    };
    bool whole = (root == NULL || strcmp(document->root, root) == 0) &&
                 (!call->ask.expect_etag || response->header(response, "etag"));
    if (success && whole) {
        finish(call, &answer, NULL);
        return;
    }
    if (call->cancelled) {
        end_cancelled(call);
        return;
    }
    struct error err;
    enum object_error_class class = explain(call, response, answer.request_id, &err);
    if (!take_up_again(call, class, response, &err))
        finish(call, &answer, &err);
}

static bool worth_another_try(const struct error *err)
{
    return err->retryable &&
           (err->code == ERROR_UNREACHABLE || err->code == ERROR_TIMEOUT || err->code == ERROR_PROTOCOL);
}

static void on_response(void *data, const struct http_response *response, const struct error *err)
{
    struct s3_call *call = data;
    call->request = NULL;
    bool located = call->state == CALL_LOCATING;
    call->locate = false;
    if (response && !located) {
        judge(call, response);
    } else if (call->cancelled) {
        end_cancelled(call);
    } else if (located && response && learn_region(call, response)) {
        begin_again(call);
    } else if (located) {
        finish(call, NULL, &call->err);
    } else if (!worth_another_try(err) || !try_again(call, err)) {
        struct error own = *err;
        fail(call, &own);
    }
}

int s3_call_start(struct s3_session *session, const struct s3_ask *ask, struct s3_call **ret_call,
                  struct error *err)
{
    struct s3_call *call = calloc(1, sizeof *call);
    if (call == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    call->session = session;
    call->tries = 1;
    uv_timer_init(session->loop, &call->timer);
    call->timer.data = call;
    int rc = s3_ask_copy(ask, &call->ask, &call->memory, err);
    if (rc == 0)
        rc = begin(call, err);
    if (rc < 0) {
        uv_close((uv_handle_t *)&call->timer, on_timer_closed);
        return rc;
    }
    *ret_call = call;
    return 0;
}

void s3_call_cancel(struct s3_call *call)
{
    call->cancelled = true;
    switch (call->state) {
    case CALL_SENT:
    case CALL_LOCATING:
        http_cancel(call->request);
        break;
    case CALL_CREDENTIALS:
        aws_credentials_forget(call->wait);
        call->wait = NULL;
        call->state = CALL_CANCELLED;
        uv_timer_start(&call->timer, on_timer, 0, 0);
        break;
    case CALL_WAITING:
        call->state = CALL_CANCELLED;
        uv_timer_start(&call->timer, on_timer, 0, 0);
        break;
    case CALL_CANCELLED:
    case CALL_DONE:
        break;
    }
}
