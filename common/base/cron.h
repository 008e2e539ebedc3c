/*
 * Cron expressions and the instants they name.
 *
 * Five fields: minute 0-59, hour 0-23, day of month 1-31, month 1-12 or jan-dec, day of week 0-7 or sun-sat
 * (0 and 7 are Sunday); lists, ranges and steps as in crontab(5); @yearly @annually @monthly @weekly @daily
 * @midnight @hourly. When both day fields are restricted (neither begins with '*') a day that matches either
 * is meant.
 *
 * Clock changes by cronie's rule. A fixed-time job (neither minute nor hour begins with '*') whose local time
 * is skipped runs right after the gap, once; when it is repeated, on the first pass only. Every other job
 * follows real time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/timezone.h"

/* Bit n stands for the value n. */
struct cron {
    uint64_t minutes;
    uint64_t hours;
    uint64_t days;
    uint64_t months;
    uint64_t weekdays; /* Sunday is bit 0 only */
    bool either_day;   /* both day fields are restricted */
    bool wildcard;     /* minute or hour begins with '*' */
};

/* ERROR_INPUT names field, value and what is allowed; also for an expression that never matches. */
int cron_parse(const char *text, struct cron *ret_cron, struct error *err);

/* The first instant after `after` (Unix seconds, years 1970 to 9000); whole minutes of local time, or the end
 * of a gap. */
int64_t cron_next(const struct cron *cron, const struct time_zone *zone, int64_t after);
