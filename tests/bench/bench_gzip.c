/*
 * bench_gzip [--size MiB] [--rounds N]: the artifact's compression beside zlib's level 1, the same bytes, one
 * thread, rounds interleaved after one of each that isn't counted. The data is the COPY text of an invented
 * table: numbers, times, words, some of it hexadecimal noise.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include "artifact/gzip_stream.h"

enum { ROUNDS_MAX = 15, PIECE = 64 * 1024 };

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t next_random(void)
{
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static size_t make_row(char *out, size_t room, uint64_t row)
{
    static const char *const words[] = {
        "pending", "shipped",  "returned", "invoice", "customer", "wants",     "the",     "parcel",
        "before",  "Tuesday",  "and",      "pays",    "on",       "delivery",  "address", "was",
        "changed", "by",       "phone",    "north",   "road",     "warehouse", "stock",   "order",
        "late",    "discount", "agreed",   "with",    "sales",    "see",       "note",    "above"};
    int n = snprintf(
        out, room, "%" PRIu64 "\t%" PRIu64 "\t2025-%02d-%02d %02d:%02d:%02d.%06d\t%016" PRIx64 "\t%d.%02d\t",
        row, next_random() % 50000, (int)(next_random() % 12 + 1), (int)(next_random() % 28 + 1),
        (int)(next_random() % 24), (int)(next_random() % 60), (int)(next_random() % 60),
        (int)(next_random() % 1000000), next_random(), (int)(next_random() % 900),
        (int)(next_random() % 100));
    for (uint64_t i = next_random() % 20; n > 0 && (size_t)n < room && i > 0; i--)
        n += snprintf(out + n, room - (size_t)n, "%s ", words[next_random() % 32]);
    if (n > 0 && (size_t)n < room - 1)
        out[n++] = '\n';
    return (size_t)n;
}

static int count(void *data, const void *block, size_t n)
{
    (void)block;
    *(size_t *)data += n;
    return 0;
}

static size_t run_ours(const char *data, size_t size)
{
    size_t out = 0;
    struct gzip_stream *gzip = gzip_stream_new(count, &out);
    for (size_t at = 0; at < size; at += PIECE) {
        size_t n = size - at < PIECE ? size - at : PIECE;
        gzip_stream_write(gzip, data + at, n, at + n == size);
    }
    gzip_stream_free(gzip);
    return out;
}

static size_t run_zlib(const char *data, size_t size)
{
    static unsigned char block[512 * 1024];
    size_t out = 0;
    z_stream z = {0};
    if (deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        exit(1);
    for (size_t at = 0; at < size; at += PIECE) {
        size_t n = size - at < PIECE ? size - at : PIECE;
        z.next_in = (unsigned char *)(uintptr_t)(data + at);
        z.avail_in = (uInt)n;
        do {
            z.next_out = block;
            z.avail_out = sizeof block;
            deflate(&z, at + n == size ? Z_FINISH : Z_NO_FLUSH);
            out += sizeof block - z.avail_out;
        } while (z.avail_out == 0);
    }
    deflateEnd(&z);
    return out;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    long size_mib = 128;
    int rounds = 5;
    for (int i = 1; i + 1 < argc; i += 2) {
        long value = atol(argv[i + 1]);
        if (strcmp(argv[i], "--size") == 0 && value > 0)
            size_mib = value;
        else if (strcmp(argv[i], "--rounds") == 0 && value > 0 && value <= ROUNDS_MAX)
            rounds = (int)value;
    }
    size_t size = (size_t)size_mib << 20, filled = 0;
    char *data = malloc(size);
    if (data == NULL)
        return 1;
    for (uint64_t row = 1; filled < size; row++) {
        char line[1024];
        size_t n = make_row(line, sizeof line, row);
        n = n < size - filled ? n : size - filled;
        memcpy(data + filled, line, n);
        filled += n;
    }
    double ours[ROUNDS_MAX], zlib[ROUNDS_MAX];
    size_t ours_size = run_ours(data, size), zlib_size = run_zlib(data, size);
    for (int r = 0; r < rounds; r++) {
        double t = cpu_seconds();
        run_ours(data, size);
        ours[r] = cpu_seconds() - t;
        t = cpu_seconds();
        run_zlib(data, size);
        zlib[r] = cpu_seconds() - t;
    }
    qsort(ours, (size_t)rounds, sizeof *ours, by_value);
    qsort(zlib, (size_t)rounds, sizeof *zlib, by_value);
    double mb = (double)size / 1e6, a = ours[rounds / 2], b = zlib[rounds / 2];
    printf("  %ld MiB of COPY text, median of %d interleaved rounds, CPU time of one thread:\n", size_mib,
           rounds);
    printf("  ours (ISA-L)      %6.0f MB/s  to %4.1f %%\n", mb / a, 100.0 * (double)ours_size / (double)size);
    printf("  zlib %s level 1  %6.0f MB/s  to %4.1f %%\n", zlibVersion(), mb / b,
           100.0 * (double)zlib_size / (double)size);
    printf("  %.1f times zlib's speed\n", b / a);
    free(data);
    return 0;
}
