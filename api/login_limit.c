#include "login_limit.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_SIZE = 32, TRIES_MAX = LOGIN_TRIES_PER_ADDRESS, BUCKETS = 1024 };

/* Names and addresses as digests: any length, and no text of a stranger's is kept. */
struct entry {
    unsigned char key[KEY_SIZE];
    int64_t tries[TRIES_MAX]; /* oldest first */
    int n;
    int next; /* of its bucket; -1 = none */
};

struct login_limit {
    struct entry entries[LOGIN_LIMIT_ENTRIES];
    int n_entries;
    int buckets[BUCKETS];
};

struct login_limit *login_limit_new(void)
{
    struct login_limit *limit = calloc(1, sizeof *limit);
    for (int i = 0; limit && i < BUCKETS; i++)
        limit->buckets[i] = -1;
    return limit;
}

void login_limit_free(struct login_limit *limit)
{
    free(limit);
}

static void make_key(char kind, const char *text, unsigned char key[KEY_SIZE])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned size = 0;
    memset(key, 0, KEY_SIZE); /* without memory all share one entry: too strict rather than too lax */
    if (context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) && EVP_DigestUpdate(context, &kind, 1) &&
        EVP_DigestUpdate(context, text, strlen(text)))
        EVP_DigestFinal_ex(context, key, &size);
    EVP_MD_CTX_free(context);
}

/* Of IPv6 the /64: whoever has one address there has them all. */
static void make_address_key(const char *address, unsigned char key[KEY_SIZE])
{
    struct in6_addr bytes;
    char text[INET6_ADDRSTRLEN];
    if (inet_pton(AF_INET6, address, &bytes) != 1) {
        make_key('a', address, key);
        return;
    }
    if (IN6_IS_ADDR_V4MAPPED(&bytes)) {
        inet_ntop(AF_INET, &bytes.s6_addr[12], text, sizeof text);
    } else {
        memset(&bytes.s6_addr[8], 0, 8);
        inet_ntop(AF_INET6, &bytes, text, sizeof text);
    }
    make_key('a', text, key);
}

static int *bucket_of(struct login_limit *limit, const unsigned char *key)
{
    return &limit->buckets[(key[0] | key[1] << 8) % BUCKETS];
}

static struct entry *find(struct login_limit *limit, const unsigned char *key)
{
    for (int i = *bucket_of(limit, key); i >= 0; i = limit->entries[i].next)
        if (memcmp(limit->entries[i].key, key, KEY_SIZE) == 0)
            return &limit->entries[i];
    return NULL;
}

static int64_t last_try(const struct entry *entry)
{
    return entry->n ? entry->tries[entry->n - 1] : INT64_MIN;
}

/* A free entry, or the one that was silent the longest, out of its bucket. */
static int take_entry(struct login_limit *limit)
{
    if (limit->n_entries < LOGIN_LIMIT_ENTRIES)
        return limit->n_entries++;
    int oldest = 0;
    for (int i = 1; i < LOGIN_LIMIT_ENTRIES; i++)
        if (last_try(&limit->entries[i]) < last_try(&limit->entries[oldest]))
            oldest = i;
    int *link = bucket_of(limit, limit->entries[oldest].key);
    while (*link != oldest)
        link = &limit->entries[*link].next;
    *link = limit->entries[oldest].next;
    return oldest;
}

static struct entry *find_or_make(struct login_limit *limit, const unsigned char *key)
{
    struct entry *entry = find(limit, key);
    if (entry)
        return entry;
    int at = take_entry(limit);
    entry = &limit->entries[at];
    int *bucket = bucket_of(limit, key);
    *entry = (struct entry){.next = *bucket};
    memcpy(entry->key, key, KEY_SIZE);
    *bucket = at;
    return entry;
}

static void forget_old(struct entry *entry, int64_t now_ms)
{
    int old = 0;
    while (old < entry->n && entry->tries[old] <= now_ms - LOGIN_WINDOW_MS)
        old++;
    memmove(entry->tries, entry->tries + old, (size_t)(entry->n - old) * sizeof *entry->tries);
    entry->n -= old;
}

/* 0, or how long until the oldest try that counts is forgotten. */
static int64_t wait_of(struct login_limit *limit, const unsigned char *key, int max, int64_t now_ms)
{
    struct entry *entry = find(limit, key);
    if (entry == NULL)
        return 0;
    forget_old(entry, now_ms);
    return entry->n < max ? 0 : entry->tries[entry->n - max] + LOGIN_WINDOW_MS - now_ms;
}

static void count(struct login_limit *limit, const unsigned char *key, int64_t now_ms)
{
    struct entry *entry = find_or_make(limit, key);
    if (entry->n < TRIES_MAX)
        entry->tries[entry->n++] = now_ms;
}

int64_t login_limit_try(struct login_limit *limit, const char *name, const char *address, int64_t now_ms)
{
    unsigned char by_name[KEY_SIZE], by_address[KEY_SIZE];
    make_key('n', name, by_name);
    int64_t wait_ms = wait_of(limit, by_name, LOGIN_TRIES_PER_NAME, now_ms);
    if (address) {
        make_address_key(address, by_address);
        int64_t other_ms = wait_of(limit, by_address, LOGIN_TRIES_PER_ADDRESS, now_ms);
        wait_ms = other_ms > wait_ms ? other_ms : wait_ms;
    }
    if (wait_ms > 0)
        return wait_ms;
    count(limit, by_name, now_ms);
    if (address)
        count(limit, by_address, now_ms);
    return 0;
}

static void forget_one(struct login_limit *limit, const unsigned char *key)
{
    struct entry *entry = find(limit, key);
    if (entry && entry->n > 0)
        entry->n--;
}

void login_limit_take_back(struct login_limit *limit, const char *name, const char *address)
{
    unsigned char key[KEY_SIZE];
    make_key('n', name, key);
    forget_one(limit, key);
    if (address == NULL)
        return;
    make_address_key(address, key);
    forget_one(limit, key);
}

void login_limit_succeeded(struct login_limit *limit, const char *name, const char *address)
{
    unsigned char key[KEY_SIZE];
    make_key('n', name, key);
    struct entry *entry = find(limit, key);
    if (entry)
        entry->n = 0;
    if (address == NULL)
        return;
    make_address_key(address, key);
    forget_one(limit, key);
}
