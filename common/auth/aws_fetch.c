/*
 * A plan is made (environment and files), then carried out:
 *
 *   START -> keys of environment or profile ----------------------+
 *         -> CONTAINER -------------------------------------------+
 *         -> METADATA_TOKEN -> METADATA_ROLE -> METADATA_KEYS ----+-> ROLE (again for each role) -> ENDING
 *         -> WEB_IDENTITY ----------------------------------------+
 *
 * METADATA_TOKEN fails softly: without an answer in time (a container one hop too far away), or where the
 * service knows no tokens, the next questions are version 1. No answer there, or no role: the instance has
 * none, and the error lists where was looked.
 */
#include "auth/aws_fetch.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/aws_answer.h"
#include "auth/aws_container.h"
#include "auth/aws_environment.h"
#include "auth/aws_keys.h"
#include "auth/aws_metadata.h"
#include "auth/aws_plan.h"
#include "auth/aws_signer.h"
#include "auth/aws_sts.h"

const struct aws_timing aws_timing_default = {
    .metadata_timeout_ms = 1000,
    .container_timeout_ms = 2000,
    .service_timeout_ms = 20000,
    .retry_delay_ms = 1000,
};

enum { SOURCE_SIZE = 160 };

enum fetch_state {
    FETCH_START,
    FETCH_CONTAINER,
    FETCH_METADATA_TOKEN,
    FETCH_METADATA_ROLE,
    FETCH_METADATA_KEYS,
    FETCH_WEB_IDENTITY,
    FETCH_ROLE,
    FETCH_ENDING,
};

struct aws_fetch {
    char *profile, *region;
    enum aws_chain chain;
    struct http_client *http;
    const struct aws_timing *timing;
    aws_fetch_done_fn done;
    void *data;

    enum fetch_state state;
    uv_timer_t start; /* so that nothing happens before return */
    struct service_call *call;
    struct aws_plan plan;
    int next_role;
    char *metadata_token, *metadata_role;
    bool token_timed_out;
    char source[SOURCE_SIZE];
    struct aws_answer answer; /* of the last step that gave credentials */
    struct aws_signer signer;
    bool cancelled;
    int rc;
    struct error err;
};

/* ---- questions and answers of each state ---- */

static int prepare(void *data, struct service_request *request, struct error *err)
{
    struct aws_fetch *f = data;
    const struct aws_plan *plan = &f->plan;
    switch (f->state) {
    case FETCH_CONTAINER:
        return aws_container_prepare(request, err);
    case FETCH_METADATA_TOKEN:
        return aws_metadata_prepare_token(request, err);
    case FETCH_METADATA_ROLE:
        return aws_metadata_prepare_role(request, f->metadata_token, err);
    case FETCH_METADATA_KEYS:
        return aws_metadata_prepare_keys(request, f->metadata_token, f->metadata_role, err);
    case FETCH_WEB_IDENTITY:
        return aws_sts_prepare_web_identity(request, &plan->web_identity, plan->token_file, plan->region,
                                            err);
    case FETCH_ROLE:
        return aws_sts_prepare_role(request, &plan->roles[f->next_role], plan->region, err);
    case FETCH_START:
    case FETCH_ENDING:
        break;
    }
    return error_set(err, ERROR_SYSTEM, false, "a state without a question");
}

/* Credentials that the step before gave are replaced by the new ones only when these are whole. */
static int take(struct aws_fetch *f, const struct http_response *response, struct error *err)
{
    struct aws_answer answer = {.source = f->source};
    int rc;
    if (f->state == FETCH_CONTAINER)
        rc = aws_container_answer(&answer, response, err);
    else if (f->state == FETCH_METADATA_KEYS)
        rc = aws_metadata_answer_keys(&answer, response, err);
    else
        rc = aws_answer_read_sts(&answer, response->status, response->body, response->body_size, err);
    if (rc)
        return rc;
    aws_answer_deinit(&f->answer);
    f->answer = answer;
    return 0;
}

static int answer(void *data, const struct http_response *response, struct error *err)
{
    struct aws_fetch *f = data;
    if (f->state == FETCH_METADATA_TOKEN)
        return aws_metadata_answer_token(response, &f->metadata_token, err);
    if (f->state == FETCH_METADATA_ROLE)
        return aws_metadata_answer_role(response, &f->metadata_role, err);
    return take(f, response, err);
}

static int sign(void *data, struct service_request *request, struct error *err)
{
    const struct aws_fetch *f = data;
    return aws_signer_sign(&f->signer, request, err);
}

/* ---- the machine ---- */

static void on_called(void *data, const struct error *err);

static void fetch_free(struct aws_fetch *f)
{
    aws_answer_deinit(&f->answer);
    aws_signer_deinit(&f->signer);
    aws_plan_deinit(&f->plan);
    if (f->metadata_token)
        explicit_bzero(f->metadata_token, strlen(f->metadata_token));
    free(f->metadata_token);
    free(f->metadata_role);
    free(f->profile);
    free(f->region);
    free(f);
}

static void on_closed(uv_handle_t *handle)
{
    struct aws_fetch *f = handle->data;
    bool from_metadata = f->plan.base == AWS_BASE_METADATA && f->plan.n_roles == 0;
    if (f->cancelled)
        f->rc = error_set(&f->err, ERROR_CANCELLED, true, "AWS credentials: cancelled");
    if (f->rc == 0)
        f->done(f->data, &f->answer.credentials, from_metadata, NULL);
    else
        f->done(f->data, NULL, from_metadata, &f->err);
    fetch_free(f);
}

static void end(struct aws_fetch *f, int rc)
{
    assert(f->state != FETCH_ENDING);
    f->state = FETCH_ENDING;
    f->rc = rc;
    uv_close((uv_handle_t *)&f->start, on_closed);
}

static struct service_call_ask question(struct aws_fetch *f)
{
    struct service_call_ask ask = {.http = f->http,
                                   .what = f->source,
                                   .tries = 3,
                                   .delay_ms = f->timing->retry_delay_ms,
                                   .proxy = HTTP_PROXY_NEVER,
                                   .prepare = prepare,
                                   .answer = answer,
                                   .done = on_called,
                                   .data = f};
    if (f->state == FETCH_CONTAINER)
        ask.total_timeout_ms = f->timing->container_timeout_ms;
    else if (f->state == FETCH_WEB_IDENTITY || f->state == FETCH_ROLE) {
        ask.proxy = HTTP_PROXY_ENVIRONMENT;
        ask.ca_file = aws_environment(AWS_CA_BUNDLE);
        ask.total_timeout_ms = f->timing->service_timeout_ms;
    } else {
        ask.tries = 1;
        ask.total_timeout_ms = f->timing->metadata_timeout_ms;
    }
    if (f->state == FETCH_ROLE)
        ask.sign = sign;
    ask.connect_timeout_ms = ask.total_timeout_ms;
    return ask;
}

static void go(struct aws_fetch *f, enum fetch_state state)
{
    f->state = state;
    struct service_call_ask ask = question(f);
    int rc = service_call_start(f->start.loop, &ask, &f->call, &f->err);
    if (rc)
        end(f, rc);
}

static void name_source(struct aws_fetch *f, const struct aws_role *role, const char *otherwise)
{
    if (role && role->profile)
        snprintf(f->source, sizeof f->source, "profile %.100s, role by STS", role->profile);
    else
        snprintf(f->source, sizeof f->source, "%s", otherwise);
}

/* Credentials are there: the next role with them, or the end. */
static void go_on(struct aws_fetch *f)
{
    if (f->next_role == f->plan.n_roles) {
        end(f, 0);
        return;
    }
    name_source(f, &f->plan.roles[f->next_role], "role by STS");
    f->signer.region = aws_sts_signing_region(f->plan.region);
    f->signer.service = "sts";
    int rc = aws_signer_use(&f->signer, f->source, &f->answer.credentials, &f->err);
    if (rc)
        end(f, rc);
    else
        go(f, FETCH_ROLE);
}

static void go_to_base(struct aws_fetch *f)
{
    struct aws_plan *plan = &f->plan;
    switch (plan->base) {
    case AWS_BASE_KEYS:
        f->answer = (struct aws_answer){plan->keys.source, plan->keys, plan->keys_memory};
        plan->keys_memory = NULL;
        go_on(f);
        return;
    case AWS_BASE_WEB_IDENTITY:
        name_source(f, &plan->web_identity, "web identity by STS");
        go(f, FETCH_WEB_IDENTITY);
        return;
    case AWS_BASE_CONTAINER:
        name_source(f, NULL, "container credentials");
        go(f, FETCH_CONTAINER);
        return;
    case AWS_BASE_METADATA:
        name_source(f, NULL, "instance metadata");
        go(f, FETCH_METADATA_TOKEN);
        return;
    }
}

static void on_start(uv_timer_t *timer)
{
    struct aws_fetch *f = timer->data;
    if (f->cancelled) {
        end(f, ERROR_CANCELLED);
        return;
    }
    int rc = aws_plan_make(&f->plan, f->profile, f->chain, f->region, &f->err);
    if (rc)
        end(f, rc);
    else
        go_to_base(f);
}

/* ---- what a call brought ---- */

static void end_without_role(struct aws_fetch *f, const char *why)
{
    const char *looked = strbuf_cstr(&f->plan.looked);
    end(f,
        error_set(
            &f->err, ERROR_DENIED, false,
            "no AWS credentials: looked at %s%sinstance metadata (%s); set credentials_ref, or one of these",
            looked, looked[0] ? ", " : "", why));
}

static void on_no_token(struct aws_fetch *f, const struct error *err)
{
    f->token_timed_out = err->code == ERROR_TIMEOUT;
    if (!f->token_timed_out && err->code != ERROR_UNSUPPORTED) {
        if (err->code == ERROR_UNREACHABLE &&
            err->native[0] == '\0') /* neither an answer nor a question sent */
            end_without_role(f, "not reachable");
        else
            end(f, f->err.code);
    } else if (aws_environment_is_true(AWS_EC2_METADATA_V1_DISABLED))
        end_without_role(f, f->token_timed_out ? "no session token in time, and AWS_EC2_METADATA_V1_DISABLED"
                                               : "no session tokens, and AWS_EC2_METADATA_V1_DISABLED");
    else
        go(f, FETCH_METADATA_ROLE);
}

static void on_no_role(struct aws_fetch *f, const struct error *err)
{
    if (err->code == ERROR_NOT_FOUND)
        end_without_role(f, "the instance has no role");
    else if (err->code == ERROR_TIMEOUT)
        end_without_role(f, "no answer");
    else if (err->code == ERROR_DENIED && f->token_timed_out)
        end_without_role(f,
                         "it wants a session token, and gave none in time: in a container set the instance's "
                         "metadata hop limit to 2");
    else
        end(f, f->err.code);
}

static void on_failed(struct aws_fetch *f, const struct error *err)
{
    f->err = *err;
    if (f->state == FETCH_METADATA_TOKEN)
        on_no_token(f, err);
    else if (f->state == FETCH_METADATA_ROLE)
        on_no_role(f, err);
    else
        end(f, err->code);
}

static void on_called(void *data, const struct error *err)
{
    struct aws_fetch *f = data;
    f->call = NULL;
    if (f->cancelled)
        end(f, ERROR_CANCELLED);
    else if (err)
        on_failed(f, err);
    else if (f->state == FETCH_METADATA_TOKEN)
        go(f, FETCH_METADATA_ROLE);
    else if (f->state == FETCH_METADATA_ROLE)
        go(f, FETCH_METADATA_KEYS);
    else {
        if (f->state == FETCH_ROLE)
            f->next_role++;
        go_on(f);
    }
}

/* ---- from outside ---- */

static int copy_text(char **ret, const char *text)
{
    if (text && text[0] != '\0')
        *ret = strdup(text);
    return text == NULL || text[0] == '\0' || *ret ? 0 : -1;
}

int aws_fetch_start(uv_loop_t *loop, const struct aws_fetch_ask *ask, aws_fetch_done_fn done, void *data,
                    struct aws_fetch **ret, struct error *err)
{
    struct aws_fetch *f = calloc(1, sizeof *f);
    if (f == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    f->chain = ask->chain;
    f->http = ask->http;
    f->timing = ask->timing;
    f->done = done;
    f->data = data;
    if (copy_text(&f->profile, ask->profile) || copy_text(&f->region, ask->region)) {
        fetch_free(f);
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    uv_timer_init(loop, &f->start);
    f->start.data = f;
    uv_timer_start(&f->start, on_start, 0, 0);
    *ret = f;
    return 0;
}

void aws_fetch_cancel(struct aws_fetch *fetch)
{
    fetch->cancelled = true;
    if (fetch->call)
        service_call_cancel(fetch->call);
}
