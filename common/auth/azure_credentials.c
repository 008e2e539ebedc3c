/*
 * The cache with a referenced secret's text or Azure's own chain behind it. Either gives credentials at once,
 * or an identity that is asked for a token (azure_fetch).
 *
 * Only fetched tokens expire for the cache. A SAS and a given token have an expiry too, but they are texts
 * that people renew: they are read again after 5 s like keys.
 */
#include "auth/azure_credentials.h"

#include <stdlib.h>

#include "auth/azure_credentials_internal.h"
#include "auth/azure_environment.h"
#include "auth/azure_keys.h"
#include "auth/azure_plan.h"
#include "auth/azure_text.h"
#include "base/clock.h"

enum { MINUTE_MS = 60 * 1000, HOUR_MS = 60 * MINUTE_MS };

/* A question's texts. */
enum { ACCOUNT, CLIENT, TENANT, ENDPOINT };

struct azure_credentials_cache {
    struct credential_cache *cache;
    uv_loop_t *loop;
    struct http_client *http;
    const struct azure_timing *timing;
    int64_t (*wall_ms)(void);
    void (*on_closed)(void *data);
    void *data;
};

/* ---- fetching ---- */

static void end_with(struct credential_fetch *fetch, struct azure_credentials *credentials,
                     int64_t expires_at_ms)
{
    credential_fetch_end(fetch,
                         &(struct credential){.value = credentials,
                                              .expires_at_ms = expires_at_ms,
                                              .source = credentials->source},
                         NULL);
}

static void on_fetched(void *data, const struct azure_credentials *credentials, const struct error *err)
{
    struct credential_fetch *fetch = data;
    struct azure_credentials *kept;
    struct error own = {0};
    if (credentials == NULL)
        credential_fetch_end(fetch, NULL, err);
    else if (azure_keys_new(credentials, &kept, &own))
        credential_fetch_end(fetch, NULL, &own);
    else
        end_with(fetch, kept, kept->expires_at_ms);
}

/* A token that can't be used isn't asked for. */
static int check_endpoint(const struct azure_identity *identity, const char *endpoint, struct error *err)
{
    const struct azure_credentials token = {.kind = AZURE_BEARER, .source = identity->source};
    return azure_keys_check_endpoint(&token, endpoint, true, err);
}

static int start_fetch(struct azure_credentials_cache *cache, struct azure_plan *plan,
                       const struct azure_credentials_ask *ask, struct credential_fetch *fetch,
                       void **ret_running, struct error *err)
{
    struct azure_fetch *running;
    const char *account =
        azure_is_said(ask->account) ? ask->account : azure_environment(AZURE_STORAGE_ACCOUNT);
    struct azure_fetch_ask fetch_ask = {.identity = &plan->identity,
                                        .account = account,
                                        .looked = plan->looked,
                                        .http = cache->http,
                                        .timing = cache->timing,
                                        .wall_ms = cache->wall_ms};
    int rc = check_endpoint(&plan->identity, ask->endpoint, err);
    if (rc == 0)
        rc = azure_fetch_start(cache->loop, &fetch_ask, on_fetched, fetch, &running, err);
    if (rc == 0)
        *ret_running = running;
    return rc;
}

static int start(void *owner, const struct credential_question *question, const char *secret,
                 struct credential_fetch *fetch, void **ret_running, struct error *err)
{
    struct azure_credentials_cache *cache = owner;
    const struct azure_credentials_ask ask = {.account = question->texts[ACCOUNT],
                                              .client_id = question->texts[CLIENT],
                                              .tenant_id = question->texts[TENANT],
                                              .endpoint = question->texts[ENDPOINT]};
    struct azure_plan plan = {0};
    int rc = secret ? azure_text_read(secret, question->reference, &ask, cache->wall_ms(), &plan.given,
                                      &plan.identity, err)
                    : azure_plan_make(&ask, cache->wall_ms(), &plan, err);
    if (rc)
        return rc;
    if (plan.given)
        end_with(fetch, plan.given, 0);
    else
        rc = start_fetch(cache, &plan, &ask, fetch, ret_running, err);
    plan.given = NULL;
    azure_plan_deinit(&plan);
    return rc;
}

static void cancel(void *running)
{
    azure_fetch_cancel(running);
}

static void free_value(void *value)
{
    azure_credentials_free(value);
}

static const char *id_of(const void *value)
{
    const struct azure_credentials *credentials = value;
    return credentials->id;
}

static void serve(void (*done)(void), void *data, const void *value, const struct error *err)
{
    ((azure_credentials_done_fn)done)(data, value, err);
}

static const struct credential_kind kind = {
    .name = "Azure credentials",
    .due = {12 * HOUR_MS, 2},
    .too_old = {5 * MINUTE_MS, 10},
    .start = start,
    .cancel = cancel,
    .free = free_value,
    .id = id_of,
    .serve = serve,
};

/* ---- from outside ---- */

static struct credential_question question_of(const struct azure_credentials_ask *ask)
{
    return (struct credential_question){.reference = ask->credentials_ref,
                                        .texts = {[ACCOUNT] = ask->account,
                                                  [CLIENT] = ask->client_id,
                                                  [TENANT] = ask->tenant_id,
                                                  [ENDPOINT] = ask->endpoint}};
}

int azure_credentials_cache_new(uv_loop_t *loop, struct http_client *http, struct secrets *secrets,
                                struct azure_credentials_cache **ret, struct error *err)
{
    struct azure_credentials_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    cache->loop = loop;
    cache->http = http;
    cache->timing = &azure_timing_default;
    cache->wall_ms = clock_wall_ms;
    int rc = credential_cache_new(loop, &kind, cache, secrets, &cache->cache, err);
    if (rc) {
        free(cache);
        return rc;
    }
    *ret = cache;
    return 0;
}

void azure_credentials_cache_use(struct azure_credentials_cache *cache, const struct azure_timing *timing,
                                 int64_t (*wall_ms)(void))
{
    cache->timing = timing;
    cache->wall_ms = wall_ms;
    credential_cache_use_clock(cache->cache, wall_ms);
}

static void on_closed(void *data)
{
    struct azure_credentials_cache *cache = data;
    void (*closed)(void *) = cache->on_closed;
    void *closed_data = cache->data;
    free(cache);
    if (closed)
        closed(closed_data);
}

void azure_credentials_cache_close(struct azure_credentials_cache *cache, void (*closed)(void *data),
                                   void *data)
{
    if (cache == NULL)
        return;
    cache->on_closed = closed;
    cache->data = data;
    credential_cache_close(cache->cache, on_closed, cache);
}

/* A wait is the generic cache's; the public type is its name outside. */
int azure_credentials_get(struct azure_credentials_cache *cache, const struct azure_credentials_ask *ask,
                          azure_credentials_done_fn done, void *data,
                          struct azure_credentials_wait **ret_wait, struct error *err)
{
    struct credential_question question = question_of(ask);
    struct credential_wait *wait;
    int rc = credential_cache_get(cache->cache, &question, (void (*)(void))done, data, &wait, err);
    if (rc == 0)
        *ret_wait = (struct azure_credentials_wait *)wait;
    return rc;
}

void azure_credentials_forget(struct azure_credentials_wait *wait)
{
    credential_forget((struct credential_wait *)wait);
}

void azure_credentials_expired(struct azure_credentials_cache *cache, const struct azure_credentials_ask *ask,
                               const char *id)
{
    struct credential_question question = question_of(ask);
    credential_cache_expired(cache->cache, &question, id);
}
