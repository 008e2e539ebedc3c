#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "artifact/gzip_stream.h"

struct collected {
    unsigned char *data;
    size_t n;
    size_t largest;
    int refuse_after; /* blocks; < 0: never */
};

static int collect(void *data, const void *block, size_t n)
{
    struct collected *c = data;
    if (c->refuse_after == 0)
        return -42;
    c->refuse_after--;
    c->data = realloc(c->data, c->n + n);
    assert_non_null(c->data);
    memcpy(c->data + c->n, block, n);
    c->n += n;
    c->largest = n > c->largest ? n : c->largest;
    return 0;
}

static int compress_in_pieces(struct collected *out, const unsigned char *data, size_t n, size_t piece)
{
    struct gzip_stream *gzip = gzip_stream_new(collect, out);
    assert_non_null(gzip);
    int rc = 0;
    size_t i = 0;
    for (; rc == 0 && n - i > piece; i += piece)
        rc = gzip_stream_write(gzip, data + i, piece, false);
    if (rc == 0)
        rc = gzip_stream_write(gzip, data + i, n - i, true);
    gzip_stream_free(gzip);
    return rc;
}

static void assert_unzips_to(const struct collected *zipped, const unsigned char *data, size_t n)
{
    unsigned char *out = malloc(n + 1);
    assert_non_null(out);
    z_stream z = {
        .next_in = zipped->data, .avail_in = (uInt)zipped->n, .next_out = out, .avail_out = (uInt)n + 1};
    assert_int_equal(inflateInit2(&z, 16 + MAX_WBITS), Z_OK);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(z.avail_in, 0);
    assert_int_equal(z.total_out, n);
    assert_memory_equal(out, data, n);
    inflateEnd(&z);
    free(out);
}

/* Runs of text and noise, always the same. */
static unsigned char *sample(size_t n)
{
    unsigned char *data = malloc(n + 1);
    assert_non_null(data);
    uint32_t x = 12345;
    for (size_t i = 0; i < n; i++) {
        x = x * 1664525 + 1013904223;
        data[i] = (i >> 16) & 1 ? (unsigned char)(x >> 24)
                                : (unsigned char)("0123456789abcdef\t\n"[(x >> 24) % 18]);
    }
    return data;
}

static void zlib_reads_every_size_in_any_pieces(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 2, 1000, 65535, 65536, 65537, 3000001};
    static const size_t pieces[] = {1, 7, 4096, 262144, 10000000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *data = sample(sizes[i]);
        for (size_t k = 0; k < sizeof pieces / sizeof *pieces; k++) {
            if (sizes[i] > 100000 && pieces[k] < 100)
                continue;
            struct collected out = {.refuse_after = -1};
            assert_int_equal(compress_in_pieces(&out, data, sizes[i], pieces[k]), 0);
            assert_unzips_to(&out, data, sizes[i]);
            assert_true(out.largest <= GZIP_STREAM_BLOCK);
            free(out.data);
        }
        free(data);
    }
}

static void equal_input_gives_equal_output_without_a_time(void **state)
{
    (void)state;
    unsigned char *data = sample(100000);
    struct collected a = {.refuse_after = -1}, b = {.refuse_after = -1};
    assert_int_equal(compress_in_pieces(&a, data, 100000, 262144), 0);
    assert_int_equal(compress_in_pieces(&b, data, 100000, 262144), 0);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.data, b.data, a.n);
    assert_memory_equal(a.data + 3, "\0\0\0\0\0", 5);
    free(a.data);
    free(b.data);
    free(data);
}

static void a_sink_that_refuses_ends_the_stream(void **state)
{
    (void)state;
    unsigned char *data = sample(3000000);
    for (int blocks = 0; blocks < 3; blocks++) {
        struct collected out = {.refuse_after = blocks};
        assert_int_equal(compress_in_pieces(&out, data, 3000000, 262144), -42);
        free(out.data);
    }
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zlib_reads_every_size_in_any_pieces),
        cmocka_unit_test(equal_input_gives_equal_output_without_a_time),
        cmocka_unit_test(a_sink_that_refuses_ends_the_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
