/*
 * One slot per question with the credential it keeps. Whoever asks is put into the slot's list; a timer of
 * 0 ms looks at all lists from the loop:
 *
 *   fresh        served at once
 *   due          served at once, and fetched anew by another timer, in the background
 *   too old      fetched, then served
 *
 * A fetch is: the referenced secret, when the question has a reference, then what the kind makes of it. What
 * becomes of an old credential when a fetch fails is decided in credential_entry.c.
 */
#include "auth/credential_cache.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "auth/credential_entry.h"
#include "auth/secret.h"
#include "auth/secrets.h"
#include "base/clock.h"

enum { HOUR_MS = 60 * 60 * 1000 };

/* A ring with a head; one that is alone points to itself. */
struct link {
    struct link *next, *prev;
};

struct credential_wait {
    struct link link; /* first */
    struct credential_cache *cache;
    void (*done)(void);
    void *data;
};

enum slot_state {
    SLOT_IDLE,
    SLOT_SECRET,   /* the referenced secret is being fetched */
    SLOT_FETCHING, /* the kind is at work */
};

/* A slot is what a kind knows as its fetch. */
struct credential_fetch {
    struct credential_cache *cache;
    struct credential_question question; /* its strings are ours; "" = none */
    struct credential_entry entry;
    bool asked; /* served since the last fetch: worth refreshing ahead */
    enum slot_state state;
    struct secrets_wait *secret;
    void *running; /* the kind's */
    struct link waiting;
    int serving; /* callbacks under way: the slot must stay */
    uint64_t last_use;
};

struct credential_cache {
    const struct credential_kind *kind;
    void *owner;
    struct secrets *secrets;
    int64_t (*wall_ms)(void);
    struct credential_fetch *slots[CREDENTIAL_MAX_KEPT];
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

static const char *text_or_empty(const char *text)
{
    return text ? text : "";
}

static bool is_same_text(const char *a, const char *b)
{
    return strcmp(text_or_empty(a), text_or_empty(b)) == 0;
}

static bool is_same_question(const struct credential_question *a, const struct credential_question *b)
{
    for (int i = 0; i < CREDENTIAL_MAX_TEXTS; i++) {
        if (!is_same_text(a->texts[i], b->texts[i]))
            return false;
    }
    return is_same_text(a->reference, b->reference);
}

static void slot_free(struct credential_fetch *slot)
{
    credential_entry_deinit(&slot->entry, slot->cache->kind);
    free((char *)slot->question.reference);
    for (int i = 0; i < CREDENTIAL_MAX_TEXTS; i++)
        secret_free((char *)slot->question.texts[i]);
    free(slot);
}

static struct credential_fetch *slot_find(const struct credential_cache *cache,
                                          const struct credential_question *question)
{
    for (int i = 0; i < cache->n_slots; i++) {
        if (is_same_question(&cache->slots[i]->question, question))
            return cache->slots[i];
    }
    return NULL;
}

static struct credential_fetch *slot_new(struct credential_cache *cache,
                                         const struct credential_question *question)
{
    struct credential_fetch *slot = calloc(1, sizeof *slot);
    if (slot == NULL)
        return NULL;
    slot->cache = cache;
    ring_init(&slot->waiting);
    slot->question.reference = strdup(text_or_empty(question->reference));
    bool whole = slot->question.reference != NULL;
    for (int i = 0; i < CREDENTIAL_MAX_TEXTS; i++) {
        slot->question.texts[i] = strdup(text_or_empty(question->texts[i]));
        whole = whole && slot->question.texts[i];
    }
    if (whole)
        return slot;
    slot_free(slot);
    return NULL;
}

/* A place for one more: an empty one, or that of the slot which was idle for longest; -1: none is idle. */
static int place_for_slot(struct credential_cache *cache)
{
    if (cache->n_slots < CREDENTIAL_MAX_KEPT)
        return cache->n_slots;
    int place = -1;
    for (int i = 0; i < cache->n_slots; i++) {
        const struct credential_fetch *slot = cache->slots[i];
        bool idle = slot->state == SLOT_IDLE && slot->serving == 0 && ring_is_empty(&slot->waiting);
        if (idle && (place < 0 || slot->last_use < cache->slots[place]->last_use))
            place = i;
    }
    return place;
}

static int slot_get(struct credential_cache *cache, const struct credential_question *question,
                    struct credential_fetch **ret, struct error *err)
{
    struct credential_fetch *slot = slot_find(cache, question);
    if (slot == NULL) {
        int place = place_for_slot(cache);
        if (place < 0)
            return error_set(err, ERROR_LIMIT, true, "%s: more than %d are being fetched at once",
                             cache->kind->name, CREDENTIAL_MAX_KEPT);
        slot = slot_new(cache, question);
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
    struct credential_cache *cache = handle->data;
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
static void close_if_done(struct credential_cache *cache)
{
    if (!cache->closing || !cache->cancelled || uv_is_closing((uv_handle_t *)&cache->look))
        return;
    for (int i = 0; i < cache->n_slots; i++) {
        if (cache->slots[i]->state != SLOT_IDLE)
            return;
    }
    uv_close((uv_handle_t *)&cache->look, on_handle_closed);
    uv_close((uv_handle_t *)&cache->refresh, on_handle_closed);
}

/* ---- fetching ---- */

static void on_refresh(uv_timer_t *timer);

/* For the earliest of those worth it; looks again within an hour, should the clock be set meanwhile. */
static void arm_refresh(struct credential_cache *cache)
{
    int64_t now_ms = cache->wall_ms(), next_ms = INT64_MAX;
    if (cache->closing)
        return;
    for (int i = 0; i < cache->n_slots; i++) {
        const struct credential_fetch *slot = cache->slots[i];
        if (slot->asked && slot->state == SLOT_IDLE && credential_entry_expires(&slot->entry) &&
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

/* value stays the slot's while the callbacks run. */
static void serve(struct credential_fetch *slot, const void *value, const struct error *err)
{
    const struct credential_kind *kind = slot->cache->kind;
    struct link batch;
    ring_move(&slot->waiting, &batch);
    slot->serving++;
    while (!ring_is_empty(&batch)) {
        struct credential_wait *wait = (struct credential_wait *)batch.next;
        void (*done)(void) = wait->done;
        void *data = wait->data;
        credential_forget(wait);
        slot->asked = true;
        kind->serve(done, data, value, err);
    }
    slot->serving--;
}

/* A fetch has ended: with what is kept from now on, or with err. */
static void settle(struct credential_fetch *slot, const struct credential *got, const struct error *err)
{
    struct credential_cache *cache = slot->cache;
    int64_t now_ms = cache->wall_ms();
    struct error own = {0};
    if (got && credential_entry_keep(&slot->entry, cache->kind, got, now_ms, &own))
        err = &own;
    if (err == NULL || credential_entry_survives(&slot->entry, cache->kind, err, now_ms))
        serve(slot, slot->entry.kept.value, NULL);
    else
        serve(slot, NULL, err);
    arm_refresh(cache);
}

void credential_fetch_end(struct credential_fetch *slot, const struct credential *got,
                          const struct error *err)
{
    struct credential_cache *cache = slot->cache;
    assert(slot->state == SLOT_FETCHING && (got == NULL) != (err == NULL));
    slot->state = SLOT_IDLE;
    slot->running = NULL;
    if (!cache->closing) {
        settle(slot, got, err);
        return;
    }
    if (got)
        cache->kind->free(got->value);
    close_if_done(cache);
}

/* The kind may end its fetch before its start has returned. */
static void start_kind(struct credential_fetch *slot, const char *secret)
{
    struct credential_cache *cache = slot->cache;
    struct error err = {0};
    void *running = NULL;
    slot->state = SLOT_FETCHING;
    int rc = cache->kind->start(cache->owner, &slot->question, secret, slot, &running, &err);
    if (rc)
        credential_fetch_end(slot, NULL, &err);
    else if (slot->state == SLOT_FETCHING)
        slot->running = running;
}

static void on_secret(void *data, const char *secret, const struct error *err)
{
    struct credential_fetch *slot = data;
    slot->secret = NULL;
    slot->state = SLOT_IDLE;
    if (secret)
        start_kind(slot, secret);
    else
        settle(slot, NULL, err);
}

static void start_fetch(struct credential_fetch *slot)
{
    const char *reference = slot->question.reference;
    struct error err = {0};
    slot->asked = false;
    if (reference[0] == '\0') {
        start_kind(slot, NULL);
        return;
    }
    slot->state = SLOT_SECRET;
    if (secrets_get(slot->cache->secrets, reference, on_secret, slot, &slot->secret, &err)) {
        slot->state = SLOT_IDLE;
        settle(slot, NULL, &err);
    }
}

/* What is due is the refresh timer's business, which on_look sets. */
static void look_at(struct credential_fetch *slot, int64_t now_ms)
{
    if (credential_entry_is_fresh(&slot->entry, now_ms))
        serve(slot, slot->entry.kept.value, NULL);
    else if (slot->state == SLOT_IDLE)
        start_fetch(slot);
}

static void on_look(uv_timer_t *timer)
{
    struct credential_cache *cache = timer->data;
    int64_t now_ms = cache->wall_ms();
    bool closing = cache->closing; /* a callback may close the cache: then there's another look */
    struct error cancelled = {0};
    error_set(&cancelled, ERROR_CANCELLED, true, "%s: cancelled", cache->kind->name);
    for (int i = 0; i < cache->n_slots && closing == cache->closing; i++) {
        struct credential_fetch *slot = cache->slots[i];
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
    struct credential_cache *cache = timer->data;
    int64_t now_ms = cache->wall_ms();
    for (int i = 0; i < cache->n_slots && !cache->closing; i++) {
        struct credential_fetch *slot = cache->slots[i];
        if (slot->state == SLOT_IDLE && slot->asked && credential_entry_expires(&slot->entry) &&
            now_ms >= slot->entry.due_ms)
            start_fetch(slot);
    }
    arm_refresh(cache);
}

/* ---- from outside ---- */

int credential_cache_new(uv_loop_t *loop, const struct credential_kind *kind, void *owner,
                         struct secrets *secrets, struct credential_cache **ret, struct error *err)
{
    struct credential_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    cache->kind = kind;
    cache->owner = owner;
    cache->secrets = secrets;
    cache->wall_ms = clock_wall_ms;
    uv_timer_init(loop, &cache->look);
    uv_timer_init(loop, &cache->refresh);
    uv_unref((uv_handle_t *)&cache->refresh);
    cache->look.data = cache->refresh.data = cache;
    cache->open_handles = 2;
    *ret = cache;
    return 0;
}

void credential_cache_use_clock(struct credential_cache *cache, int64_t (*wall_ms)(void))
{
    cache->wall_ms = wall_ms;
}

void credential_cache_close(struct credential_cache *cache, void (*on_closed)(void *data), void *data)
{
    if (cache == NULL)
        return;
    assert(!cache->closing);
    cache->closing = true;
    cache->on_closed = on_closed;
    cache->data = data;
    uv_timer_stop(&cache->refresh);
    for (int i = 0; i < cache->n_slots; i++) {
        struct credential_fetch *slot = cache->slots[i];
        if (slot->state == SLOT_FETCHING && slot->running)
            cache->kind->cancel(slot->running);
        if (slot->state != SLOT_SECRET)
            continue;
        secrets_forget(slot->secret);
        slot->secret = NULL;
        slot->state = SLOT_IDLE;
    }
    uv_timer_start(&cache->look, on_look, 0, 0);
}

int credential_cache_get(struct credential_cache *cache, const struct credential_question *question,
                         void (*done)(void), void *data, struct credential_wait **ret_wait, struct error *err)
{
    if (cache->closing)
        return error_set(err, ERROR_CANCELLED, true, "%s: cancelled", cache->kind->name);
    if (cache->n_waits == CREDENTIAL_MAX_WAITS)
        return error_set(err, ERROR_LIMIT, true, "%s: more than %d wait for some", cache->kind->name,
                         CREDENTIAL_MAX_WAITS);
    struct credential_fetch *slot = NULL;
    int rc = slot_get(cache, question, &slot, err);
    if (rc)
        return rc;
    struct credential_wait *wait = calloc(1, sizeof *wait);
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

void credential_forget(struct credential_wait *wait)
{
    ring_unlink(&wait->link);
    wait->cache->n_waits--;
    free(wait);
}

void credential_cache_expired(struct credential_cache *cache, const struct credential_question *question,
                              const char *id)
{
    struct credential_fetch *slot = slot_find(cache, question);
    if (slot == NULL || slot->entry.kept.value == NULL ||
        strcmp(cache->kind->id(slot->entry.kept.value), id) != 0)
        return;
    slot->entry.refused = true;
    if (slot->question.reference[0] != '\0')
        secrets_invalidate(cache->secrets, slot->question.reference);
}
