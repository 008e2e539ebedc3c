/*
 * Bits are reflected: bit 63 stands for x^0, and the first byte of a string for the highest powers. With
 * carry-less multiplication, 512 bits of the string are folded onto the next 512 by multiplying them with
 * x^512 modulo the polynomial, down to 128 bits that are congruent to all of it; those, and what is left
 * over, go through the tables.
 */
#include "base/crc64.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define POLYNOMIAL UINT64_C(0x9a6c9329ac4bc9b5) /* reflected */
#define ONE (UINT64_C(1) << 63)
#define SLICES 8

/* Product of two polynomials over GF(2), modulo ours. */
static uint64_t multiply(uint64_t a, uint64_t b)
{
    uint64_t product = 0;
    for (uint64_t bit = ONE; bit; bit >>= 1) {
        if (a & bit)
            product ^= b;
        b = b & 1 ? b >> 1 ^ POLYNOMIAL : b >> 1;
    }
    return product;
}

/* x^n, of base = x^1 or a power of it. */
static uint64_t power(uint64_t base, uint64_t n)
{
    uint64_t result = ONE;
    for (; n; n >>= 1) {
        if (n & 1)
            result = multiply(result, base);
        base = multiply(base, base);
    }
    return result;
}

uint64_t crc64_nvme_combine(uint64_t first, uint64_t second, uint64_t second_size)
{
    /* Bytes behind the first string multiply its remainder by x^8 each; the inversions at both ends cancel
     * each other. */
    return multiply(first, power(ONE >> 8, second_size)) ^ second;
}

static uint64_t table[SLICES][256];
static struct {
    uint64_t low, high; /* of 128 bits: the half with the higher powers stands at the lower address */
} fold_128, fold_512;
static bool has_clmul, forbidden;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void prepare(void)
{
    for (unsigned i = 0; i < 256; i++) {
        uint64_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
        table[0][i] = crc;
    }
    for (unsigned i = 0; i < 256; i++)
        for (int k = 1; k < SLICES; k++)
            table[k][i] = table[k - 1][i] >> 8 ^ table[0][table[k - 1][i] & 0xff];
    /* A product of reflected 64 bits comes out one bit short of 128: x^(n - 1) makes up for it. */
    const uint64_t x = ONE >> 1;
    fold_128.low = power(x, 128 + 64 - 1);
    fold_128.high = power(x, 128 - 1);
    fold_512.low = power(x, 512 + 64 - 1);
    fold_512.high = power(x, 512 - 1);
#if defined(__x86_64__)
    has_clmul = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse2");
#endif
}

static uint64_t by_tables(uint64_t crc, const unsigned char *p, size_t size)
{
    for (; size >= SLICES; p += SLICES, size -= SLICES) {
        uint64_t next = 0;
        for (int i = 0; i < SLICES; i++)
            next ^= table[SLICES - 1 - i][(crc >> (8 * i) & 0xff) ^ p[i]];
        crc = next;
    }
    for (; size > 0; p++, size--)
        crc = crc >> 8 ^ table[0][(crc ^ *p) & 0xff];
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("pclmul,sse2"))) static inline __m128i folded(__m128i value, __m128i by, __m128i onto)
{
    __m128i low = _mm_clmulepi64_si128(value, by, 0x00);
    __m128i high = _mm_clmulepi64_si128(value, by, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), onto);
}

__attribute__((target("pclmul,sse2"))) static inline __m128i load(const unsigned char *p)
{
    __m128i value;
    memcpy(&value, p, sizeof value);
    return value;
}

/* size at least 64 */
__attribute__((target("pclmul,sse2"))) static uint64_t by_clmul(uint64_t crc, const unsigned char *p,
                                                                size_t size)
{
    const __m128i by_128 = _mm_set_epi64x((long long)fold_128.high, (long long)fold_128.low);
    const __m128i by_512 = _mm_set_epi64x((long long)fold_512.high, (long long)fold_512.low);
    __m128i a = _mm_xor_si128(load(p), _mm_set_epi64x(0, (long long)crc));
    __m128i b = load(p + 16), c = load(p + 32), d = load(p + 48);
    for (p += 64, size -= 64; size >= 64; p += 64, size -= 64) {
        a = folded(a, by_512, load(p));
        b = folded(b, by_512, load(p + 16));
        c = folded(c, by_512, load(p + 32));
        d = folded(d, by_512, load(p + 48));
    }
    a = folded(a, by_128, b);
    a = folded(a, by_128, c);
    a = folded(a, by_128, d);
    for (; size >= 16; p += 16, size -= 16)
        a = folded(a, by_128, load(p));
    unsigned char left[16];
    memcpy(left, &a, sizeof left);
    return by_tables(by_tables(0, left, sizeof left), p, size);
}
#endif

uint64_t crc64_nvme(uint64_t crc, const void *data, size_t size)
{
    pthread_once(&once, prepare);
#if defined(__x86_64__)
    if (has_clmul && !forbidden && size >= 64)
        return ~by_clmul(~crc, data, size);
#endif
    return ~by_tables(~crc, data, size);
}

void crc64_nvme_without_clmul(int without)
{
    forbidden = without;
}
