#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t read_ms(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t clock_monotonic_ms(void)
{
    return read_ms(CLOCK_MONOTONIC);
}

int64_t clock_wall_ms(void)
{
    return read_ms(CLOCK_REALTIME);
}

static struct tm utc(int64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm = {0};
    gmtime_r(&seconds, &tm);
    return tm;
}

void clock_iso8601(int64_t wall_ms, char *out)
{
    struct tm tm = utc(wall_ms);
    strftime(out, CLOCK_ISO8601_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

void clock_iso8601_ms(int64_t wall_ms, char *out)
{
    struct tm tm = utc(wall_ms);
    size_t n = strftime(out, CLOCK_ISO8601_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, CLOCK_ISO8601_SIZE - n, ".%03dZ", (int)(wall_ms % 1000));
}
