/*
 * One slot per question (reference, or profile, chain and region) with the credentials it keeps. Whoever asks
 * is put into the slot's list; a timer of 0 ms looks at all lists from the loop:
 *
 *   fresh        served at once
 *   due          served at once, and fetched anew in the background
 *   too old      fetched, then served
 *
 * What becomes of old credentials when a fetch fails is decided in aws_entry.c.
 */
#include "auth/aws_credentials.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "auth/aws_credentials_internal.h"
#include "auth/aws_entry.h"
#include "auth/secrets.h"
#include "base/clock.h"

enum { HOUR_MS = 60 * 60 * 1000 };

/* A ring with a head; one that is alone points to itself. */
struct link {
    struct link *next, *prev;
};

struct aws_credentials_wait {
    struct link link; /* first */
    struct aws_credentials_cache *cache;
    aws_credentials_done_fn done;
    void *data;
};

struct slot {
    struct aws_credentials_cache *cache;
    char *ref, *profile, *region; /* "" = none */
    enum aws_chain chain;
    struct aws_entry entry;
    bool asked;              /* served since the last fetch: worth refreshing ahead */
    struct aws_fetch *fetch; /* at most one of these two */
    struct secrets_wait *secret;
    struct link waiting;
    int serving; /* callbacks under way: the slot must stay */
    uint64_t last_use;
};

struct aws_credentials_cache {
    uv_loop_t *loop;
    struct http_client *http;
    struct secrets *secrets;
    const struct aws_timing *timing;
    int64_t (*wall_ms)(void);
    struct slot *slots[AWS_MAX_KEPT];
    int n_slots, n_waits;
    uint64_t uses;
    uv_timer_t look;    /* at the lists, from the loop */
    uv_timer_t refresh; /* ahead of expiry; keeps no loop alive */
    bool closing;
    bool cancelled; /* everybody was told */
    int open_handles;
    void (*on_closed)(void *data);
    void *data;
};

/* ---- rings ---- */

static void ring_init(struct link *head)
{
    head->next = head->prev = head;
}

static bool ring_is_empty(const struct link *head)
{
    return head->next == head;
}

static void ring_append(struct link *head, struct link *link)
{
    link->next = head;
    link->prev = head->prev;
    head->prev->next = link;
    head->prev = link;
}

static void ring_unlink(struct link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
}

/* All of from, in order, into the empty ring to. */
static void ring_move(struct link *from, struct link *to)
{
    ring_init(to);
    while (!ring_is_empty(from)) {
        struct link *link = from->next;
        ring_unlink(link);
        ring_append(to, link);
    }
}

/* ---- slots ---- */

static void slot_free(struct slot *slot)
{
    aws_entry_deinit(&slot->entry);
    free(slot->ref);
    free(slot->profile);
    free(slot->region);
    free(slot);
}

static bool slot_is_fetching(const struct slot *slot)
{
    return slot->fetch || slot->secret;
}

/* What tells one question from another: a reference alone, or the chain; the region only where STS is asked.
 */
struct question {
    const char *ref, *profile, *region;
    enum aws_chain chain;
};

static const char *text_or_empty(const char *text)
{
    return text ? text : "";
}

static struct question question_of(const struct aws_credentials_ask *ask)
{
    struct question q = {text_or_empty(ask->credentials_ref), "", "", AWS_CHAIN_FULL};
    if (q.ref[0] != '\0')
        return q;
    q.profile = text_or_empty(ask->profile);
    q.chain = ask->chain;
    if (q.chain == AWS_CHAIN_FULL)
        q.region = text_or_empty(ask->region);
    return q;
}

static struct slot *slot_find(const struct aws_credentials_cache *cache, const struct question *q)
{
    for (int i = 0; i < cache->n_slots; i++) {
        struct slot *slot = cache->slots[i];
        if (slot->chain == q->chain && strcmp(slot->ref, q->ref) == 0 &&
            strcmp(slot->profile, q->profile) == 0 && strcmp(slot->region, q->region) == 0)
            return slot;
    }
    return NULL;
}

static struct slot *slot_new(struct aws_credentials_cache *cache, const struct question *q)
{
    struct slot *slot = calloc(1, sizeof *slot);
    if (slot == NULL)
        return NULL;
    slot->cache = cache;
    slot->chain = q->chain;
    slot->ref = strdup(q->ref);
    slot->profile = strdup(q->profile);
    slot->region = strdup(q->region);
    ring_init(&slot->waiting);
    if (slot->ref && slot->profile && slot->region)
        return slot;
    slot_free(slot);
    return NULL;
}

/* A place for one more: an empty one, or that of the slot which was idle for longest; -1: none is idle. */
static int place_for_slot(struct aws_credentials_cache *cache)
{
    if (cache->n_slots < AWS_MAX_KEPT)
        return cache->n_slots;
    int place = -1;
    for (int i = 0; i < cache->n_slots; i++) {
        const struct slot *slot = cache->slots[i];
        bool idle = !slot_is_fetching(slot) && slot->serving == 0 && ring_is_empty(&slot->waiting);
        if (idle && (place < 0 || slot->last_use < cache->slots[place]->last_use))
            place = i;
    }
    return place;
}

static int slot_get(struct aws_credentials_cache *cache, const struct aws_credentials_ask *ask,
                    struct slot **ret, struct error *err)
{
    struct question q = question_of(ask);
    struct slot *slot = slot_find(cache, &q);
    if (slot == NULL) {
        int place = place_for_slot(cache);
        if (place < 0)
            return error_set(err, ERROR_LIMIT, true,
                             "AWS credentials: more than %d are being fetched at once", AWS_MAX_KEPT);
        slot = slot_new(cache, &q);
        if (slot == NULL)
            return error_set(err, ERROR_SYSTEM, true, "out of memory");
        if (place == cache->n_slots)
            cache->n_slots++;
        else
            slot_free(cache->slots[place]);
        cache->slots[place] = slot;
    }
    slot->last_use = ++cache->uses;
    *ret = slot;
    return 0;
}

/* ---- closing ---- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct aws_credentials_cache *cache = handle->data;
    if (--cache->open_handles > 0)
        return;
    void (*on_closed)(void *) = cache->on_closed;
    void *data = cache->data;
    for (int i = 0; i < cache->n_slots; i++)
        slot_free(cache->slots[i]);
    free(cache);
    if (on_closed)
        on_closed(data);
}

/* Once everybody was told and no fetch is under way. */
static void close_if_done(struct aws_credentials_cache *cache)
{
    if (!cache->closing || !cache->cancelled || uv_is_closing((uv_handle_t *)&cache->look))
        return;
    for (int i = 0; i < cache->n_slots; i++) {
        if (cache->slots[i]->fetch)
            return;
    }
    uv_close((uv_handle_t *)&cache->look, on_handle_closed);
    uv_close((uv_handle_t *)&cache->refresh, on_handle_closed);
}

/* ---- fetching ---- */

static void on_refresh(uv_timer_t *timer);

/* For the earliest of those worth it; looks again within an hour, should the clock be set meanwhile. */
static void arm_refresh(struct aws_credentials_cache *cache)
{
    int64_t now_ms = cache->wall_ms(), next_ms = INT64_MAX;
    if (cache->closing)
        return;
    for (int i = 0; i < cache->n_slots; i++) {
        const struct slot *slot = cache->slots[i];
        if (slot->asked && !slot_is_fetching(slot) && aws_entry_expires(&slot->entry) &&
            slot->entry.due_ms < next_ms)
            next_ms = slot->entry.due_ms;
    }
    if (next_ms == INT64_MAX) {
        uv_timer_stop(&cache->refresh);
        return;
    }
    int64_t delay_ms = next_ms > now_ms ? next_ms - now_ms : 0;
    uv_timer_start(&cache->refresh, on_refresh, (uint64_t)(delay_ms < HOUR_MS ? delay_ms : HOUR_MS), 0);
}

/* credentials stay the slot's while the callbacks run. */
static void serve(struct slot *slot, const struct aws_credentials *credentials, const struct error *err)
{
    struct link batch;
    ring_move(&slot->waiting, &batch);
    slot->serving++;
    while (!ring_is_empty(&batch)) {
        struct aws_credentials_wait *wait = (struct aws_credentials_wait *)batch.next;
        aws_credentials_done_fn done = wait->done;
        void *data = wait->data;
        aws_credentials_forget(wait);
        slot->asked = true;
        done(data, credentials, err);
    }
    slot->serving--;
}

/* A fetch has ended: with credentials that are kept, or with err. */
static void settle(struct slot *slot, const struct aws_credentials *credentials, bool from_metadata,
                   const struct error *err)
{
    struct aws_credentials_cache *cache = slot->cache;
    int64_t now_ms = cache->wall_ms();
    struct error own = {0};
    if (credentials && aws_entry_keep(&slot->entry, credentials, from_metadata, now_ms, &own))
        err = &own;
    if (err == NULL || aws_entry_survives(&slot->entry, err, now_ms))
        serve(slot, &slot->entry.keys, NULL);
    else
        serve(slot, NULL, err);
    arm_refresh(cache);
}

static void on_fetched(void *data, const struct aws_credentials *credentials, bool from_metadata,
                       const struct error *err)
{
    struct slot *slot = data;
    slot->fetch = NULL;
    if (slot->cache->closing)
        close_if_done(slot->cache);
    else
        settle(slot, credentials, from_metadata, err);
}

static void on_secret(void *data, const char *secret, const struct error *err)
{
    struct slot *slot = data;
    struct aws_credentials credentials;
    char *memory = NULL;
    struct error own = {0};
    slot->secret = NULL;
    if (secret == NULL)
        settle(slot, NULL, false, err);
    else if (aws_credentials_parse(secret, slot->ref, &credentials, &memory, &own))
        settle(slot, NULL, false, &own);
    else
        settle(slot, &credentials, false, NULL);
    aws_credentials_memory_free(memory);
}

static int start_fetch(struct slot *slot, struct error *err)
{
    struct aws_credentials_cache *cache = slot->cache;
    assert(!slot_is_fetching(slot));
    slot->asked = false;
    if (slot->ref[0] != '\0')
        return secrets_get(cache->secrets, slot->ref, on_secret, slot, &slot->secret, err);
    struct aws_fetch_ask ask = {.profile = slot->profile,
                                .chain = slot->chain,
                                .region = slot->region,
                                .http = cache->http,
                                .timing = cache->timing};
    return aws_fetch_start(cache->loop, &ask, on_fetched, slot, &slot->fetch, err);
}

static void fetch_if_needed(struct slot *slot)
{
    struct error err = {0};
    if (!slot_is_fetching(slot) && start_fetch(slot, &err))
        settle(slot, NULL, false, &err);
}

static void look_at(struct slot *slot, int64_t now_ms)
{
    if (!aws_entry_is_fresh(&slot->entry, now_ms)) {
        fetch_if_needed(slot);
        return;
    }
    if (now_ms >= slot->entry.due_ms)
        fetch_if_needed(slot);
    serve(slot, &slot->entry.keys, NULL);
}

static void on_look(uv_timer_t *timer)
{
    struct aws_credentials_cache *cache = timer->data;
    int64_t now_ms = cache->wall_ms();
    bool closing = cache->closing; /* a callback may close the cache: then there's another look */
    struct error cancelled = {0};
    error_set(&cancelled, ERROR_CANCELLED, true, "AWS credentials: cancelled");
    for (int i = 0; i < cache->n_slots; i++) {
        struct slot *slot = cache->slots[i];
        if (closing)
            serve(slot, NULL, &cancelled);
        else if (!ring_is_empty(&slot->waiting))
            look_at(slot, now_ms);
    }
    cache->cancelled = closing;
    close_if_done(cache);
    arm_refresh(cache);
}

static void on_refresh(uv_timer_t *timer)
{
    struct aws_credentials_cache *cache = timer->data;
    int64_t now_ms = cache->wall_ms();
    for (int i = 0; i < cache->n_slots; i++) {
        struct slot *slot = cache->slots[i];
        if (slot->asked && aws_entry_expires(&slot->entry) && now_ms >= slot->entry.due_ms)
            fetch_if_needed(slot);
    }
    arm_refresh(cache);
}

/* ---- from outside ---- */

int aws_credentials_cache_new(uv_loop_t *loop, struct http_client *http, struct secrets *secrets,
                              struct aws_credentials_cache **ret, struct error *err)
{
    struct aws_credentials_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    cache->loop = loop;
    cache->http = http;
    cache->secrets = secrets;
    cache->timing = &aws_timing_default;
    cache->wall_ms = clock_wall_ms;
    uv_timer_init(loop, &cache->look);
    uv_timer_init(loop, &cache->refresh);
    uv_unref((uv_handle_t *)&cache->refresh);
    cache->look.data = cache->refresh.data = cache;
    cache->open_handles = 2;
    *ret = cache;
    return 0;
}

void aws_credentials_cache_use(struct aws_credentials_cache *cache, const struct aws_timing *timing,
                               int64_t (*wall_ms)(void))
{
    cache->timing = timing;
    cache->wall_ms = wall_ms;
}

const struct aws_timing *aws_credentials_cache_timing(const struct aws_credentials_cache *cache)
{
    return cache->timing;
}

void aws_credentials_cache_close(struct aws_credentials_cache *cache, void (*on_closed)(void *data),
                                 void *data)
{
    if (cache == NULL)
        return;
    assert(!cache->closing);
    cache->closing = true;
    cache->on_closed = on_closed;
    cache->data = data;
    uv_timer_stop(&cache->refresh);
    for (int i = 0; i < cache->n_slots; i++) {
        struct slot *slot = cache->slots[i];
        if (slot->fetch)
            aws_fetch_cancel(slot->fetch);
        if (slot->secret)
            secrets_forget(slot->secret);
        slot->secret = NULL;
    }
    uv_timer_start(&cache->look, on_look, 0, 0);
}

int aws_credentials_get(struct aws_credentials_cache *cache, const struct aws_credentials_ask *ask,
                        aws_credentials_done_fn done, void *data, struct aws_credentials_wait **ret_wait,
                        struct error *err)
{
    if (cache->closing)
        return error_set(err, ERROR_CANCELLED, true, "AWS credentials: cancelled");
    if (cache->n_waits == AWS_MAX_WAITS)
        return error_set(err, ERROR_LIMIT, true, "AWS credentials: more than %d wait for some",
                         AWS_MAX_WAITS);
    struct slot *slot;
    int rc = slot_get(cache, ask, &slot, err);
    if (rc)
        return rc;
    struct aws_credentials_wait *wait = calloc(1, sizeof *wait);
    if (wait == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    wait->cache = cache;
    wait->done = done;
    wait->data = data;
    ring_append(&slot->waiting, &wait->link);
    cache->n_waits++;
    uv_timer_start(&cache->look, on_look, 0, 0);
    *ret_wait = wait;
    return 0;
}

void aws_credentials_forget(struct aws_credentials_wait *wait)
{
    ring_unlink(&wait->link);
    wait->cache->n_waits--;
    free(wait);
}

void aws_credentials_expired(struct aws_credentials_cache *cache, const struct aws_credentials_ask *ask,
                             const char *access_key_id)
{
    struct question q = question_of(ask);
    struct slot *slot = slot_find(cache, &q);
    if (slot == NULL || slot->entry.memory == NULL ||
        strcmp(slot->entry.keys.access_key_id, access_key_id) != 0)
        return;
    slot->entry.refused = true;
    if (slot->ref[0] != '\0')
        secrets_invalidate(cache->secrets, slot->ref);
}
