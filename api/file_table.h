/*
 * Files that were looked at, or are being: a table with a bound. A file that nobody holds is idle and stays
 * until newer ones need its place; one that is held is its user's until file_table_release.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "storage/driver.h"

struct check;
struct place;

enum file_state { FILE_IDLE, FILE_WAITING, FILE_LOOKING };

TAILQ_HEAD(file_list, file);
TAILQ_HEAD(check_list, check);

struct file {
    /* Which: texts in one block behind the struct. disk_identity may be NULL. */
    const char *storage_type, *base_path, *key, *disk_identity;

    /* What the last look found. size < 0: the file was not seen, message (owned) says why. */
    bool known;
    int64_t size;
    char *message;
    int64_t looked_at_ms;

    /* The look under way: file_check.c. */
    enum file_state state;
    bool wanted; /* somebody waits; otherwise a refresh */
    bool late;   /* somebody has given up waiting */
    int64_t started_ms;
    struct place *place;
    struct check_list waiters;
    struct storage_stat stat;
    TAILQ_ENTRY(file) in_place;

    /* The table's. */
    bool held;
    size_t id_size;
    LIST_ENTRY(file) in_bucket;
    TAILQ_ENTRY(file) in_idle;
};

#define FILE_TABLE_BUCKETS 1024
#define FILE_ID_KEPT 1024 /* bytes: files with longer names are forgotten at once */

struct file_table {
    int most_idle, n_idle;
    LIST_HEAD(, file) buckets[FILE_TABLE_BUCKETS];
    struct file_list idle; /* the longest unused first */
};

void file_table_init(struct file_table *table, int most_idle);
/* Frees what is idle; nothing may be held. */
void file_table_deinit(struct file_table *table);

/* The file of these names, a new one when it isn't known; held. NULL: memory is out. Holding twice is fine,
 * one release ends it. */
struct file *file_table_hold(struct file_table *table, const char *storage_type, const char *base_path,
                             const char *key, const char *disk_identity);
/* Idle from now on, or gone: when nothing is known of it, its names are too long, or there are too many. */
void file_table_release(struct file_table *table, struct file *file);

/* What a look found; message is copied (when memory is out: a shorter word). */
void file_set_found(struct file *file, int64_t size, const char *message, int64_t now_ms);
