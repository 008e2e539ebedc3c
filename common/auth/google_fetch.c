/*
 * The steps of each kind of source:
 *
 *   metadata server   METADATA ------------------------------+
 *   service account   ASSERTION -----------------------------+-> (IMPERSONATE) -> end
 *   user              REFRESH -------------------------------+
 *   federation        (SUBJECT, when it's a url) -> EXCHANGE +
 *
 * A subject token in a file is read by each try of EXCHANGE: it may be replaced meanwhile. Whoever
 * impersonates asks for a first token that is good for that alone.
 */
#include "auth/google_fetch.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/google_environment.h"
#include "auth/google_request.h"
#include "auth/secret.h"
#include "auth/secret_local.h"
#include "auth/service_call.h"

const struct google_timing google_timing_default = {
    .metadata_timeout_ms = 3000,
    .service_timeout_ms = 20000,
    .retry_delay_ms = 1000,
};

enum { TRIES = 3, WHAT_SIZE = 480 };

static const char impersonation_scope[] = "https://www.googleapis.com/auth/iam";

struct google_fetch {
    uv_loop_t *loop;
    struct http_client *http;
    const struct google_timing *timing;
    int64_t (*wall_ms)(void);
    google_fetch_done_fn done;
    void *data;

    struct google_source source;
    char *scope, *looked;
    enum google_step step;
    char what[WHAT_SIZE];
    struct service_call *call;
    char *subject;
    struct google_token token; /* of the last step that gave one */
    bool cancelled;
};

/* ---- questions and answers of each step ---- */

static const char *scope_of_first_token(const struct google_fetch *f)
{
    return f->source.impersonation.url ? impersonation_scope : f->scope;
}

static int read_subject_file(struct google_fetch *f, struct error *err)
{
    char *text;
    const char *path = f->source.federation.file;
    int rc = secret_read_file(path, path, &text, err);
    if (rc)
        return rc;
    const struct google_answer file = {
        .step = GOOGLE_STEP_SUBJECT, .what = path, .status = 200, .body = text, .size = strlen(text)};
    char *token;
    rc = google_answer_subject(&file, f->source.federation.field, &token, err);
    secret_free(text);
    if (rc == 0) {
        secret_free(f->subject);
        f->subject = token;
    }
    return rc;
}

static int prepare_exchange(struct google_fetch *f, struct service_request *request, struct error *err)
{
    int rc = f->source.federation.file ? read_subject_file(f, err) : 0;
    if (rc) {
        error_context(err, "%s", f->what);
        return rc;
    }
    return google_request_exchange(request, &f->source, scope_of_first_token(f), f->subject, err);
}

static int prepare(void *data, struct service_request *request, struct error *err)
{
    struct google_fetch *f = data;
    switch (f->step) {
    case GOOGLE_STEP_METADATA:
        return google_request_metadata(request, err);
    case GOOGLE_STEP_ASSERTION:
        return google_request_assertion(request, &f->source, scope_of_first_token(f), f->wall_ms() / 1000,
                                        err);
    case GOOGLE_STEP_REFRESH:
        return google_request_refresh(request, &f->source, err);
    case GOOGLE_STEP_SUBJECT:
        return google_request_subject(request, &f->source, err);
    case GOOGLE_STEP_EXCHANGE:
        return prepare_exchange(f, request, err);
    case GOOGLE_STEP_IMPERSONATE:
        return google_request_impersonation(request, &f->source, f->scope, f->token.value, err);
    }
    return error_set(err, ERROR_SYSTEM, false, "a step without a question");
}

static int answer(void *data, const struct http_response *response, struct error *err)
{
    struct google_fetch *f = data;
    const struct google_answer a = {.step = f->step,
                                    .what = f->what,
                                    .status = response->status,
                                    .body = response->body,
                                    .size = response->body_size,
                                    .flavor = response->header(response, "Metadata-Flavor"),
                                    .retry_after = response->header(response, "Retry-After"),
                                    .now_ms = f->wall_ms()};
    if (f->step == GOOGLE_STEP_SUBJECT)
        return google_answer_subject(&a, f->source.federation.field, &f->subject, err);
    struct google_token token;
    int rc = google_answer_token(&a, &token, err);
    if (rc == 0) {
        secret_free(f->token.value);
        f->token = token;
    }
    return rc;
}

/* ---- the walk ---- */

static void on_called(void *data, const struct error *err);

static void fetch_free(struct google_fetch *f)
{
    google_source_deinit(&f->source);
    secret_free(f->token.value);
    secret_free(f->subject);
    free(f->scope);
    free(f->looked);
    free(f);
}

static void end(struct google_fetch *f, const struct error *err)
{
    f->done(f->data, &f->source, err ? NULL : &f->token, err);
    fetch_free(f);
}

static const char *address_of(const struct google_fetch *f, enum google_step step)
{
    return step == GOOGLE_STEP_SUBJECT       ? f->source.federation.url
           : step == GOOGLE_STEP_IMPERSONATE ? f->source.impersonation.url
                                             : f->source.token_url;
}

/* http goes to this machine, or to a metadata service: there's no proxy to be used for that. */
static enum http_proxy proxy_for(const char *url)
{
    return url && strncmp(url, "https://", 8) == 0 ? HTTP_PROXY_ENVIRONMENT : HTTP_PROXY_NEVER;
}

static int go(struct google_fetch *f, enum google_step step, struct error *err)
{
    static const char *const suffixes[] = {[GOOGLE_STEP_METADATA] = "",
                                           [GOOGLE_STEP_ASSERTION] = "",
                                           [GOOGLE_STEP_REFRESH] = "",
                                           [GOOGLE_STEP_SUBJECT] = ": the identity provider's token",
                                           [GOOGLE_STEP_EXCHANGE] = ": exchange of the identity's token",
                                           [GOOGLE_STEP_IMPERSONATE] = ": impersonation"};
    bool metadata = step == GOOGLE_STEP_METADATA;
    f->step = step;
    snprintf(f->what, sizeof f->what, "%.400s%s", f->source.name, suffixes[step]);
    const int64_t timeout_ms = metadata ? f->timing->metadata_timeout_ms : f->timing->service_timeout_ms;
    const struct service_call_ask ask = {.http = f->http,
                                         .what = f->what,
                                         .tries = TRIES,
                                         .delay_ms = f->timing->retry_delay_ms,
                                         .connect_timeout_ms = timeout_ms,
                                         .total_timeout_ms = timeout_ms,
                                         .proxy =
                                             metadata ? HTTP_PROXY_NEVER : proxy_for(address_of(f, step)),
                                         .prepare = prepare,
                                         .answer = answer,
                                         .done = on_called,
                                         .data = f};
    return service_call_start(f->loop, &ask, &f->call, err);
}

static enum google_step first_step(const struct google_source *source)
{
    switch (source->kind) {
    case GOOGLE_SERVICE_ACCOUNT:
        return GOOGLE_STEP_ASSERTION;
    case GOOGLE_USER:
        return GOOGLE_STEP_REFRESH;
    case GOOGLE_FEDERATION:
        return source->federation.url ? GOOGLE_STEP_SUBJECT : GOOGLE_STEP_EXCHANGE;
    case GOOGLE_ACCESS_TOKEN: /* there's nothing to fetch */
    case GOOGLE_METADATA:
        break;
    }
    return GOOGLE_STEP_METADATA;
}

/* A machine that isn't Google's has no such server. One that says nothing in time, or that somebody named in
 * the environment, may say more later. */
static void end_without_metadata(struct google_fetch *f, const struct error *err)
{
    bool sought = google_environment(GOOGLE_GCE_METADATA_HOST) ||
                  google_environment(GOOGLE_GCE_METADATA_ROOT) || google_environment(GOOGLE_GCE_METADATA_IP);
    bool answered = err->code == ERROR_NOT_FOUND;
    struct error none = {0};
    error_set(&none, ERROR_DENIED, !answered && (sought || err->code == ERROR_TIMEOUT),
              "no Google credentials: looked at %.500s%s%.300s; set credentials_ref, or one of these",
              f->looked, f->looked[0] ? ", " : "", err->message);
    end(f, &none);
}

static void on_failed(struct google_fetch *f, const struct error *err)
{
    bool nobody = err->code == ERROR_NOT_FOUND || err->code == ERROR_TIMEOUT ||
                  (err->code == ERROR_UNREACHABLE && err->native[0] == '\0');
    if (f->step == GOOGLE_STEP_METADATA && nobody)
        end_without_metadata(f, err);
    else
        end(f, err);
}

static void on_called(void *data, const struct error *err)
{
    struct google_fetch *f = data;
    struct error own = {0};
    f->call = NULL;
    if (f->cancelled) {
        error_set(&own, ERROR_CANCELLED, true, "Google credentials: cancelled");
        end(f, &own);
    } else if (err)
        on_failed(f, err);
    else if (f->step == GOOGLE_STEP_SUBJECT) {
        if (go(f, GOOGLE_STEP_EXCHANGE, &own))
            end(f, &own);
    } else if (f->source.impersonation.url && f->step != GOOGLE_STEP_IMPERSONATE) {
        if (go(f, GOOGLE_STEP_IMPERSONATE, &own))
            end(f, &own);
    } else
        end(f, NULL);
}

/* ---- from outside ---- */

int google_fetch_start(uv_loop_t *loop, const struct google_fetch_ask *ask, struct google_source *source,
                       google_fetch_done_fn done, void *data, struct google_fetch **ret, struct error *err)
{
    struct google_fetch *f = calloc(1, sizeof *f);
    if (f == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    f->loop = loop;
    f->http = ask->http;
    f->timing = ask->timing;
    f->wall_ms = ask->wall_ms;
    f->done = done;
    f->data = data;
    f->source = *source;
    f->scope = strdup(ask->scope);
    f->looked = strdup(ask->looked ? ask->looked : "");
    assert(source->kind != GOOGLE_ACCESS_TOKEN);
    int rc = f->scope && f->looked ? go(f, first_step(source), err)
                                   : error_set(err, ERROR_SYSTEM, true, "out of memory");
    if (rc) {
        f->source = (struct google_source){0}; /* stays the caller's */
        fetch_free(f);
        return rc;
    }
    *source = (struct google_source){0};
    *ret = f;
    return 0;
}

void google_fetch_cancel(struct google_fetch *fetch)
{
    fetch->cancelled = true;
    if (fetch->call)
        service_call_cancel(fetch->call);
}
