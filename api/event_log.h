/*
 * The latest events of one server, as they go out to event streams: a ring, bounded in number and bytes, that
 * all streams read from at their own places. Slow streams cost nothing: what they have not taken in time is
 * gone, and they begin anew.
 *
 * An event's id is "<time>-<epoch>-<number>". An epoch is a period without gaps: every change since its
 * beginning stands here, or stood here and was forgotten for newer ones. The time is PostgreSQL's, in ms: all
 * changes committed until then (EVENT_LOG_MARGIN_MS less) are told by this event and those before it. So a
 * client that comes from another server of ours can go on here: some events it gets twice, none it misses.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EVENT_LOG_MAX 4096
#define EVENT_LOG_BYTES_MAX ((size_t)4 << 20)
#define EVENT_LOG_MARGIN_MS 30000
#define EVENT_ID_SIZE 64

enum event_type {
    EVENT_BACKUP,
    EVENT_BACKUP_DELETED,
    EVENT_QUEUE,
    EVENT_CONFIGURATION,
    EVENT_OPERATION,
    EVENT_TYPES,
};

/* "backup", "backup_deleted", "queue", "configuration", "operation", NULL. */
extern const char *const event_type_names[EVENT_TYPES + 1];

struct event {
    int64_t at_ms;
    enum event_type type;
    int64_t backup_id;   /* 0 = of none */
    int64_t database_id; /* 0 = of none, or unknown */
    char *text;          /* all its lines, the empty one too */
    size_t size;
};

struct event_log {
    uint32_t epoch;
    int64_t since_ms;     /* every change since then is in the epoch; INT64_MAX = not known */
    int64_t at_ms;        /* the latest event's, or the epoch's beginning */
    int64_t forgotten_ms; /* the latest forgotten event's; 0 = none */
    uint64_t first, next; /* numbers of the oldest event here, and of the one to come */
    size_t bytes;
    struct event ring[EVENT_LOG_MAX];
};

/* All zero is a log before its first epoch. */
void event_log_deinit(struct event_log *log);

/* Forgets all events and begins an epoch. */
void event_log_begin(struct event_log *log, int64_t at_ms);

/* data: one JSON value, copied; line breaks in it become blanks. at_ms: not before the last one's. False:
 * memory is out, and there is a gap now: event_log_begin must follow. */
bool event_log_add(struct event_log *log, const struct event *facts, const char *data);

/* NULL: forgotten, or not there yet (number >= log->next). */
const struct event *event_log_get(const struct event_log *log, uint64_t number);

/* The id that stands for all that is here. */
void event_log_id(const struct event_log *log, char id[EVENT_ID_SIZE]);

/* Where a client goes on that has seen everything up to `id`. False: that is not known here any more, or
 * never was. */
bool event_log_find(const struct event_log *log, const char *id, uint64_t *ret_number);
