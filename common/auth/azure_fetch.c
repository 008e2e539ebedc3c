/*
 * One question with its tries (service_call), then done.
 *
 * The machine's metadata service is asked where nothing else is configured, so it may not exist: a try that
 * reaches nobody ends the fetch with what was looked at. One that was reached and is slow is another matter.
 */
#include "auth/azure_fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/secret.h"
#include "auth/service_call.h"

const struct azure_timing azure_timing_default = {
    .connect_timeout_ms = 2000,
    .managed_timeout_ms = 15000,
    .service_timeout_ms = 20000,
    .retry_delay_ms = 1000,
    .retry_delay_max_ms = 8000,
};

enum { MANAGED_TRIES = 5, SERVICE_TRIES = 3, ACCOUNT_SIZE = 64 };

struct azure_fetch {
    struct azure_identity identity;
    char account[ACCOUNT_SIZE];
    char looked[AZURE_LOOKED_SIZE];
    int64_t (*wall_ms)(void);
    azure_fetch_done_fn done;
    void *data;
    struct service_call *call;
    struct azure_token token;
};

static void fetch_free(struct azure_fetch *f)
{
    azure_identity_deinit(&f->identity);
    secret_free(f->token.text);
    free(f);
}

static int prepare(void *data, struct service_request *request, struct error *err)
{
    struct azure_fetch *f = data;
    int rc = azure_identity_prepare(&f->identity, request, err);
    if (rc)
        error_context(err, "%.150s", f->identity.source);
    return rc;
}

static int answer(void *data, const struct http_response *response, struct error *err)
{
    struct azure_fetch *f = data;
    return azure_identity_answer(&f->identity, response, f->wall_ms(), &f->token, err);
}

/* Neither an answer nor a question sent. */
static bool reached_nobody(const struct error *err)
{
    return (err->code == ERROR_UNREACHABLE || err->code == ERROR_TIMEOUT) && err->native[0] == '\0';
}

static void explain(const struct azure_fetch *f, const struct error *from, struct error *ret)
{
    *ret = *from;
    if (f->identity.kind != AZURE_IDENTITY_MACHINE)
        return;
    if (reached_nobody(from))
        error_set(ret, ERROR_DENIED, false,
                  "no Azure credentials: looked at %s%smanaged identity (IMDS: not reachable); set "
                  "credentials_ref, or one of these",
                  f->looked, f->looked[0] ? ", " : "");
    else if (from->code == ERROR_DENIED)
        error_set(ret, ERROR_DENIED, false,
                  "no Azure credentials: looked at %s%s%s; set credentials_ref, or one of these", f->looked,
                  f->looked[0] ? ", " : "", from->message);
}

static void on_called(void *data, const struct error *err)
{
    struct azure_fetch *f = data;
    struct error explained;
    struct azure_credentials c = {.kind = AZURE_BEARER,
                                  .account = f->account,
                                  .token = f->token.text,
                                  .expires_at_ms = f->token.expires_at_ms,
                                  .source = f->identity.source};
    if (err)
        explain(f, err, &explained);
    f->done(f->data, err ? NULL : &c, err ? &explained : NULL);
    fetch_free(f);
}

static struct service_call_ask question(struct azure_fetch *f, const struct azure_fetch_ask *ask)
{
    const struct azure_timing *timing = ask->timing;
    struct service_call_ask q = {.http = ask->http,
                                 .what = f->identity.source,
                                 .tries = SERVICE_TRIES,
                                 .delay_ms = timing->retry_delay_ms,
                                 .delay_max_ms = timing->retry_delay_max_ms,
                                 .total_timeout_ms = timing->service_timeout_ms,
                                 .prepare = prepare,
                                 .answer = answer,
                                 .done = on_called,
                                 .data = f};
    if (azure_identity_is_managed(&f->identity)) {
        q.tries = MANAGED_TRIES;
        q.silent_tries = f->identity.kind == AZURE_IDENTITY_MACHINE ? 1 : 0;
        q.proxy = HTTP_PROXY_NEVER;
        q.connect_timeout_ms = timing->connect_timeout_ms;
        q.total_timeout_ms = timing->managed_timeout_ms;
    }
    return q;
}

int azure_fetch_start(uv_loop_t *loop, const struct azure_fetch_ask *ask, azure_fetch_done_fn done,
                      void *data, struct azure_fetch **ret, struct error *err)
{
    struct azure_fetch *f = calloc(1, sizeof *f);
    if (f == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    f->identity = *ask->identity;
    f->wall_ms = ask->wall_ms;
    f->done = done;
    f->data = data;
    snprintf(f->account, sizeof f->account, "%s", ask->account ? ask->account : "");
    snprintf(f->looked, sizeof f->looked, "%s", ask->looked ? ask->looked : "");
    struct service_call_ask q = question(f, ask);
    int rc = service_call_start(loop, &q, &f->call, err);
    if (rc) {
        free(f);
        return rc;
    }
    *ask->identity = (struct azure_identity){0};
    *ret = f;
    return 0;
}

void azure_fetch_cancel(struct azure_fetch *fetch)
{
    service_call_cancel(fetch->call);
}
