#include "objects.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 16384, PARTS_MAX = 10000 };

struct entry {
    struct entry *next;
    char *path;
    struct object object;
};

struct upload {
    struct upload *next;
    uint64_t id;
    char *path;
    char headers[OBJECTS_HEADERS_MAX];
    uint64_t parts[PARTS_MAX];
    uint32_t n_parts;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry *table[BUCKETS];
static struct upload *uploads;
static uint64_t last_upload;

static void *allocate(size_t size)
{
    void *memory = calloc(1, size);
    if (memory == NULL)
        abort();
    return memory;
}

static char *copy(const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(allocate(size), text, size);
}

/* Where the pointer to the path's entry is, or would be. */
static struct entry **find(const char *path)
{
    uint32_t hash = 2166136261u;
    for (const char *c = path; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    struct entry **at = &table[hash % BUCKETS];
    while (*at && strcmp((*at)->path, path) != 0)
        at = &(*at)->next;
    return at;
}

static void put(const char *path, const struct object *object)
{
    struct entry **at = find(path);
    if (*at == NULL) {
        *at = allocate(sizeof **at);
        (*at)->path = copy(path);
    }
    (*at)->object = *object;
}

void objects_put(const char *path, const struct object *object)
{
    pthread_mutex_lock(&lock);
    put(path, object);
    pthread_mutex_unlock(&lock);
}

bool objects_get(const char *path, struct object *ret)
{
    pthread_mutex_lock(&lock);
    const struct entry *entry = *find(path);
    if (entry)
        *ret = entry->object;
    pthread_mutex_unlock(&lock);
    return entry != NULL;
}

void objects_delete(const char *path)
{
    pthread_mutex_lock(&lock);
    struct entry **at = find(path);
    struct entry *entry = *at;
    if (entry) {
        *at = entry->next;
        free(entry->path);
        free(entry);
    }
    pthread_mutex_unlock(&lock);
}

static struct upload **find_upload(uint64_t id)
{
    struct upload **at = &uploads;
    while (*at && (*at)->id != id)
        at = &(*at)->next;
    return at;
}

static void drop_upload(struct upload **at)
{
    struct upload *upload = *at;
    *at = upload->next;
    free(upload->path);
    free(upload);
}

static struct upload *begin(const char *path, const char *headers)
{
    struct upload *upload = allocate(sizeof *upload);
    upload->path = copy(path);
    snprintf(upload->headers, sizeof upload->headers, "%s", headers);
    upload->id = ++last_upload;
    upload->next = uploads;
    uploads = upload;
    return upload;
}

uint64_t uploads_begin(const char *path, const char *headers)
{
    pthread_mutex_lock(&lock);
    uint64_t id = begin(path, headers)->id;
    pthread_mutex_unlock(&lock);
    return id;
}

uint64_t uploads_of(const char *path)
{
    pthread_mutex_lock(&lock);
    const struct upload *upload = uploads;
    while (upload && strcmp(upload->path, path) != 0)
        upload = upload->next;
    if (upload == NULL)
        upload = begin(path, "");
    uint64_t id = upload->id;
    pthread_mutex_unlock(&lock);
    return id;
}

bool uploads_part(uint64_t id, uint32_t number, uint64_t size)
{
    pthread_mutex_lock(&lock);
    struct upload *upload = *find_upload(id);
    if (upload && number == 0)
        number = upload->n_parts + 1;
    bool good = upload && number >= 1 && number <= PARTS_MAX;
    if (good) {
        upload->parts[number - 1] = size;
        upload->n_parts = number > upload->n_parts ? number : upload->n_parts;
    }
    pthread_mutex_unlock(&lock);
    return good;
}

static uint64_t size_of(const struct upload *upload)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < upload->n_parts; i++)
        size += upload->parts[i];
    return size;
}

bool uploads_size(uint64_t id, uint64_t *ret)
{
    pthread_mutex_lock(&lock);
    const struct upload *upload = *find_upload(id);
    if (upload)
        *ret = size_of(upload);
    pthread_mutex_unlock(&lock);
    return upload != NULL;
}

bool uploads_complete(uint64_t id, const char *headers, struct object *ret)
{
    pthread_mutex_lock(&lock);
    struct upload **at = find_upload(id);
    struct upload *upload = *at;
    if (upload) {
        *ret = (struct object){.size = size_of(upload)};
        snprintf(ret->etag, sizeof ret->etag, "%032" PRIx64 "-%u", id, upload->n_parts);
        int n = snprintf(ret->headers, sizeof ret->headers, "%s", upload->headers);
        if (n >= 0 && (size_t)n < sizeof ret->headers)
            snprintf(ret->headers + n, sizeof ret->headers - (size_t)n, "%s", headers);
        put(upload->path, ret);
        drop_upload(at);
    }
    pthread_mutex_unlock(&lock);
    return upload != NULL;
}

bool uploads_abort(uint64_t id)
{
    pthread_mutex_lock(&lock);
    struct upload **at = find_upload(id);
    bool found = *at != NULL;
    if (found)
        drop_upload(at);
    pthread_mutex_unlock(&lock);
    return found;
}

int uploads_open(void)
{
    int n = 0;
    pthread_mutex_lock(&lock);
    for (const struct upload *upload = uploads; upload; upload = upload->next)
        n++;
    pthread_mutex_unlock(&lock);
    return n;
}
