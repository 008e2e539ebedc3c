/*
 * IANA time zones, read from the system's TZif files (RFC 8536, version 2 and later) with their POSIX rule
 * for the times past the table. The process's own zone (TZ, tzset) is neither used nor changed, so any thread
 * may use any zone. Leap seconds ("right/" zones) are not supported.
 *
 * Instants are Unix time in seconds; local times are civil seconds (base/civil.h). Both are meant for the
 * years 1 to 9999.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct time_zone;

/* By name ("Europe/Rome"); "UTC" needs no file. ERROR_INPUT names the zone and the way out. Blocking: one
 * small file. */
int timezone_load(const char *name, struct time_zone **ret_zone, struct error *err);

/* From the bytes of a TZif file, for tests; name is for messages. ERROR_INPUT when they are none. */
int timezone_parse(const char *name, const void *data, size_t n, struct time_zone **ret_zone,
                   struct error *err);

void timezone_free(struct time_zone *zone); /* NULL is fine */

const char *timezone_name(const struct time_zone *zone);

/* A stretch of time with one offset: start <= t < end; INT64_MIN and INT64_MAX stand for no bound.
 * Neighbours may have the same offset. */
struct timezone_span {
    int64_t start;
    int64_t end;
    int64_t offset; /* seconds east of UTC */
};
struct timezone_span timezone_span(const struct time_zone *zone, int64_t utc);

/* UTC to local time. */
int64_t timezone_local(const struct time_zone *zone, int64_t utc);

enum timezone_kind {
    TIMEZONE_ONCE,
    TIMEZONE_SKIPPED,  /* the clock was put forward over this local time */
    TIMEZONE_REPEATED, /* the clock was put back: it shows this local time twice */
};

/* Local time to UTC. ONCE: first == last. SKIPPED: both are the instant right after the gap. REPEATED: the
 * first and the last pass. */
struct timezone_instant {
    enum timezone_kind kind;
    int64_t first;
    int64_t last;
};
struct timezone_instant timezone_utc(const struct time_zone *zone, int64_t local);
