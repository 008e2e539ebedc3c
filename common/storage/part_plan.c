#include "storage/part_plan.h"

#include <assert.h>
#include <inttypes.h>

#define MIB (UINT64_C(1) << 20)

uint64_t part_plan_default_size(uint32_t number)
{
    assert(number >= 1 && number <= PART_PLAN_MAX_PARTS);
    uint64_t size = PART_PLAN_BASE_SIZE << (number - 1) / PART_PLAN_STEP;
    return size < PART_PLAN_TOP_SIZE ? size : PART_PLAN_TOP_SIZE;
}

/* Where a part of the default plan begins; number up to one beyond the last. */
static uint64_t default_offset(uint32_t number)
{
    uint64_t offset = 0;
    uint32_t first = 1;
    for (; number - first > PART_PLAN_STEP; first += PART_PLAN_STEP)
        offset += PART_PLAN_STEP * part_plan_default_size(first);
    return number == first ? offset : offset + (number - first) * part_plan_default_size(first);
}

/* Parts of the default plan that hold total; 0 when PART_PLAN_MAX_PARTS don't. */
static uint32_t default_count(uint64_t total)
{
    uint64_t offset = 0;
    for (uint32_t first = 1; first <= PART_PLAN_MAX_PARTS; first += PART_PLAN_STEP) {
        uint64_t size = part_plan_default_size(first);
        if (total - offset <= PART_PLAN_STEP * size) {
            uint32_t more = (uint32_t)((total - offset + size - 1) / size);
            return first - 1 + more > 0 ? first - 1 + more : 1;
        }
        offset += PART_PLAN_STEP * size;
    }
    return 0;
}

static bool default_fits(uint64_t total, uint32_t count, uint32_t max_parts, uint64_t min_size,
                         uint64_t max_size)
{
    if (count == 0 || count > max_parts)
        return false;
    uint64_t largest = count == 1 ? total : part_plan_default_size(count);
    return largest <= max_size && (count == 1 || PART_PLAN_BASE_SIZE >= min_size);
}

static uint64_t divide_up(uint64_t total, uint64_t size)
{
    return total / size + (total % size != 0);
}

/* The next whole MiB, where max_size leaves room for one. */
static uint64_t raised_size(uint64_t least, uint64_t max_size)
{
    return max_size < MIB || least > max_size - MIB ? max_size : divide_up(least, MIB) * MIB;
}

int part_plan_make(uint64_t total, uint64_t part_size, uint32_t max_parts, uint64_t min_size,
                   uint64_t max_size, struct part_plan *ret, struct error *err)
{
    assert(max_parts >= 1 && max_parts <= PART_PLAN_FIXED_PARTS && max_size >= 1 && min_size <= max_size);
    if (divide_up(total, max_size) > max_parts)
        return error_set(err, ERROR_LIMIT, false,
                         "%" PRIu64 " bytes don't fit into %" PRIu32 " parts of at most %" PRIu64
                         " bytes: the store takes no larger object",
                         total, max_parts, max_size);
    uint32_t count = default_count(total);
    if (part_size == 0 && default_fits(total, count, max_parts, min_size, max_size)) {
        *ret = (struct part_plan){.total = total, .count = count};
        return 0;
    }
    uint64_t size = part_size ? part_size : PART_PLAN_BASE_SIZE;
    if (size < min_size)
        size = min_size;
    if (size < max_size && divide_up(total, size) > max_parts)
        size = raised_size(divide_up(total, max_parts), max_size);
    if (size > max_size)
        size = max_size;
    uint64_t parts = divide_up(total, size);
    *ret = (struct part_plan){.fixed_size = size, .total = total, .count = parts ? (uint32_t)parts : 1};
    return 0;
}

bool part_plan_is_default(const struct part_plan *plan)
{
    return plan->fixed_size == 0;
}

uint64_t part_plan_offset(const struct part_plan *plan, uint32_t number)
{
    assert(number >= 1 && number <= plan->count);
    return plan->fixed_size ? (number - 1) * plan->fixed_size : default_offset(number);
}

uint64_t part_plan_size(const struct part_plan *plan, uint32_t number)
{
    uint64_t left = plan->total - part_plan_offset(plan, number);
    uint64_t full = plan->fixed_size ? plan->fixed_size : part_plan_default_size(number);
    return left < full ? left : full;
}
