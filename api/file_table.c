#include "file_table.h"

#include <stdlib.h>
#include <string.h>

void file_table_init(struct file_table *table, int most_idle)
{
    *table = (struct file_table){.most_idle = most_idle};
    TAILQ_INIT(&table->idle);
}

static void forget(struct file *file)
{
    LIST_REMOVE(file, in_bucket);
    free(file->message);
    free(file);
}

static void take_from_idle(struct file_table *table, struct file *file)
{
    TAILQ_REMOVE(&table->idle, file, in_idle);
    table->n_idle--;
}

void file_table_deinit(struct file_table *table)
{
    struct file *file;
    while ((file = TAILQ_FIRST(&table->idle))) {
        take_from_idle(table, file);
        forget(file);
    }
}

/* FNV-1a over the four names, their ends included. */
static unsigned hash_of(const char *const names[4])
{
    uint64_t hash = 14695981039346656037u;
    for (int i = 0; i < 4; i++) {
        const char *c = names[i] ? names[i] : "";
        do
            hash = (hash ^ (unsigned char)*c) * 1099511628211u;
        while (*c++);
    }
    return (unsigned)(hash >> 32) % FILE_TABLE_BUCKETS;
}

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static const char *put(char **at, const char *text)
{
    if (text == NULL)
        return NULL;
    char *copy = *at;
    *at = stpcpy(copy, text) + 1;
    return copy;
}

static struct file *new_file(const char *const names[4])
{
    size_t size = 0;
    for (int i = 0; i < 4; i++)
        size += names[i] ? strlen(names[i]) + 1 : 0;
    struct file *file = calloc(1, sizeof *file + size);
    if (file == NULL)
        return NULL;
    char *at = (char *)(file + 1);
    file->storage_type = put(&at, names[0]);
    file->base_path = put(&at, names[1]);
    file->key = put(&at, names[2]);
    file->disk_identity = put(&at, names[3]);
    file->id_size = size;
    TAILQ_INIT(&file->waiters);
    return file;
}

struct file *file_table_hold(struct file_table *table, const char *storage_type, const char *base_path,
                             const char *key, const char *disk_identity)
{
    const char *const names[4] = {storage_type, base_path, key, disk_identity};
    unsigned bucket = hash_of(names);
    struct file *file;
    LIST_FOREACH(file, &table->buckets[bucket], in_bucket)
    if (same(file->key, key) && same(file->base_path, base_path) && same(file->storage_type, storage_type) &&
        same(file->disk_identity, disk_identity))
        break;
    if (file == NULL) {
        file = new_file(names);
        if (file)
            LIST_INSERT_HEAD(&table->buckets[bucket], file, in_bucket);
    } else if (!file->held)
        take_from_idle(table, file);
    if (file)
        file->held = true;
    return file;
}

void file_table_release(struct file_table *table, struct file *file)
{
    file->held = false;
    if (!file->known || file->id_size > FILE_ID_KEPT) {
        forget(file);
        return;
    }
    TAILQ_INSERT_TAIL(&table->idle, file, in_idle);
    table->n_idle++;
    while (table->n_idle > table->most_idle) {
        struct file *oldest = TAILQ_FIRST(&table->idle);
        take_from_idle(table, oldest);
        forget(oldest);
    }
}

void file_set_found(struct file *file, int64_t size, const char *message, int64_t now_ms)
{
    free(file->message);
    file->message = message ? strdup(message) : NULL;
    file->size = message && file->message == NULL ? -1 : size;
    file->known = message == NULL || file->message; /* nothing is remembered half */
    file->looked_at_ms = now_ms;
}
