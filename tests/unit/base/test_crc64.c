#include "base/crc64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* As the rule says it, bit by bit. */
static uint64_t by_bits(const unsigned char *data, size_t size)
{
    uint64_t crc = UINT64_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ UINT64_C(0x9a6c9329ac4bc9b5) : crc >> 1;
    }
    return ~crc;
}

static void fill(unsigned char *data, size_t size)
{
    unsigned seed = 7;
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1103515245u + 12345u;
        data[i] = (unsigned char)(seed >> 16);
    }
}

static int with_clmul(void **state)
{
    (void)state;
    crc64_nvme_without_clmul(0);
    return 0;
}

static int without_clmul(void **state)
{
    (void)state;
    crc64_nvme_without_clmul(1);
    return 0;
}

/* The check values of the catalogue, and of the vectors that NVMe's specification publishes: 4 KiB of zeros,
 * of ones. */
static void knows_published_values(void **state)
{
    static unsigned char page[4096];
    (void)state;
    assert_true(crc64_nvme(0, "123456789", 9) == UINT64_C(0xae8b14860a799888));
    assert_true(crc64_nvme(0, "", 0) == 0);
    memset(page, 0, sizeof page);
    assert_true(crc64_nvme(0, page, sizeof page) == UINT64_C(0x6482d367eb22b64e));
    memset(page, 0xff, sizeof page);
    assert_true(crc64_nvme(0, page, sizeof page) == UINT64_C(0xc0ddba7302eca3ac));
}

static void every_length_and_alignment(void **state)
{
    enum { SIZE = 400 };
    unsigned char data[SIZE + 16];
    (void)state;
    fill(data, sizeof data);
    for (size_t at = 0; at < 16; at++)
        for (size_t size = 0; size <= SIZE; size++)
            assert_true(crc64_nvme(0, data + at, size) == by_bits(data + at, size));
}

static void goes_on_where_it_was(void **state)
{
    enum { SIZE = 100000 };
    unsigned char *data = malloc(SIZE);
    (void)state;
    fill(data, SIZE);
    uint64_t whole = by_bits(data, SIZE), crc = 0;
    for (size_t at = 0, step = 1; at < SIZE; at += step, step = step * 3 % 997 + 1) {
        if (step > SIZE - at)
            step = SIZE - at;
        crc = crc64_nvme(crc, data + at, step);
    }
    assert_true(crc == whole);
    free(data);
}

static void combines(void **state)
{
    enum { SIZE = 5000 };
    unsigned char data[SIZE];
    (void)state;
    fill(data, SIZE);
    for (size_t at = 0; at <= SIZE; at += 250) {
        uint64_t first = crc64_nvme(0, data, at), second = crc64_nvme(0, data + at, SIZE - at);
        assert_true(crc64_nvme_combine(first, second, SIZE - at) == by_bits(data, SIZE));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(knows_published_values, with_clmul),
        cmocka_unit_test_setup(knows_published_values, without_clmul),
        cmocka_unit_test_setup(every_length_and_alignment, with_clmul),
        cmocka_unit_test_setup(every_length_and_alignment, without_clmul),
        cmocka_unit_test_setup(goes_on_where_it_was, with_clmul),
        cmocka_unit_test_setup(goes_on_where_it_was, without_clmul),
        cmocka_unit_test(combines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
