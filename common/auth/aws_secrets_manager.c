/*
 *   START -> CREDENTIALS -> ASKING -> ENDING -> (done, freed)
 *                ^             |
 *                +-- expired --+   once
 */
#include "auth/aws_secrets_manager.h"

#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/aws_answer.h"
#include "auth/aws_credentials_internal.h"
#include "auth/aws_endpoint.h"
#include "auth/aws_environment.h"
#include "auth/aws_plan.h"
#include "auth/aws_signer.h"
#include "auth/base64.h"
#include "auth/secret.h"

enum {
    ID_MAX = 2048,
    TEXT_MAX = 64 * 1024,
    TIMEOUT_MS = 20000,
    TRIES = 3,
    DELAY_MS = 500,
    ACCESS_KEY_SIZE = 256
};

enum manager_state { MANAGER_START, MANAGER_CREDENTIALS, MANAGER_ASKING, MANAGER_ENDING };

struct aws_secrets_manager_fetch {
    struct http_client *http;
    struct aws_credentials_cache *aws;
    char *id, *region;
    void (*done)(void *data, const char *text, const struct error *err);
    void *data;

    enum manager_state state;
    uv_timer_t start; /* so that nothing happens before return */
    struct aws_credentials_wait *wait;
    struct service_call *call;
    struct aws_signer signer;
    char access_key_id[ACCESS_KEY_SIZE]; /* in use, for complaints */
    bool complained, expired, cancelled;
    char what[160];
    char *text;
    int rc;
    struct error err;
};

/* ---- question and answer ---- */

static int prepare(void *data, struct service_request *request, struct error *err)
{
    struct aws_secrets_manager_fetch *f = data;
    json_t *question = json_pack("{s:s}", "SecretId", f->id);
    char *body = question ? json_dumps(question, JSON_COMPACT) : NULL;
    json_decref(question);
    if (body == NULL)
        return error_set(err, ERROR_INPUT, false, "%s: its name isn't UTF-8, or memory is out", f->what);
    strbuf_puts(&request->body, body);
    free(body);
    request->method = "POST";
    strbuf_puts(service_request_add_header(request, "Content-Type"), "application/x-amz-json-1.1");
    strbuf_puts(service_request_add_header(request, "X-Amz-Target"), "secretsmanager.GetSecretValue");
    return aws_endpoint_write(&request->url, AWS_ENDPOINT_URL_SECRETS_MANAGER, "secretsmanager", f->region,
                              err);
}

static int sign(void *data, struct service_request *request, struct error *err)
{
    const struct aws_secrets_manager_fetch *f = data;
    return aws_signer_sign(&f->signer, request, err);
}

static int keep_text(struct aws_secrets_manager_fetch *f, const char *text, size_t size, struct error *err)
{
    if (size > TEXT_MAX)
        return error_set(err, ERROR_LIMIT, false, "%s: longer than %d bytes", f->what, TEXT_MAX);
    if (memchr(text, '\0', size))
        return error_set(err, ERROR_INPUT, false, "%s: holds a zero byte, so it is not text", f->what);
    secret_free(f->text);
    f->text = strndup(text, size);
    return f->text ? 0 : error_set(err, ERROR_SYSTEM, true, "out of memory");
}

static int read_binary(struct aws_secrets_manager_fetch *f, const char *encoded, struct error *err)
{
    unsigned char *bytes;
    size_t size;
    if (base64_decode(encoded, BASE64_STANDARD, &bytes, &size))
        return error_set(err, ERROR_PROTOCOL, true, "%s: SecretBinary isn't base64", f->what);
    int rc = keep_text(f, (const char *)bytes, size, err);
    explicit_bzero(bytes, size);
    free(bytes);
    return rc;
}

static int read_value(struct aws_secrets_manager_fetch *f, const struct http_response *response,
                      struct error *err)
{
    json_t *object = json_loadb(response->body, response->body_size, 0, NULL);
    const char *text = json_string_value(json_object_get(object, "SecretString"));
    const char *binary = json_string_value(json_object_get(object, "SecretBinary"));
    int rc;
    if (text)
        rc = keep_text(f, text, strlen(text), err);
    else if (binary)
        rc = read_binary(f, binary, err);
    else
        rc = error_set(err, ERROR_PROTOCOL, true, "%s: the answer holds no secret", f->what);
    json_decref(object);
    return rc;
}

static bool says_expired(const char *code)
{
    return strcmp(code, "ExpiredTokenException") == 0 || strcmp(code, "ExpiredToken") == 0 ||
           strcmp(code, "UnrecognizedClientException") == 0 || strcmp(code, "InvalidClientTokenId") == 0;
}

static int refused(struct aws_secrets_manager_fetch *f, const struct http_response *response,
                   struct error *err)
{
    char code[64];
    aws_answer_error_type(response->body, response->body_size, code);
    bool passing = aws_answer_is_throttling(response->status, code);
    f->expired = says_expired(code);
    int rc = passing                                          ? ERROR_UNREACHABLE
             : strcmp(code, "ResourceNotFoundException") == 0 ? ERROR_NOT_FOUND
                                                              : ERROR_DENIED;
    error_set(err, rc, passing, "%s: HTTP %d %s", f->what, response->status,
              code[0] ? code : "without an error code");
    snprintf(err->native, sizeof err->native, "%.23s", code);
    return rc;
}

static int answer(void *data, const struct http_response *response, struct error *err)
{
    struct aws_secrets_manager_fetch *f = data;
    f->expired = false;
    return response->status == 200 ? read_value(f, response, err) : refused(f, response, err);
}

/* ---- the machine ---- */

static void fetch_free(struct aws_secrets_manager_fetch *f)
{
    secret_free(f->text);
    free(f->id);
    free(f->region);
    aws_signer_deinit(&f->signer);
    free(f);
}

static void on_closed(uv_handle_t *handle)
{
    struct aws_secrets_manager_fetch *f = handle->data;
    if (f->cancelled)
        f->rc = error_set(&f->err, ERROR_CANCELLED, true, "%s: cancelled", f->what);
    f->done(f->data, f->rc ? NULL : f->text, f->rc ? &f->err : NULL);
    fetch_free(f);
}

static void end(struct aws_secrets_manager_fetch *f, int rc)
{
    assert(f->state != MANAGER_ENDING);
    f->state = MANAGER_ENDING;
    f->rc = rc;
    uv_close((uv_handle_t *)&f->start, on_closed);
}

static struct aws_credentials_ask credentials_ask(const struct aws_secrets_manager_fetch *f)
{
    return (struct aws_credentials_ask){.chain = AWS_CHAIN_FULL, .region = f->region};
}

static void on_credentials(void *data, const struct aws_credentials *credentials, const struct error *err);

static void ask_for_credentials(struct aws_secrets_manager_fetch *f)
{
    struct aws_credentials_ask ask = credentials_ask(f);
    f->state = MANAGER_CREDENTIALS;
    int rc = aws_credentials_get(f->aws, &ask, on_credentials, f, &f->wait, &f->err);
    if (rc)
        end(f, rc);
}

static void on_called(void *data, const struct error *err)
{
    struct aws_secrets_manager_fetch *f = data;
    f->call = NULL;
    if (err == NULL || f->cancelled) {
        end(f, 0);
        return;
    }
    f->err = *err;
    if (f->expired && !f->complained) {
        struct aws_credentials_ask ask = credentials_ask(f);
        f->complained = true;
        aws_credentials_expired(f->aws, &ask, f->access_key_id);
        ask_for_credentials(f);
        return;
    }
    if (err->code == ERROR_NOT_FOUND || err->code == ERROR_DENIED)
        f->err.retryable = true; /* people repair secrets; the call itself needn't be repeated */
    end(f, err->code);
}

static void on_credentials(void *data, const struct aws_credentials *credentials, const struct error *err)
{
    struct aws_secrets_manager_fetch *f = data;
    f->wait = NULL;
    if (credentials == NULL) {
        f->err = *err;
        error_context(&f->err, "%s", f->what);
        end(f, err->code);
        return;
    }
    snprintf(f->access_key_id, sizeof f->access_key_id, "%s", credentials->access_key_id);
    const struct aws_timing *timing = aws_credentials_cache_timing(f->aws);
    struct service_call_ask ask = {.http = f->http,
                                   .what = f->what,
                                   .tries = TRIES,
                                   .delay_ms = timing->retry_delay_ms,
                                   .total_timeout_ms = timing->service_timeout_ms,
                                   .ca_file = aws_environment(AWS_CA_BUNDLE),
                                   .prepare = prepare,
                                   .sign = sign,
                                   .answer = answer,
                                   .done = on_called,
                                   .data = f};
    f->state = MANAGER_ASKING;
    f->signer.region = f->region;
    f->signer.service = "secretsmanager";
    int rc = aws_signer_use(&f->signer, f->what, credentials, &f->err);
    if (rc == 0)
        rc = service_call_start(f->start.loop, &ask, &f->call, &f->err);
    if (rc)
        end(f, rc);
}

/* "arn:aws:secretsmanager:REGION:...", else the environment's. */
static int find_region(struct aws_secrets_manager_fetch *f, struct error *err)
{
    if (f->id[0] == '\0' || strlen(f->id) > ID_MAX)
        return error_set(err, ERROR_INPUT, false,
                         "AWS Secrets Manager: a secret's name or ARN has 1 to %d bytes", ID_MAX);
    if (strncmp(f->id, "arn:", strlen("arn:")) == 0) {
        const char *at = f->id;
        for (int colons = 0; colons < 3 && at; colons++)
            at = strchr(at, ':') ? strchr(at, ':') + 1 : NULL;
        size_t n = at ? strcspn(at, ":") : 0;
        if (n == 0)
            return error_set(err, ERROR_INPUT, false, "%s: an ARN without a region", f->what);
        f->region = strndup(at, n);
        return f->region ? 0 : error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    int rc = aws_plan_region(&f->region, err);
    if (rc == 0 && f->region == NULL)
        rc = error_set(err, ERROR_INPUT, false,
                       "%s: in which region? Set AWS_REGION, or write the secret's ARN", f->what);
    return rc;
}

static void on_start(uv_timer_t *timer)
{
    struct aws_secrets_manager_fetch *f = timer->data;
    int rc = 0;
    if (!f->cancelled)
        rc = find_region(f, &f->err);
    if (f->cancelled || rc)
        end(f, rc);
    else
        ask_for_credentials(f);
}

/* ---- from outside ---- */

int aws_secrets_manager_get(uv_loop_t *loop, struct http_client *http, struct aws_credentials_cache *aws,
                            const char *id,
                            void (*done)(void *data, const char *text, const struct error *err), void *data,
                            struct aws_secrets_manager_fetch **ret, struct error *err)
{
    struct aws_secrets_manager_fetch *f = calloc(1, sizeof *f);
    if (f == NULL || (f->id = strndup(id, ID_MAX + 1)) == NULL) {
        free(f);
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    f->http = http;
    f->aws = aws;
    f->done = done;
    f->data = data;
    snprintf(f->what, sizeof f->what, "AWS Secrets Manager, %.120s", id);
    uv_timer_init(loop, &f->start);
    f->start.data = f;
    uv_timer_start(&f->start, on_start, 0, 0);
    *ret = f;
    return 0;
}

void aws_secrets_manager_cancel(struct aws_secrets_manager_fetch *fetch)
{
    if (fetch->cancelled)
        return;
    fetch->cancelled = true;
    if (fetch->call)
        service_call_cancel(fetch->call);
    else if (fetch->wait) {
        aws_credentials_forget(fetch->wait);
        fetch->wait = NULL;
        end(fetch, ERROR_CANCELLED);
    }
}
