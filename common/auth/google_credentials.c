/*
 * The cache of credentials with Google's sources behind it: a referenced secret's text or what
 * google_source_find finds, then google_fetch. What is kept is one token and what is said about it.
 */
#include "auth/google_credentials.h"

#include <stdlib.h>
#include <string.h>

#include "auth/credential_cache.h"
#include "auth/google_credentials_internal.h"
#include "auth/secret.h"
#include "base/clock.h"

enum { SECOND_MS = 1000, MINUTE_MS = 60 * SECOND_MS, LOOKED_MAX = 1024 };

/* A question's text. */
enum { SCOPE, TEXT };
static const char *const scopes[] = {
    [GOOGLE_SCOPE_READ_WRITE] = "https://www.googleapis.com/auth/devstorage.read_write",
    [GOOGLE_SCOPE_FULL_CONTROL] = "https://www.googleapis.com/auth/devstorage.full_control",
};

struct google_credentials_cache {
    struct credential_cache *cache;
    uv_loop_t *loop;
    struct http_client *http;
    const struct google_timing *timing;
    int64_t (*wall_ms)(void);
    void (*on_closed)(void *data);
    void *data;
};

/* ---- what is kept ---- */

struct kept {
    struct google_credentials credentials; /* points to the rest */
    char *token, *source, *project, *quota_project;
};

static void kept_free(void *value)
{
    struct kept *kept = value;
    secret_free(kept->token);
    free(kept->source);
    free(kept->project);
    free(kept->quota_project);
    explicit_bzero(kept, sizeof *kept);
    free(kept);
}

static const char *kept_id(const void *value)
{
    const struct kept *kept = value;
    return kept->token;
}

static void serve(void (*done)(void), void *data, const void *value, const struct error *err)
{
    const struct kept *kept = value;
    ((google_credentials_done_fn)done)(data, kept ? &kept->credentials : NULL, err);
}

static bool copy_text(char **ret, const char *text)
{
    *ret = text ? strdup(text) : NULL;
    return text == NULL || *ret;
}

static struct kept *kept_new(const struct google_source *source, const char *token, int64_t expires_at_ms)
{
    struct kept *kept = calloc(1, sizeof *kept);
    if (kept == NULL)
        return NULL;
    if (!copy_text(&kept->token, token) || !copy_text(&kept->source, source->name) ||
        !copy_text(&kept->project, source->project) ||
        !copy_text(&kept->quota_project, source->quota_project)) {
        kept_free(kept);
        return NULL;
    }
    kept->credentials = (struct google_credentials){.access_token = kept->token,
                                                    .expires_at_ms = expires_at_ms,
                                                    .source = kept->source,
                                                    .project = kept->project,
                                                    .quota_project = kept->quota_project};
    kept->credentials.has_secret_digest = google_source_digest(source, kept->credentials.secret_digest);
    return kept;
}

/* ---- fetching ---- */

static void end_with(struct credential_fetch *fetch, const struct google_source *source, const char *token,
                     int64_t expires_at_ms)
{
    struct error err = {0};
    struct kept *kept = kept_new(source, token, expires_at_ms);
    if (kept == NULL) {
        error_set(&err, ERROR_SYSTEM, true, "out of memory");
        credential_fetch_end(fetch, NULL, &err);
        return;
    }
    const struct credential got = {
        .value = kept, .expires_at_ms = expires_at_ms, .source = kept->credentials.source};
    credential_fetch_end(fetch, &got, NULL);
}

static void on_fetched(void *data, const struct google_source *source, const struct google_token *token,
                       const struct error *err)
{
    struct credential_fetch *fetch = data;
    if (token)
        end_with(fetch, source, token->value, token->expires_at_ms);
    else
        credential_fetch_end(fetch, NULL, err);
}

static int fetch_from(struct google_credentials_cache *cache, struct google_source *source, const char *scope,
                      const char *looked, struct credential_fetch *fetch, void **ret_running,
                      struct error *err)
{
    if (source->kind == GOOGLE_ACCESS_TOKEN) {
        end_with(fetch, source, source->token.value, source->token.expires_at_ms);
        return 0;
    }
    const struct google_fetch_ask ask = {.http = cache->http,
                                         .timing = cache->timing,
                                         .wall_ms = cache->wall_ms,
                                         .scope = scope,
                                         .looked = looked};
    struct google_fetch *walk;
    int rc = google_fetch_start(cache->loop, &ask, source, on_fetched, fetch, &walk, err);
    if (rc == 0)
        *ret_running = walk;
    return rc;
}

static int start(void *owner, const struct credential_question *question, const char *secret,
                 struct credential_fetch *fetch, void **ret_running, struct error *err)
{
    struct google_credentials_cache *cache = owner;
    struct google_source source = {0};
    struct strbuf looked;
    const char *own = question->texts[TEXT];
    int rc;
    strbuf_init(&looked, LOOKED_MAX);
    if (secret)
        rc = google_source_parse(secret, question->reference, &source, err);
    else if (*own)
        rc = google_source_parse(own, "the sealed credentials", &source, err);
    else
        rc = google_source_find(&source, &looked, err);
    if (rc == 0)
        rc =
            fetch_from(cache, &source, question->texts[SCOPE], strbuf_cstr(&looked), fetch, ret_running, err);
    google_source_deinit(&source); /* empty when a walk has taken it over */
    strbuf_deinit(&looked);
    return rc;
}

static void cancel(void *running)
{
    google_fetch_cancel(running);
}

/* The metadata server gives the same token again until some 4 to 5 minutes before its end: no use in asking
 * earlier. */
static const struct credential_kind kind = {
    .name = "Google credentials",
    .due = {3 * MINUTE_MS + 45 * SECOND_MS, 4},
    .too_old = {1 * MINUTE_MS, 10},
    .start = start,
    .cancel = cancel,
    .free = kept_free,
    .id = kept_id,
    .serve = serve,
};

/* ---- from outside ---- */

static struct credential_question question_of(const struct google_credentials_ask *ask)
{
    return (struct credential_question){
        .reference = ask->credentials_ref, .texts[SCOPE] = scopes[ask->scope], .texts[TEXT] = ask->text};
}

int google_credentials_cache_new(uv_loop_t *loop, struct http_client *http, struct secrets *secrets,
                                 struct google_credentials_cache **ret, struct error *err)
{
    struct google_credentials_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    cache->loop = loop;
    cache->http = http;
    cache->timing = &google_timing_default;
    cache->wall_ms = clock_wall_ms;
    int rc = credential_cache_new(loop, &kind, cache, secrets, &cache->cache, err);
    if (rc) {
        free(cache);
        return rc;
    }
    *ret = cache;
    return 0;
}

void google_credentials_cache_use(struct google_credentials_cache *cache, const struct google_timing *timing,
                                  int64_t (*wall_ms)(void))
{
    cache->timing = timing;
    cache->wall_ms = wall_ms;
    credential_cache_use_clock(cache->cache, wall_ms);
}

static void on_closed(void *data)
{
    struct google_credentials_cache *cache = data;
    void (*closed)(void *) = cache->on_closed;
    void *closed_data = cache->data;
    free(cache);
    if (closed)
        closed(closed_data);
}

void google_credentials_cache_close(struct google_credentials_cache *cache, void (*closed)(void *data),
                                    void *data)
{
    if (cache == NULL)
        return;
    cache->on_closed = closed;
    cache->data = data;
    credential_cache_close(cache->cache, on_closed, cache);
}

/* A wait is the generic cache's; the public type is its name outside. */
int google_credentials_get(struct google_credentials_cache *cache, const struct google_credentials_ask *ask,
                           google_credentials_done_fn done, void *data,
                           struct google_credentials_wait **ret_wait, struct error *err)
{
    struct credential_question question = question_of(ask);
    struct credential_wait *wait;
    int rc = credential_cache_get(cache->cache, &question, (void (*)(void))done, data, &wait, err);
    if (rc == 0)
        *ret_wait = (struct google_credentials_wait *)wait;
    return rc;
}

void google_credentials_forget(struct google_credentials_wait *wait)
{
    credential_forget((struct credential_wait *)wait);
}

void google_credentials_expired(struct google_credentials_cache *cache,
                                const struct google_credentials_ask *ask, const char *access_token)
{
    struct credential_question question = question_of(ask);
    credential_cache_expired(cache->cache, &question, access_token);
}
