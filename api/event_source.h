/*
 * What happens, from PostgreSQL into an event_log: one connection that LISTENs to bm_events
 * (sql/003_api.up.sql) and reads the backups that were touched, all of them in one statement, at most one
 * statement per EVENT_SOURCE_PAUSE_MS however much happens.
 *
 * The log's epochs are this module's: one begins when nothing can be missed from then on, and ends when the
 * connection is lost, or when more happens than can be told.
 */
#pragma once

#include <stdint.h>
#include <uv.h>

#include "base/error.h"
#include "event_log.h"

enum { EVENT_SOURCE_PAUSE_MS = 200 };

struct event_source;

struct event_source_options {
    const char *url;       /* outlives the source */
    struct event_log *log; /* not owned */
    /* From the loop. An epoch has begun: whoever was told something before must load everything anew. */
    void (*on_begun)(void *data, const char *why);
    /* There is more in the log. */
    void (*on_added)(void *data);
    void *data;
};

int event_source_new(uv_loop_t *loop, const struct event_source_options *options,
                     struct event_source **ret_source, struct error *err);

/* Idempotent. Stopped, it has no connection, and writers spare themselves their notifications. */
void event_source_start(struct event_source *source);
void event_source_stop(struct event_source *source);

/* The log is in an epoch that goes on. */
bool event_source_is_live(const struct event_source *source);

/* Something that is known without a question, such as the queues' depths. Not live: left out. on_added runs
 * later. */
void event_source_add(struct event_source *source, enum event_type type, const char *data);

/* The memory goes when the loop has closed the handles; nothing is told any more. NULL does nothing. */
void event_source_close(struct event_source *source);
