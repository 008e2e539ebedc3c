#include "harness.h"

#include <openssl/evp.h>

#include "base/crc64.h"
#include "storage/part_digests.h"
#include "storage/part_plan.h"

static int dir_fd;

static int setup(void **state)
{
    (void)state;
    harness_make_root();
    dir_fd = open(harness_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir_fd < 0;
}

static int teardown(void **state)
{
    (void)state;
    close(dir_fd);
    harness_remove_tree(harness_root);
    return 0;
}

/* The published check value, and RFC 3720 B.4 */
static void crc32c_known_answers(void **state)
{
    (void)state;
    unsigned char zeros[32] = {0}, ones[32], rising[32];
    memset(ones, 0xff, sizeof ones);
    for (size_t i = 0; i < sizeof rising; i++)
        rising[i] = (unsigned char)i;
    assert_int_equal(part_crc32c(0, "", 0), 0);
    assert_int_equal(part_crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(part_crc32c(part_crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
    assert_int_equal(part_crc32c(0, zeros, sizeof zeros), 0x8a9136aa);
    assert_int_equal(part_crc32c(0, ones, sizeof ones), 0x62a8ab43);
    assert_int_equal(part_crc32c(0, rising, sizeof rising), 0x46dd794e);
}

static void crc32c_combined_is_crc32c_of_the_whole(void **state)
{
    (void)state;
    struct artifact a = artifact_make(100000, 3);
    uint32_t whole = part_crc32c(0, a.data, a.size);
    static const size_t cuts[] = {0, 1, 2, 3, 255, 256, 4095, 65536, 99999, 100000};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        uint32_t first = part_crc32c(0, a.data, cuts[i]);
        uint32_t second = part_crc32c(0, a.data + cuts[i], a.size - cuts[i]);
        assert_int_equal(part_crc32c_combine(first, second, a.size - cuts[i]), whole);
    }
    uint32_t crc = 0;
    for (size_t at = 0, n = 1; at < a.size; at += n, n = 2 * n + 1) {
        n = n < a.size - at ? n : a.size - at;
        crc = part_crc32c_combine(crc, part_crc32c(0, a.data + at, n), n);
    }
    assert_int_equal(crc, whole);
    artifact_free(&a);
}

/* Lengths beyond 32 bits: zeros behind a string, doubled again and again. */
static void crc32c_combined_over_large_lengths(void **state)
{
    (void)state;
    unsigned char zero[4096] = {0};
    uint32_t crc = part_crc32c(0, zero, sizeof zero);
    uint64_t size = sizeof zero;
    for (; size < UINT64_C(1) << 34; size *= 2)
        crc = part_crc32c_combine(crc, crc, size);
    uint32_t by_steps = part_crc32c(0, "x", 1);
    for (int i = 0; i < 16; i++) {
        uint32_t sixteenth = part_crc32c(0, zero, sizeof zero);
        for (uint64_t n = sizeof zero; n < size / 16; n *= 2)
            sixteenth = part_crc32c_combine(sixteenth, sixteenth, n);
        by_steps = part_crc32c_combine(by_steps, sixteenth, size / 16);
    }
    assert_int_equal(part_crc32c_combine(part_crc32c(0, "x", 1), crc, size), by_steps);
}

static bool with_md5;

static struct part_digests *digest_in_pieces(const unsigned char *data, size_t size, size_t piece,
                                             char *sha256)
{
    struct part_digester *digester = part_digester_new();
    assert_non_null(digester);
    if (with_md5)
        assert_true(part_digester_want_md5(digester));
    for (size_t at = 0, n; at < size; at += n) {
        n = piece < size - at ? piece : size - at;
        part_digester_update(digester, data + at, n);
    }
    part_digester_update(digester, data, 0);
    struct part_digests *digests = part_digester_finish(digester);
    assert_non_null(digests);
    part_digester_sha256(digester, sha256);
    part_digester_free(digester);
    return digests;
}

static void expect_digests_of(const struct part_digests *digests, const struct artifact *a)
{
    struct part_plan plan;
    struct error err;
    assert_int_equal(part_plan_make(a->size, 0, 10000, 0, UINT64_MAX, &plan, &err), 0);
    assert_int_equal(digests->total, a->size);
    assert_int_equal(digests->count, plan.count);
    uint32_t crc = 0;
    for (uint32_t i = 0; i < digests->count; i++) {
        const unsigned char *data = a->data + part_plan_offset(&plan, i + 1);
        size_t size = part_plan_size(&plan, i + 1);
        char expected[DIGEST_SHA256_SIZE], found[DIGEST_SHA256_SIZE];
        harness_sha256(data, size, expected);
        digest_to_hex(digests->parts[i].sha256, found);
        assert_string_equal(found, expected);
        assert_int_equal(digests->parts[i].size, size);
        assert_int_equal(digests->parts[i].crc32c, part_crc32c(0, data, size));
        assert_true(digests->parts[i].crc64 == crc64_nvme(0, data, size));
        crc = part_crc32c_combine(crc, digests->parts[i].crc32c, size);
    }
    assert_int_equal(crc, part_crc32c(0, a->data, a->size));
    unsigned char md5[PART_MD5_BYTES];
    assert_int_equal(digests->has_md5, with_md5);
    EVP_Digest(a->data, a->size, md5, NULL, EVP_md5(), NULL);
    if (with_md5)
        assert_memory_equal(digests->md5, md5, sizeof md5);
}

static void pieces_of_any_size(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,
                                   1,
                                   70000,
                                   PART_PLAN_BASE_SIZE - 1,
                                   PART_PLAN_BASE_SIZE,
                                   PART_PLAN_BASE_SIZE + 1,
                                   2 * PART_PLAN_BASE_SIZE,
                                   2 * PART_PLAN_BASE_SIZE + 12345};
    static const size_t pieces[] = {4093, 524288, PART_PLAN_BASE_SIZE, 40 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct artifact a = artifact_make(sizes[i], (unsigned)i);
        for (size_t k = 0; k < sizeof pieces / sizeof *pieces; k++) {
            char sha256[DIGEST_SHA256_SIZE];
            with_md5 = k == 1;
            struct part_digests *digests = digest_in_pieces(a.data, a.size, pieces[k], sha256);
            expect_digests_of(digests, &a);
            assert_string_equal(sha256, a.sha256);
            part_digests_free(digests);
        }
        artifact_free(&a);
    }
    part_digests_free(NULL);
    part_digester_free(NULL);
}

static void write_and_read(void)
{
    struct artifact a = artifact_make(PART_PLAN_BASE_SIZE + 5, 1);
    char sha256[DIGEST_SHA256_SIZE];
    struct error err = {0};
    struct part_digests *digests = digest_in_pieces(a.data, a.size, 1 << 20, sha256), *found = NULL;
    harness_write_file(harness_path("d.tmp"), "left by a crash");
    assert_int_equal(part_digests_write(dir_fd, "d", digests, a.sha256, &err), 0);
    assert_int_equal(faccessat(dir_fd, "d.tmp", F_OK, 0), -1);
    assert_int_equal(part_digests_write(dir_fd, "d", digests, a.sha256, &err), 0); /* over an older one */
    assert_int_equal(part_digests_read(dir_fd, "d", a.size, a.sha256, &found, &err), 0);
    expect_digests_of(found, &a);
    part_digests_free(found);

    found = NULL;
    assert_int_equal(part_digests_read(dir_fd, "none", a.size, a.sha256, &found, &err), ERROR_NOT_FOUND);
    assert_int_equal(part_digests_read(dir_fd, "d", a.size + 1, a.sha256, &found, &err), ERROR_CORRUPT);
    a.sha256[0] = a.sha256[0] == '0' ? '1' : '0';
    assert_int_equal(part_digests_read(dir_fd, "d", a.size, a.sha256, &found, &err), ERROR_CORRUPT);
    assert_int_equal(part_digests_write(dir_fd, "e", digests, "no digest", &err), ERROR_SYSTEM);
    assert_null(found);
    part_digests_free(digests);
    artifact_free(&a);
}

static void written_and_read(void **state)
{
    (void)state;
    with_md5 = false;
    write_and_read();
    with_md5 = true;
    write_and_read();
}

/* Each byte changed, each length cut: never taken for good. */
static void damage_is_seen(void **state)
{
    (void)state;
    struct artifact a = artifact_make(1000, 1);
    char sha256[DIGEST_SHA256_SIZE];
    unsigned char good[512], bad[512];
    struct error err = {0};
    struct part_digests *digests = digest_in_pieces(a.data, a.size, 100, sha256), *found = NULL;
    assert_int_equal(part_digests_write(dir_fd, "d", digests, a.sha256, &err), 0);
    int fd = openat(dir_fd, "d", O_RDWR);
    size_t size = (size_t)read(fd, good, sizeof good);
    assert_in_range(size, 60, 500);
    size = size < sizeof good ? size : 0;
    for (size_t i = 0; i < size; i++) {
        memcpy(bad, good, size);
        bad[i] ^= 0x10;
        assert_int_equal(pwrite(fd, bad, size, 0), size);
        assert_int_equal(part_digests_read(dir_fd, "d", a.size, a.sha256, &found, &err), ERROR_CORRUPT);
    }
    assert_int_equal(pwrite(fd, good, size, 0), size);
    for (size_t cut = 0; cut < size; cut++) {
        assert_int_equal(ftruncate(fd, (off_t)cut), 0);
        assert_int_equal(part_digests_read(dir_fd, "d", a.size, a.sha256, &found, &err), ERROR_CORRUPT);
        assert_int_equal(pwrite(fd, good, size, 0), size);
    }
    assert_int_equal(pwrite(fd, "x", 1, (off_t)size), 1);
    assert_int_equal(part_digests_read(dir_fd, "d", a.size, a.sha256, &found, &err), ERROR_CORRUPT);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    assert_int_equal(part_digests_read(dir_fd, "d", a.size, a.sha256, &found, &err), 0);
    close(fd);
    part_digests_free(found);
    part_digests_free(digests);
    artifact_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_known_answers),
        cmocka_unit_test(crc32c_combined_is_crc32c_of_the_whole),
        cmocka_unit_test(crc32c_combined_over_large_lengths),
        cmocka_unit_test(pieces_of_any_size),
        cmocka_unit_test(written_and_read),
        cmocka_unit_test(damage_is_seen),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
