/*
 * One client's place in the event_log, and what it wants of it: what the HTTP server reads. Nothing here is
 * asynchronous; events.c wakes streams.
 */
#pragma once

#include <sys/types.h>

#include "event_log.h"
#include "http.h"
#include "route.h"

#define EVENT_TYPES_TEXT "backup, backup_deleted, queue, configuration, operation"

struct event_filter {
    unsigned types;      /* bit per enum event_type; 0 = all */
    int64_t database_id; /* 0 = any; what belongs to no database, or to one unknown, comes too */
    int64_t backup_id;   /* 0 = any; else nothing but this backup's events */
};

bool event_filter_matches(const struct event_filter *filter, const struct event *event);

struct event_stream {
    struct event_stream *next_stream;
    struct events *events;
    struct http_request *request;
    const struct event_log *log;
    struct event_filter filter;
    struct identity identity;
    bool checked; /* whether its identity is still good has been asked since it began */
    int64_t last_ms;
    /* private */
    uint64_t next;   /* the event it reads or will read */
    size_t offset;   /* bytes of it that are out */
    char lines[512]; /* its own, before the next event */
    size_t n_lines;
    bool ends, cut;
};

/* last_event_id may be NULL. live: the log can be relied on; otherwise event_stream_reset follows. */
void event_stream_begin(struct event_stream *stream, const char *last_event_id, bool live);

/* Whatever it was told is out of date; it goes on with what comes. */
void event_stream_reset(struct event_stream *stream, const char *reason);
void event_stream_comment(struct event_stream *stream);
/* It ends behind the event under way. */
void event_stream_end(struct event_stream *stream);

/* There is something that it wants and has not read. */
bool event_stream_has_more(struct event_stream *stream);

/* As http_stream's read. */
ssize_t event_stream_read(struct event_stream *stream, char *buffer, size_t size);
