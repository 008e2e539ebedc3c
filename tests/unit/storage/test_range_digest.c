#include "harness.h"

#include "base/crc64.h"
#include "storage/part_digests.h"
#include "storage/range_digest.h"

struct run {
    struct range_digest range;
    int done;
    bool ok;
    struct range_sums sums;
    struct error err;
};

static void on_done(void *data, const struct range_sums *sums, const struct error *err)
{
    struct run *run = data;
    assert_true((sums == NULL) == (err != NULL));
    run->done++;
    run->ok = sums != NULL;
    if (sums)
        run->sums = *sums;
    else
        run->err = *err;
}

static void digest(struct run *run, bool cancelled)
{
    uv_loop_t loop;
    struct error err;
    uv_loop_init(&loop);
    run->range.loop = &loop;
    run->range.done = on_done;
    run->range.data = run;
    assert_int_equal(range_digest_start(&run->range, &err), 0);
    assert_int_equal(run->done, 0);
    if (cancelled)
        range_digest_cancel(&run->range);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(run->done, 1);
}

/* More than one slice of 16 MiB, and ranges that begin and end anywhere. */
static void sums_of_a_range(void **state)
{
    (void)state;
    struct artifact a = artifact_make((34 << 20) + 7, 3);
    static const size_t ranges[][2] = {
        {0, 0}, {0, 1}, {5, 100000}, {1 << 20, 16 << 20}, {3, (33 << 20) + 1}, {0, (34 << 20) + 7}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        const unsigned char *data = a.data + ranges[i][0];
        size_t size = ranges[i][1];
        unsigned char md5[16], whole_md5[16];
        char sha256[DIGEST_SHA256_SIZE], found[DIGEST_SHA256_SIZE];
        struct run run = {.range = {.fd = a.fd,
                                    .offset = ranges[i][0],
                                    .size = size,
                                    .wanted = RANGE_SHA256 | RANGE_MD5 | RANGE_CRC32C | RANGE_CRC64,
                                    .whole = digest_new(),
                                    .whole_md5 = EVP_MD_CTX_new()}};
        EVP_DigestInit_ex(run.range.whole_md5, EVP_md5(), NULL);
        digest(&run, false);
        assert_true(run.ok);
        harness_sha256(data, size, sha256);
        digest_to_hex(run.sums.sha256, found);
        assert_string_equal(found, sha256);
        digest_final(run.range.whole, found);
        assert_string_equal(found, sha256);
        EVP_Digest(data, size, md5, NULL, EVP_md5(), NULL);
        assert_memory_equal(run.sums.md5, md5, sizeof md5);
        EVP_DigestFinal_ex(run.range.whole_md5, whole_md5, NULL);
        assert_memory_equal(whole_md5, md5, sizeof md5);
        assert_int_equal(run.sums.crc32c, part_crc32c(0, data, size));
        assert_true(run.sums.crc64 == crc64_nvme(0, data, size));
        digest_free(run.range.whole);
        EVP_MD_CTX_free(run.range.whole_md5);
    }
    artifact_free(&a);
}

static void what_goes_wrong(void **state)
{
    (void)state;
    struct artifact a = artifact_make(1000, 3);
    struct run beyond = {.range = {.fd = a.fd, .offset = 900, .size = 101, .wanted = RANGE_CRC32C}};
    digest(&beyond, false);
    assert_int_equal(beyond.err.code, ERROR_CORRUPT);
    assert_true(beyond.err.retryable);
    assert_non_null(strstr(beyond.err.message, "shorter"));

    int fd = open(harness_root, O_RDONLY | O_DIRECTORY);
    struct run directory = {.range = {.fd = fd, .size = 1, .wanted = RANGE_MD5}};
    digest(&directory, false);
    assert_true(directory.err.code < 0);
    close(fd);
    artifact_free(&a);
}

static void cancelled(void **state)
{
    (void)state;
    struct artifact a = {.fd = open(harness_root, O_RDWR | O_TMPFILE, 0600)};
    assert_int_equal(ftruncate(a.fd, (off_t)64 << 30), 0); /* hours, were it not cancelled */
    struct run run = {.range = {.fd = a.fd, .size = (uint64_t)64 << 30, .wanted = RANGE_MD5 | RANGE_SHA256}};
    digest(&run, true);
    assert_int_equal(run.err.code, ERROR_CANCELLED);
    assert_true(run.err.retryable);
    close(a.fd);
}

static int setup(void **state)
{
    (void)state;
    harness_make_root();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    harness_remove_tree(harness_root);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_of_a_range),
        cmocka_unit_test(what_goes_wrong),
        cmocka_unit_test(cancelled),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
