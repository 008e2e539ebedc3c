/*
 * The cache with AWS's own chain (aws_fetch) or a referenced secret's text behind it. What is kept is one set
 * of keys in memory of its own.
 */
#include "auth/aws_credentials.h"

#include <stdlib.h>

#include "auth/aws_credentials_internal.h"
#include "auth/aws_keys.h"

enum { SECOND_MS = 1000, MINUTE_MS = 60 * SECOND_MS };

/* A question's texts. */
enum { PROFILE, REGION, CHAIN };
static const char environment_files[] = "environment and files";

struct aws_credentials_cache {
    struct credential_cache *cache;
    uv_loop_t *loop;
    struct http_client *http;
    const struct aws_timing *timing;
    void (*on_closed)(void *data);
    void *data;
};

/* ---- what is kept ---- */

struct kept {
    struct aws_credentials keys;
    char *memory;
};

static void kept_free(void *value)
{
    struct kept *kept = value;
    aws_credentials_memory_free(kept->memory);
    free(kept);
}

static const char *kept_id(const void *value)
{
    const struct kept *kept = value;
    return kept->keys.access_key_id;
}

static void serve(void (*done)(void), void *data, const void *value, const struct error *err)
{
    const struct kept *kept = value;
    ((aws_credentials_done_fn)done)(data, kept ? &kept->keys : NULL, err);
}

/* ---- fetching ---- */

static void end_with(struct credential_fetch *fetch, const struct aws_credentials *credentials,
                     bool from_metadata)
{
    struct error err = {0};
    struct kept *kept = calloc(1, sizeof *kept);
    int rc = kept ? aws_keys_copy(credentials->source, credentials, &kept->keys, &kept->memory, &err)
                  : error_set(&err, ERROR_SYSTEM, true, "out of memory");
    if (rc) {
        free(kept);
        credential_fetch_end(fetch, NULL, &err);
        return;
    }
    credential_fetch_end(fetch,
                         &(struct credential){.value = kept,
                                              .expires_at_ms = kept->keys.expires_at_ms,
                                              .source = kept->keys.source,
                                              .outlives_expiry = from_metadata},
                         NULL);
}

static void on_walked(void *data, const struct aws_credentials *credentials, bool from_metadata,
                      const struct error *err)
{
    struct credential_fetch *fetch = data;
    if (credentials)
        end_with(fetch, credentials, from_metadata);
    else
        credential_fetch_end(fetch, NULL, err);
}

static int read_secret(const struct credential_question *question, const char *secret,
                       struct credential_fetch *fetch, struct error *err)
{
    struct aws_credentials credentials;
    char *memory = NULL;
    int rc = aws_credentials_parse(secret, question->reference, &credentials, &memory, err);
    if (rc == 0)
        end_with(fetch, &credentials, false);
    aws_credentials_memory_free(memory);
    return rc;
}

static int start(void *owner, const struct credential_question *question, const char *secret,
                 struct credential_fetch *fetch, void **ret_running, struct error *err)
{
    struct aws_credentials_cache *cache = owner;
    if (secret)
        return read_secret(question, secret, fetch, err);
    struct aws_fetch_ask ask = {.profile = question->texts[PROFILE],
                                .chain =
                                    question->texts[CHAIN][0] ? AWS_CHAIN_ENVIRONMENT_FILES : AWS_CHAIN_FULL,
                                .region = question->texts[REGION],
                                .http = cache->http,
                                .timing = cache->timing};
    struct aws_fetch *walk;
    int rc = aws_fetch_start(cache->loop, &ask, on_walked, fetch, &walk, err);
    if (rc == 0)
        *ret_running = walk;
    return rc;
}

static void cancel(void *running)
{
    aws_fetch_cancel(running);
}

static const struct credential_kind kind = {
    .name = "AWS credentials",
    .due = {15 * MINUTE_MS, 4},
    .too_old = {5 * MINUTE_MS, 10},
    .start = start,
    .cancel = cancel,
    .free = kept_free,
    .id = kept_id,
    .serve = serve,
};

/* ---- from outside ---- */

/* A reference alone, or the chain; the region only where STS is asked. */
static struct credential_question question_of(const struct aws_credentials_ask *ask)
{
    struct credential_question q = {.reference = ask->credentials_ref};
    if (q.reference && q.reference[0] != '\0')
        return q;
    q.texts[PROFILE] = ask->profile;
    if (ask->chain == AWS_CHAIN_FULL)
        q.texts[REGION] = ask->region;
    else
        q.texts[CHAIN] = environment_files;
    return q;
}

int aws_credentials_cache_new(uv_loop_t *loop, struct http_client *http, struct secrets *secrets,
                              struct aws_credentials_cache **ret, struct error *err)
{
    struct aws_credentials_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    cache->loop = loop;
    cache->http = http;
    cache->timing = &aws_timing_default;
    int rc = credential_cache_new(loop, &kind, cache, secrets, &cache->cache, err);
    if (rc) {
        free(cache);
        return rc;
    }
    *ret = cache;
    return 0;
}

void aws_credentials_cache_use(struct aws_credentials_cache *cache, const struct aws_timing *timing,
                               int64_t (*wall_ms)(void))
{
    cache->timing = timing;
    credential_cache_use_clock(cache->cache, wall_ms);
}

const struct aws_timing *aws_credentials_cache_timing(const struct aws_credentials_cache *cache)
{
    return cache->timing;
}

static void on_closed(void *data)
{
    struct aws_credentials_cache *cache = data;
    void (*closed)(void *) = cache->on_closed;
    void *closed_data = cache->data;
    free(cache);
    if (closed)
        closed(closed_data);
}

void aws_credentials_cache_close(struct aws_credentials_cache *cache, void (*closed)(void *data), void *data)
{
    if (cache == NULL)
        return;
    cache->on_closed = closed;
    cache->data = data;
    credential_cache_close(cache->cache, on_closed, cache);
}

/* A wait is the generic cache's; the public type is its name outside. */
int aws_credentials_get(struct aws_credentials_cache *cache, const struct aws_credentials_ask *ask,
                        aws_credentials_done_fn done, void *data, struct aws_credentials_wait **ret_wait,
                        struct error *err)
{
    struct credential_question question = question_of(ask);
    struct credential_wait *wait;
    int rc = credential_cache_get(cache->cache, &question, (void (*)(void))done, data, &wait, err);
    if (rc == 0)
        *ret_wait = (struct aws_credentials_wait *)wait;
    return rc;
}

void aws_credentials_forget(struct aws_credentials_wait *wait)
{
    credential_forget((struct credential_wait *)wait);
}

void aws_credentials_expired(struct aws_credentials_cache *cache, const struct aws_credentials_ask *ask,
                             const char *access_key_id)
{
    struct credential_question question = question_of(ask);
    credential_cache_expired(cache->cache, &question, access_key_id);
}
