/* Time. Leases and time-outs use the monotonic clock, what people read the wall clock in UTC. */
#pragma once

#include <stdint.h>

#define CLOCK_ISO8601_SIZE 32

int64_t clock_monotonic_ms(void);
int64_t clock_wall_ms(void); /* since 1970, UTC */

/* "2025-11-02T08:00:00Z" and "2025-11-02T08:00:00.123Z" into out[CLOCK_ISO8601_SIZE]. */
void clock_iso8601(int64_t wall_ms, char *out);
void clock_iso8601_ms(int64_t wall_ms, char *out);
