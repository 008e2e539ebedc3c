/* What has been said about which schedule, so that a bad row is logged once and not at every pass. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct trouble {
    int64_t id;
    uint64_t digest;
    bool seen;
};

struct troubles {
    struct trouble *list;
    size_t n;
    size_t capacity;
};

void troubles_deinit(struct troubles *troubles);

/* Between these two, schedules that are still in trouble are told; the others are forgotten. */
void troubles_begin(struct troubles *troubles);
void troubles_end(struct troubles *troubles);

/* True when this is new. Without memory everything is new. */
bool troubles_tell(struct troubles *troubles, int64_t id, const char *message);
