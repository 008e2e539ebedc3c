#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "storage/part_plan.h"

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* S3's own limits */
#define S3_MIN (5 * MIB)
#define S3_MAX (5 * GIB)
#define DEFAULT_HOLDS ((UINT64_C(1000) * 16 * 255 + UINT64_C(2000) * 4096) * MIB)

static void expect_whole(const struct part_plan *plan, uint32_t max_parts, uint64_t min_size,
                         uint64_t max_size)
{
    uint64_t offset = 0;
    assert_in_range(plan->count, 1, max_parts);
    for (uint32_t number = 1; number <= plan->count; number++) {
        uint64_t size = part_plan_size(plan, number);
        assert_true(part_plan_offset(plan, number) == offset);
        assert_true(size <= max_size);
        assert_true(size >= min_size || number == plan->count);
        assert_true(size > 0 || plan->total == 0);
        offset += size;
    }
    assert_true(offset == plan->total);
}

static void default_plan(void **state)
{
    (void)state;
    static const struct {
        uint64_t total;
        uint32_t count;
        uint64_t last;
    } cases[] = {
        {0, 1, 0},
        {1, 1, 1},
        {16 * MIB - 1, 1, 16 * MIB - 1},
        {16 * MIB, 1, 16 * MIB},
        {16 * MIB + 1, 2, 1},
        {16000 * MIB, 1000, 16 * MIB},
        {16000 * MIB + 1, 1001, 1},
        {16000 * MIB + 32 * MIB + 1, 1002, 1},
        {48000 * MIB, 2000, 32 * MIB},
        {48000 * MIB + 1, 2001, 1},
        {UINT64_C(1000) * 16 * 255 * MIB, 8000, 2048 * MIB},
        {UINT64_C(1000) * 16 * 255 * MIB + 1, 8001, 1},
        {UINT64_C(1000) * (16 * 255 + 4096) * MIB + 1, 9001, 1},
        {DEFAULT_HOLDS, 10000, 4 * GIB},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct part_plan plan;
        struct error err;
        assert_int_equal(part_plan_make(cases[i].total, 0, 10000, S3_MIN, S3_MAX, &plan, &err), 0);
        assert_true(part_plan_is_default(&plan));
        assert_int_equal(plan.count, cases[i].count);
        assert_true(part_plan_size(&plan, plan.count) == cases[i].last);
        expect_whole(&plan, 10000, S3_MIN, S3_MAX);
    }
    assert_true(part_plan_default_size(1000) == 16 * MIB);
    assert_true(part_plan_default_size(1001) == 32 * MIB);
    assert_true(part_plan_default_size(10000) == 4 * GIB);
}

/* Where the default's parts don't suit the store, equal ones are made. */
static void default_gives_way(void **state)
{
    (void)state;
    static const struct {
        uint64_t total, min_size, max_size;
        uint32_t max_parts;
        uint64_t fixed_size;
    } cases[] = {
        {DEFAULT_HOLDS + 1, S3_MIN, S3_MAX, 10000, 1228 * MIB},
        {16000 * MIB + 1, S3_MIN, S3_MAX, 1000, 17 * MIB},
        {100 * MIB, 20 * MIB, S3_MAX, 10000, 20 * MIB},
        {100 * MIB, MIB, 8 * MIB, 10000, 8 * MIB},
        {49000 * MIB, S3_MIN, 16 * MIB, 10000, 16 * MIB},
        {100000 * GIB, 1, 4000 * MIB, 50000, 2048 * MIB}, /* Azure */
        {4000 * GIB, 1, 4000 * MIB, 50000, 82 * MIB},     /* the default's largest parts are too large */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct part_plan plan;
        struct error err;
        assert_int_equal(part_plan_make(cases[i].total, 0, cases[i].max_parts, cases[i].min_size,
                                        cases[i].max_size, &plan, &err),
                         0);
        assert_true(plan.fixed_size == cases[i].fixed_size);
        expect_whole(&plan, cases[i].max_parts, cases[i].min_size, cases[i].max_size);
    }
}

static void fixed_plan(void **state)
{
    (void)state;
    static const struct {
        uint64_t total, part_size;
        uint32_t max_parts;
        uint64_t min_size, max_size;
        uint64_t fixed_size;
        uint32_t count;
    } cases[] = {
        {0, 8 * MIB, 10000, S3_MIN, S3_MAX, 8 * MIB, 1},
        {8 * MIB, 8 * MIB, 10000, S3_MIN, S3_MAX, 8 * MIB, 1},
        {8 * MIB + 1, 8 * MIB, 10000, S3_MIN, S3_MAX, 8 * MIB, 2},
        {12 * MIB, MIB, 10000, S3_MIN, S3_MAX, 5 * MIB, 3},               /* below the store's least */
        {12 * GIB, 6 * GIB, 10000, S3_MIN, S3_MAX, 5 * GIB, 3},           /* above its most */
        {80000 * MIB, 8 * MIB, 10000, S3_MIN, S3_MAX, 8 * MIB, 10000},    /* fits exactly */
        {80000 * MIB + 1, 8 * MIB, 10000, S3_MIN, S3_MAX, 9 * MIB, 8889}, /* raised */
        {100 * KIB, 10 * KIB, 4, KIB, 64 * KIB, 64 * KIB, 2},             /* no room for a whole MiB */
        {50000 * GIB, 8 * MIB, 10000, S3_MIN, S3_MAX, 5 * GIB, 10000},    /* the largest there is */
        {UINT64_MAX, 1, 1, 1, UINT64_MAX, UINT64_MAX, 1},
        {UINT64_MAX, 1, 10000, 1, UINT64_MAX, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct part_plan plan;
        struct error err;
        assert_int_equal(part_plan_make(cases[i].total, cases[i].part_size, cases[i].max_parts,
                                        cases[i].min_size, cases[i].max_size, &plan, &err),
                         0);
        assert_false(part_plan_is_default(&plan));
        if (cases[i].fixed_size) {
            assert_true(plan.fixed_size == cases[i].fixed_size);
            assert_int_equal(plan.count, cases[i].count);
        }
        expect_whole(&plan, cases[i].max_parts, cases[i].min_size, cases[i].max_size);
    }
}

static void too_large(void **state)
{
    (void)state;
    static const struct {
        uint64_t total, part_size;
        uint32_t max_parts;
    } cases[] = {
        {50000 * GIB + 1, 0, 10000}, {50000 * GIB + 1, 5 * GIB, 10000},
        {UINT64_MAX, 0, 10000},      {UINT64_MAX, 8 * MIB, 10000},
        {10 * GIB + 1, 0, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct part_plan plan = {.count = 77};
        struct error err = {0};
        assert_int_equal(part_plan_make(cases[i].total, cases[i].part_size, cases[i].max_parts, S3_MIN,
                                        S3_MAX, &plan, &err),
                         ERROR_LIMIT);
        assert_false(err.retryable);
        assert_non_null(strstr(err.message, "5368709120"));
        assert_int_equal(plan.count, 77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_plan),
        cmocka_unit_test(default_gives_way),
        cmocka_unit_test(fixed_plan),
        cmocka_unit_test(too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
