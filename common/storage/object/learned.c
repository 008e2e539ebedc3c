#include "storage/object/learned.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define ENTRIES 256

struct entry {
    char place[640]; /* endpoint, a blank, and the container for a word; "" = free */
    char word[64];
    int64_t offset_ms;
};

static struct entry table[ENTRIES];
static size_t next; /* the one to give up next */

/* False when it doesn't fit: then nothing is remembered. */
static bool place_of(const char *endpoint, const char *container, char *out, size_t size)
{
    int n = snprintf(out, size, "%s %s", endpoint, container);
    return n > 0 && (size_t)n < size;
}

/* Entries fill up in their order: behind a free one all are. */
static struct entry *find(const char *place)
{
    for (size_t i = 0; i < ENTRIES && table[i].place[0]; i++)
        if (strcmp(table[i].place, place) == 0)
            return &table[i];
    return NULL;
}

static struct entry *find_or_add(const char *place)
{
    struct entry *entry = find(place);
    if (entry)
        return entry;
    entry = &table[next];
    next = (next + 1) % ENTRIES;
    *entry = (struct entry){0};
    memcpy(entry->place, place, strlen(place) + 1);
    return entry;
}

const char *object_learned_word(const char *endpoint, const char *container)
{
    char place[sizeof table[0].place];
    if (!place_of(endpoint, container, place, sizeof place))
        return NULL;
    const struct entry *entry = find(place);
    return entry ? entry->word : NULL;
}

void object_learn_word(const char *endpoint, const char *container, const char *word)
{
    char place[sizeof table[0].place];
    if (!place_of(endpoint, container, place, sizeof place))
        return;
    struct entry *entry = find_or_add(place);
    snprintf(entry->word, sizeof entry->word, "%s", word);
}

int64_t object_learned_clock_ms(const char *endpoint)
{
    char place[sizeof table[0].place];
    if (!place_of(endpoint, "", place, sizeof place))
        return 0;
    const struct entry *entry = find(place);
    return entry ? entry->offset_ms : 0;
}

void object_learn_clock_ms(const char *endpoint, int64_t offset_ms)
{
    char place[sizeof table[0].place];
    if (place_of(endpoint, "", place, sizeof place))
        find_or_add(place)->offset_ms = offset_ms;
}

void object_learned_forget(void)
{
    memset(table, 0, sizeof table);
    next = 0;
}
