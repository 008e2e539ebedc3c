#include "fsck_redis.h"

#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "queue/queue.h"
#include "redis_ask.h"

enum { PAGE = 1000, KEY_SIZE = 48, MAX_SUSPECTS = 1000, MAX_PLACES = 4096, ROUNDS = 4, ROUND_MS = 150 };

/* --- what is where --- */

/* Names of lists behind "bm:{queue}:": "ready:0", "active:host:12:ab", "parked:order"; "retry" is a set. */
struct places {
    char **names;
    int n;
};

/* One sighting of a job. */
struct sighting {
    char key[KEY_SIZE];
    enum { IN_LIST, IN_JOBS, IN_LEASE } in;
    int place; /* index into places: where it stands, or where `jobs` says so; -1 = a place that isn't there
                */
};

struct sightings {
    struct sighting *all;
    size_t n, capacity;
};

static int out_of_memory(struct error *err)
{
    return error_set(err, ERROR_SYSTEM, true, "out of memory");
}

void fsck_report(json_t *list, const char *queue, const char *key, int invariant, const char *format, ...)
{
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:s}", "queue", queue, "key", key, "invariant",
                                          invariant, "message", message));
}

void fsck_keys_free(struct fsck_keys *keys)
{
    free(keys->keys);
    *keys = (struct fsck_keys){0};
}

static void places_free(struct places *p)
{
    for (int i = 0; i < p->n; i++)
        free(p->names[i]);
    free(p->names);
    *p = (struct places){0};
}

static int places_add(struct places *p, const char *name, struct error *err)
{
    for (int i = 0; i < p->n; i++)
        if (strcmp(p->names[i], name) == 0)
            return 0;
    if (p->n == MAX_PLACES)
        return error_set(err, ERROR_LIMIT, false, "more than %d lists in one queue", MAX_PLACES);
    char **names = realloc(p->names, sizeof *names * (size_t)(p->n + 1));
    if (names)
        p->names = names;
    char *copy = names ? strdup(name) : NULL;
    if (copy == NULL)
        return out_of_memory(err);
    names[p->n++] = copy;
    return 0;
}

/* Lists that exist, by SCAN: a queue has few keys. */
static int places_scan(struct cli *cli, const char *queue, const char *kind, struct places *p,
                       struct error *err)
{
    char pattern[QUEUE_KEY_SIZE];
    char prefix[QUEUE_KEY_SIZE];
    char cursor[32] = "0";
    char suffix[32];
    snprintf(suffix, sizeof suffix, ":%s:*", kind);
    queue_key(pattern, queue, suffix);
    queue_key(prefix, queue, ":");
    do {
        redisReply *r = redis_ask(cli, err, "SCAN", cursor, "MATCH", pattern, "COUNT", "1000", NULL);
        if (r == NULL)
            return err->code;
        int rc = 0;
        snprintf(cursor, sizeof cursor, "%s", r->element[0]->str);
        for (size_t i = 0; rc == 0 && i < r->element[1]->elements; i++)
            rc = places_add(p, r->element[1]->element[i]->str + strlen(prefix), err);
        freeReplyObject(r);
        if (rc)
            return rc;
    } while (strcmp(cursor, "0") != 0);
    return 0;
}

static int places_read(struct cli *cli, const char *queue, struct places *p, struct error *err)
{
    int rc = places_add(p, "retry", err);
    for (int band = 0; rc == 0 && band < QUEUE_BANDS; band++) {
        char name[16];
        snprintf(name, sizeof name, "ready:%d", band);
        rc = places_add(p, name, err);
    }
    if (rc == 0)
        rc = places_scan(cli, queue, "active", p, err);
    if (rc == 0)
        rc = places_scan(cli, queue, "parked", p, err);
    return rc;
}

/* "<op>:<id>" as the scripts make it; false for what they would bury. */
static bool key_of(const char *payload, size_t size, char *out)
{
    json_t *job = json_loadb(payload, size, 0, NULL);
    const char *op = json_string_value(json_object_get(job, "op"));
    double id = json_number_value(json_object_get(job, "id"));
    bool good =
        op && *op && op[strspn(op, "abcdefghijklmnopqrstuvwxyz")] == '\0' && strlen(op) < 20 && id >= 1;
    if (good)
        snprintf(out, KEY_SIZE, "%s:%.0f", op, id);
    json_decref(job);
    return good;
}

/* Each payload of a place, page by page. */
typedef int (*payload_fn)(void *data, int place, const char *payload, size_t size, struct error *err);

static int for_each_payload(struct cli *cli, const char *queue, const struct places *p, payload_fn fn,
                            void *data, struct error *err)
{
    for (int i = 0; i < p->n; i++) {
        char key[QUEUE_KEY_SIZE];
        char suffix[QUEUE_KEY_SIZE / 2];
        snprintf(suffix, sizeof suffix, ":%.240s", p->names[i]);
        queue_key(key, queue, suffix);
        const char *command = strcmp(p->names[i], "retry") == 0 ? "ZRANGE" : "LRANGE";
        size_t got = PAGE;
        for (int64_t at = 0; got == PAGE; at += PAGE) {
            char from[24];
            char to[24];
            snprintf(from, sizeof from, "%" PRId64, at);
            snprintf(to, sizeof to, "%" PRId64, at + PAGE - 1);
            redisReply *r = redis_ask(cli, err, command, key, from, to, NULL);
            if (r == NULL)
                return err->code;
            got = r->elements;
            int rc = 0;
            for (size_t e = 0; rc == 0 && e < got; e++)
                rc = fn(data, i, r->element[e]->str, r->element[e]->len, err);
            freeReplyObject(r);
            if (rc)
                return rc;
        }
    }
    return 0;
}

/* --- the first reading --- */

struct reading {
    struct fsck *f;
    const char *queue;
    const struct places *places;
    struct sightings seen;
};

static int see(struct sightings *s, const char *key, int in, int place, struct error *err)
{
    if (s->n == s->capacity) {
        size_t capacity = s->capacity ? 2 * s->capacity : 1024;
        struct sighting *all = realloc(s->all, capacity * sizeof *all);
        if (all == NULL)
            return out_of_memory(err);
        s->all = all;
        s->capacity = capacity;
    }
    struct sighting *one = &s->all[s->n++];
    snprintf(one->key, sizeof one->key, "%s", key);
    one->in = in;
    one->place = place;
    return 0;
}

static int see_payload(void *data, int place, const char *payload, size_t size, struct error *err)
{
    struct reading *r = data;
    char key[KEY_SIZE];
    if (key_of(payload, size, key))
        return see(&r->seen, key, IN_LIST, place, err);
    fsck_report(r->f->stale, r->queue, "-", 2, "a malformed job stands in %s; it is buried at its turn",
                r->places->names[place]);
    return 0;
}

/* "<place> <token> <payload>", or only the place; that of the retry set has the due time behind it. */
static int registered_at(const struct places *p, const char *value)
{
    size_t n = strncmp(value, "retry:", 6) == 0 ? 5 : strcspn(value, " ");
    for (int i = 0; i < p->n; i++)
        if (strncmp(p->names[i], value, n) == 0 && p->names[i][n] == '\0')
            return i;
    return -1;
}

static int see_hash(struct reading *r, const char *hash_key, struct error *err)
{
    char cursor[32] = "0";
    do {
        redisReply *page = redis_ask(r->f->cli, err, "HSCAN", hash_key, cursor, "COUNT", "1000", NULL);
        if (page == NULL)
            return err->code;
        int rc = 0;
        snprintf(cursor, sizeof cursor, "%s", page->element[0]->str);
        for (size_t i = 0; rc == 0 && i + 1 < page->element[1]->elements; i += 2)
            rc = see(&r->seen, page->element[1]->element[i]->str, IN_JOBS,
                     registered_at(r->places, page->element[1]->element[i + 1]->str), err);
        freeReplyObject(page);
        if (rc)
            return rc;
    } while (strcmp(cursor, "0") != 0);
    return 0;
}

static int see_leases(struct reading *r, const char *lease_key, struct error *err)
{
    redisReply *all = redis_ask(r->f->cli, err, "ZRANGE", lease_key, "0", "-1", NULL);
    int rc = all ? 0 : err->code;
    for (size_t i = 0; rc == 0 && i < all->elements; i++)
        rc = see(&r->seen, all->element[i]->str, IN_LEASE, -1, err);
    freeReplyObject(all);
    return rc;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct sighting *)a)->key, ((const struct sighting *)b)->key);
}

/* --- suspects --- */

struct suspect {
    char key[KEY_SIZE];
    json_t *payloads; /* array of strings seen for this key */
    enum { FINE, STALE, HEALS, BREACH } verdict;
    int invariant;
    char message[400];
};

struct suspects {
    struct suspect *all;
    size_t n;
};

static void suspects_free(struct suspects *s)
{
    for (size_t i = 0; i < s->n; i++)
        json_decref(s->all[i].payloads);
    free(s->all);
    *s = (struct suspects){0};
}

/* One sighting in a list, registered, and a lease exactly when the list is an active one. */
static bool is_plain(const struct sighting *s, size_t n, const struct places *p)
{
    int counts[3] = {0};
    int places[3] = {-1, -1, -1};
    for (size_t i = 0; i < n; i++) {
        counts[s[i].in]++;
        places[s[i].in] = s[i].place;
    }
    bool active = places[IN_LIST] >= 0 && strncmp(p->names[places[IN_LIST]], "active:", 7) == 0;
    return counts[IN_LIST] == 1 && counts[IN_JOBS] == 1 && places[IN_JOBS] == places[IN_LIST] &&
           counts[IN_LEASE] == active;
}

/* Sorts the sightings, collects the keys, and picks those that need a second look. */
static int find_suspects(struct reading *r, struct suspects *suspects, struct fsck_keys *keys,
                         struct error *err)
{
    struct sightings *s = &r->seen;
    if (s->n == 0)
        return 0;
    qsort(s->all, s->n, sizeof *s->all, by_key);
    keys->keys = malloc(s->n * KEY_SIZE);
    suspects->all = calloc(MAX_SUSPECTS, sizeof *suspects->all);
    if (keys->keys == NULL || suspects->all == NULL)
        return out_of_memory(err);
    for (size_t i = 0, end; i < s->n; i = end) {
        for (end = i + 1; end < s->n && strcmp(s->all[end].key, s->all[i].key) == 0;)
            end++;
        memcpy(keys->keys[keys->n++], s->all[i].key, KEY_SIZE);
        if (is_plain(&s->all[i], end - i, r->places) || suspects->n == MAX_SUSPECTS)
            continue;
        struct suspect *one = &suspects->all[suspects->n++];
        memcpy(one->key, s->all[i].key, KEY_SIZE);
        one->payloads = json_array();
        one->verdict = HEALS;
    }
    return 0;
}

static int collect_payload(void *data, int place, const char *payload, size_t size, struct error *err)
{
    (void)place;
    (void)err;
    struct suspects *s = data;
    char key[KEY_SIZE];
    if (!key_of(payload, size, key))
        return 0;
    for (size_t i = 0; i < s->n; i++) {
        if (s->all[i].verdict == FINE || strcmp(s->all[i].key, key) != 0)
            continue;
        size_t n;
        const json_t *known;
        json_array_foreach(s->all[i].payloads, n, known)
        {
            if (json_string_length(known) == size && memcmp(json_string_value(known), payload, size) == 0)
                return 0;
        }
        json_array_append_new(s->all[i].payloads, json_stringn(payload, size));
    }
    return 0;
}

/* ARGV: key, n, n places, payloads. Answer: what `jobs` says, lease or '', the places where it stands. */
static struct redis_script look_script = {
    .name = "fsck_look",
    .text =
        "local Q, key, n = KEYS[1], ARGV[1], tonumber(ARGV[2])\n"
        "local standing = redis.call('HGET', Q .. ':jobs', key) or ''\n"
        "local payloads, found = {}, {}\n"
        "for i = n + 3, #ARGV do payloads[ARGV[i]] = true end\n"
        "local own = string.match(standing, '^%S+ %S+ (.*)$')\n"
        "if own then payloads[own] = true end\n"
        "for i = 3, n + 2 do\n"
        "    for payload in pairs(payloads) do\n"
        "        if ARGV[i] == 'retry' then\n"
        "            if redis.call('ZSCORE', Q .. ':retry', payload) then found[#found + 1] = 'retry' end\n"
        "        else\n"
        "            local at = redis.call('LPOS', Q .. ':' .. ARGV[i], payload, 'COUNT', 0)\n"
        "            for _ = 1, #at do found[#found + 1] = ARGV[i] end\n"
        "        end\n"
        "    end\n"
        "end\n"
        "return { string.match(standing, '^%S*'), redis.call('ZSCORE', Q .. ':lease', key) or '', found }\n"};

__attribute__((format(printf, 4, 5))) static void judge(struct suspect *s, int verdict, int invariant,
                                                        const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(s->message, sizeof s->message, format, args);
    va_end(args);
    s->verdict = verdict;
    s->invariant = invariant;
}

static bool begins(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* registered: "" or "ready:0", "active:w", "retry:<ms>", "parked:why". */
static void judge_standing(struct suspect *s, const char *registered, bool leased, const redisReply *found)
{
    const char *first = found->elements ? found->element[0]->str : "";
    bool same = begins(registered, "retry:") ? strcmp(first, "retry") == 0 : strcmp(registered, first) == 0;
    bool active = begins(first, "active:");
    if (found->elements > 1)
        judge(s, BREACH, 2, "stands in %s and %s", first, found->element[1]->str);
    else if (found->elements == 0 && *registered == '\0' && !leased)
        s->verdict = FINE; /* it has ended */
    else if (found->elements == 0 && leased)
        judge(s, HEALS, 3, "has a lease and stands in no list (registered: %s)",
              *registered ? registered : "no");
    else if (found->elements == 0)
        judge(s, BREACH, 2, "is registered as %s and stands in no list", registered);
    else if (*registered == '\0' && (begins(first, "ready:") || strcmp(first, "retry") == 0))
        judge(s, STALE, 2, "was pushed to %s by hand; registered when it is claimed", first);
    else if (!same)
        judge(s, BREACH, 2, "stands in %s and is registered as %s", first,
              *registered ? registered : "nothing");
    else if (active && !leased)
        judge(s, HEALS, 3, "is active at %s without a lease", first + 7);
    else if (!active && leased)
        judge(s, HEALS, 3, "stands in %s and has a lease", first);
    else
        s->verdict = FINE;
}

static int look(struct cli *cli, const char *queue, const struct places *p, struct suspect *s,
                struct error *err)
{
    struct redis_client *redis = cli_redis(cli, err);
    size_t n_payloads = json_array_size(s->payloads);
    const char **argv = calloc(2 + (size_t)p->n + n_payloads, sizeof *argv);
    size_t *lengths = calloc(2 + (size_t)p->n + n_payloads, sizeof *lengths);
    if (redis == NULL || argv == NULL || lengths == NULL) {
        free(argv);
        free(lengths);
        return redis ? out_of_memory(err) : err->code;
    }
    char n_text[16];
    char prefix[QUEUE_KEY_SIZE];
    int argc = 0;
    snprintf(n_text, sizeof n_text, "%d", p->n);
    queue_key(prefix, queue, "");
    argv[argc++] = s->key;
    argv[argc++] = n_text;
    for (int i = 0; i < p->n; i++)
        argv[argc++] = p->names[i];
    for (int i = 0; i < argc; i++)
        lengths[i] = strlen(argv[i]);
    for (size_t i = 0; i < n_payloads; i++) {
        const json_t *payload = json_array_get(s->payloads, i);
        lengths[argc] = json_string_length(payload);
        argv[argc++] = json_string_value(payload);
    }
    redisReply *r = redis_eval_run(redis, &look_script, prefix, argc, argv, lengths, err);
    free(argv);
    free(lengths);
    if (r == NULL)
        return err->code;
    if (r->type == REDIS_REPLY_ARRAY && r->elements == 3)
        judge_standing(s, r->element[0]->str, r->element[1]->len > 0, r->element[2]);
    freeReplyObject(r);
    return 0;
}

/* One round over those that are still suspects; *ret_healing: some may yet be repaired. */
static int look_again(struct cli *cli, const char *queue, struct suspects *suspects, bool *ret_healing,
                      struct error *err)
{
    struct places p = {0};
    int rc = places_read(cli, queue, &p, err);
    if (rc == 0)
        rc = for_each_payload(cli, queue, &p, collect_payload, suspects, err);
    bool healing = false;
    for (size_t i = 0; rc == 0 && i < suspects->n; i++) {
        if (suspects->all[i].verdict == FINE)
            continue;
        rc = look(cli, queue, &p, &suspects->all[i], err);
        healing |= suspects->all[i].verdict == HEALS;
    }
    places_free(&p);
    *ret_healing = healing;
    return rc;
}

static int confirm(struct fsck *f, const char *queue, struct suspects *suspects, struct error *err)
{
    int64_t patience_ms = (f->cli->settings.lease_seconds + f->cli->settings.reconcile_seconds) * 1000;
    int64_t deadline = clock_monotonic_ms() + patience_ms;
    bool healing = suspects->n > 0;
    int rc = 0;
    for (int round = 0; rc == 0 && suspects->n > 0; round++) {
        if (round >= ROUNDS && (!healing || clock_monotonic_ms() > deadline))
            break;
        poll(NULL, 0, round < ROUNDS ? ROUND_MS : 2 * ROUND_MS);
        rc = look_again(f->cli, queue, suspects, &healing, err);
    }
    for (size_t i = 0; rc == 0 && i < suspects->n; i++) {
        const struct suspect *s = &suspects->all[i];
        if (s->verdict != FINE)
            fsck_report(s->verdict == STALE ? f->stale : f->breaches, queue, s->key, s->invariant, "%s",
                        s->message);
    }
    return rc;
}

int fsck_redis(struct fsck *f, const char *queue, struct fsck_keys *ret_keys, struct error *err)
{
    struct places places = {0};
    struct suspects suspects = {0};
    struct fsck_keys keys = {0};
    struct reading reading = {.f = f, .queue = queue, .places = &places};
    char key[QUEUE_KEY_SIZE];
    int rc = places_read(f->cli, queue, &places, err);
    if (rc == 0)
        rc = for_each_payload(f->cli, queue, &places, see_payload, &reading, err);
    if (rc == 0) {
        queue_key(key, queue, ":jobs");
        rc = see_hash(&reading, key, err);
    }
    if (rc == 0) {
        queue_key(key, queue, ":lease");
        rc = see_leases(&reading, key, err);
    }
    if (rc == 0)
        rc = find_suspects(&reading, &suspects, &keys, err);
    free(reading.seen.all);
    places_free(&places);
    if (rc == 0)
        rc = confirm(f, queue, &suspects, err);
    suspects_free(&suspects);
    f->n_jobs += (int64_t)keys.n;
    if (rc) {
        fsck_keys_free(&keys);
        return rc;
    }
    *ret_keys = keys;
    return 0;
}
