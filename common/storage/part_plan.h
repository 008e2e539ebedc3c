/*
 * How an object is cut into parts. The default plan depends on the part's number only, not on the total, so
 * that digests per part can be made while the artifact is being staged: 16 MiB for parts 1 to 1,000, doubled
 * for every further 1,000, at most 4 GiB (S3 takes parts of up to 5 GiB). 10,000 parts (S3's limit) hold 11.7
 * TiB.
 *
 * A fixed plan (stores that demand equal parts, or a destination's "part_size") has equal parts, the last one
 * smaller; its size is raised, in whole MiB, when max_parts would not be enough. It may have more parts than
 * the default plan, where the store takes them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define PART_PLAN_BASE_SIZE (UINT64_C(16) << 20)
#define PART_PLAN_TOP_SIZE (UINT64_C(4) << 30)
#define PART_PLAN_STEP 1000
#define PART_PLAN_MAX_PARTS 10000   /* of the default plan */
#define PART_PLAN_FIXED_PARTS 50000 /* of a fixed one: Azure */

struct part_plan {
    uint64_t fixed_size; /* 0 = the default plan */
    uint64_t total;      /* bytes of the object */
    uint32_t count;      /* parts; at least 1, also for an empty object */
};

/* part_size 0 = the default plan, or a fixed one where the default's parts are too many, too small or too
 * large for the store. min_size, max_size: what the store allows for a part (the last one may be smaller);
 * part_size is moved into these bounds. max_parts at most PART_PLAN_FIXED_PARTS. ERROR_LIMIT: total doesn't
 * fit into max_parts parts of max_size; the message says so with figures. */
int part_plan_make(uint64_t total, uint64_t part_size, uint32_t max_parts, uint64_t min_size,
                   uint64_t max_size, struct part_plan *ret, struct error *err);
bool part_plan_is_default(const struct part_plan *plan);
uint64_t part_plan_default_size(uint32_t number); /* of a full part of the default plan; number from 1 */
uint64_t part_plan_offset(const struct part_plan *plan, uint32_t number); /* number from 1 */
uint64_t part_plan_size(const struct part_plan *plan, uint32_t number);
