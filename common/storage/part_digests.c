#include "storage/part_digests.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <isa-l/crc.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc64.h"
#include "base/regular_file.h"
#include "storage/part_plan.h"

#define CRC32C_POLYNOMIAL 0x82f63b78u /* bit 31 is x^0 */

uint32_t part_crc32c(uint32_t crc, const void *data, size_t size)
{
    enum { PIECE = 1 << 30 }; /* ISA-L counts in int */
    const unsigned char *p = data;
    crc = ~crc;
    for (size_t n; size > 0; p += n, size -= n) {
        n = size < PIECE ? size : PIECE;
        crc = crc32_iscsi((unsigned char *)(uintptr_t)p, (int)n, crc);
    }
    return ~crc;
}

/* Product of two polynomials over GF(2), modulo CRC32C's. */
static uint32_t multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (uint32_t bit = UINT32_C(1) << 31; bit; bit >>= 1) {
        if (a & bit)
            product ^= b;
        b = b & 1 ? b >> 1 ^ CRC32C_POLYNOMIAL : b >> 1;
    }
    return product;
}

uint32_t part_crc32c_combine(uint32_t first, uint32_t second, uint64_t second_size)
{
    /* Bytes behind the first string multiply its remainder by x^8 each; the inversions at both ends cancel
     * each other. */
    if (first == 0)
        return second;
    uint32_t factor = UINT32_C(1) << 31;                                       /* 1 */
    for (uint32_t power = UINT32_C(1) << 23; second_size; second_size >>= 1) { /* x^8, squared on */
        if (second_size & 1)
            factor = multiply(factor, power);
        power = multiply(power, power);
    }
    return multiply(first, factor) ^ second;
}

void part_digests_free(struct part_digests *digests)
{
    if (digests == NULL)
        return;
    free(digests->parts);
    free(digests);
}

/* --- while the bytes pass by --- */

struct part_digester {
    struct digest *whole;
    struct digest *part; /* from the second one on */
    EVP_MD_CTX *md5;     /* NULL = not wanted */
    struct part_digest *parts;
    uint32_t capacity;
    uint32_t count; /* the one under way included */
    uint64_t total;
    bool failed; /* parts are given up; the whole's digest goes on */
};

struct part_digester *part_digester_new(void)
{
    struct part_digester *digester = calloc(1, sizeof *digester);
    if (digester == NULL)
        return NULL;
    digester->whole = digest_new();
    digester->part = digest_new();
    if (digester->whole == NULL || digester->part == NULL) {
        part_digester_free(digester);
        return NULL;
    }
    return digester;
}

void part_digester_free(struct part_digester *digester)
{
    if (digester == NULL)
        return;
    digest_free(digester->whole);
    digest_free(digester->part);
    EVP_MD_CTX_free(digester->md5);
    free(digester->parts);
    free(digester);
}

bool part_digester_want_md5(struct part_digester *digester)
{
    assert(digester->total == 0 && digester->md5 == NULL);
    digester->md5 = EVP_MD_CTX_new();
    if (digester->md5 && EVP_DigestInit_ex(digester->md5, EVP_md5(), NULL) == 1)
        return true;
    EVP_MD_CTX_free(digester->md5);
    digester->md5 = NULL;
    return false;
}

static void begin_part(struct part_digester *digester)
{
    if (digester->count == PART_PLAN_MAX_PARTS) {
        digester->failed = true;
        return;
    }
    if (digester->count == digester->capacity) {
        uint32_t capacity = digester->capacity ? 2 * digester->capacity : 4;
        struct part_digest *parts = realloc(digester->parts, capacity * sizeof *parts);
        digester->failed = parts == NULL;
        if (parts == NULL)
            return;
        digester->parts = parts;
        digester->capacity = capacity;
    }
    digester->parts[digester->count++] = (struct part_digest){0};
    if (digester->count > 1)
        digest_reset(digester->part);
}

static void end_part(struct part_digester *digester)
{
    if (digester->count == 1)
        digest_copy(digester->part, digester->whole);
    digest_final_bytes(digester->part, digester->parts[digester->count - 1].sha256);
}

static bool part_is_full(const struct part_digester *digester)
{
    return digester->count > 0 &&
           digester->parts[digester->count - 1].size == part_plan_default_size(digester->count);
}

void part_digester_update(struct part_digester *digester, const void *data, size_t size)
{
    const unsigned char *p = data;
    while (size > 0) {
        if (!digester->failed && (digester->count == 0 || part_is_full(digester)))
            begin_part(digester);
        size_t n = size;
        if (!digester->failed) {
            struct part_digest *part = &digester->parts[digester->count - 1];
            uint64_t room = part_plan_default_size(digester->count) - part->size;
            n = size < room ? size : (size_t)room;
            part->size += n;
            part->crc32c = part_crc32c(part->crc32c, p, n);
            part->crc64 = crc64_nvme(part->crc64, p, n);
            if (digester->count > 1)
                digest_update(digester->part, p, n);
        }
        digest_update(digester->whole, p, n);
        if (digester->md5)
            EVP_DigestUpdate(digester->md5, p, n);
        digester->total += n;
        if (!digester->failed && part_is_full(digester))
            end_part(digester);
        p += n;
        size -= n;
    }
}

struct part_digests *part_digester_finish(struct part_digester *digester)
{
    if (!digester->failed && digester->count == 0)
        begin_part(digester);
    if (!digester->failed && !part_is_full(digester))
        end_part(digester);
    struct part_digests *digests = digester->failed ? NULL : malloc(sizeof *digests);
    if (digests == NULL)
        return NULL;
    *digests =
        (struct part_digests){.total = digester->total, .count = digester->count, .parts = digester->parts};
    digests->has_md5 = digester->md5 && EVP_DigestFinal_ex(digester->md5, digests->md5, NULL) == 1;
    digester->parts = NULL;
    digester->failed = true;
    return digests;
}

void part_digester_sha256(struct part_digester *digester, char ret_hex[DIGEST_SHA256_SIZE])
{
    digest_final(digester->whole, ret_hex);
}

/* --- the file: head, one record per part, CRC32C of all before it; little-endian --- */

#define MAGIC "BMPARTS2"

struct head {
    char magic[8];
    uint64_t total;
    unsigned char sha256[DIGEST_SHA256_BYTES]; /* of the whole */
    uint32_t count;
    uint32_t has_md5;
    unsigned char md5[PART_MD5_BYTES];
} __attribute__((packed));

struct record {
    unsigned char sha256[DIGEST_SHA256_BYTES];
    uint32_t crc32c;
    uint64_t crc64;
} __attribute__((packed));

static size_t file_size(uint32_t count)
{
    return sizeof(struct head) + count * sizeof(struct record) + sizeof(uint32_t);
}

static unsigned char *encode(const struct part_digests *digests, const char *sha256)
{
    struct head head = {.magic = MAGIC,
                        .total = htole64(digests->total),
                        .count = htole32(digests->count),
                        .has_md5 = htole32(digests->has_md5)};
    unsigned char *bytes = digest_from_hex(sha256, head.sha256) ? malloc(file_size(digests->count)) : NULL;
    if (bytes == NULL)
        return NULL;
    if (digests->has_md5)
        memcpy(head.md5, digests->md5, sizeof head.md5);
    unsigned char *p = mempcpy(bytes, &head, sizeof head);
    for (uint32_t i = 0; i < digests->count; i++) {
        struct record record = {.crc32c = htole32(digests->parts[i].crc32c),
                                .crc64 = htole64(digests->parts[i].crc64)};
        memcpy(record.sha256, digests->parts[i].sha256, sizeof record.sha256);
        p = mempcpy(p, &record, sizeof record);
    }
    uint32_t sum = htole32(part_crc32c(0, bytes, (size_t)(p - bytes)));
    memcpy(p, &sum, sizeof sum);
    return bytes;
}

static int write_all(int fd, const unsigned char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, bytes, size);
        if (n < 0 && errno != EINTR)
            return -1;
        if (n > 0) {
            bytes += n;
            size -= (size_t)n;
        }
    }
    return 0;
}

int part_digests_write(int dir_fd, const char *name, const struct part_digests *digests, const char *sha256,
                       struct error *err)
{
    char temporary[256];
    if (snprintf(temporary, sizeof temporary, "%s.tmp", name) >= (int)sizeof temporary)
        return error_set(err, ERROR_INPUT, false, "name of part digests is too long: %.100s", name);
    unsigned char *bytes = encode(digests, sha256);
    if (bytes == NULL)
        return error_set(err, ERROR_SYSTEM, true, "part digests %s: out of memory, or no SHA-256", name);
    (void)unlinkat(dir_fd, temporary, 0);
    int fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    int failed = fd < 0 ? errno : 0;
    if (fd >= 0 && write_all(fd, bytes, file_size(digests->count)) < 0)
        failed = errno;
    if (fd >= 0 && close(fd) < 0 && failed == 0 && errno != EINTR)
        failed = errno;
    if (failed == 0 && renameat(dir_fd, temporary, dir_fd, name) < 0)
        failed = errno;
    if (failed)
        (void)unlinkat(dir_fd, temporary, 0);
    free(bytes);
    return failed ? error_errno(err, failed, "writing part digests %s", name) : 0;
}

static int damaged(struct error *err, const char *name, const char *how)
{
    return error_set(err, ERROR_CORRUPT, false, "part digests %s: %s", name, how);
}

static int decode(const unsigned char *bytes, size_t size, const char *name, uint64_t total,
                  const char *sha256, struct part_digests *ret, struct error *err)
{
    struct head head;
    unsigned char expected[DIGEST_SHA256_BYTES];
    memcpy(&head, bytes, sizeof head);
    uint32_t count = le32toh(head.count), sum;
    if (memcmp(head.magic, MAGIC, sizeof head.magic) != 0 || count > PART_PLAN_MAX_PARTS ||
        size != file_size(count))
        return damaged(err, name, "not such a file, or cut short");
    memcpy(&sum, bytes + size - sizeof sum, sizeof sum);
    if (le32toh(sum) != part_crc32c(0, bytes, size - sizeof sum))
        return damaged(err, name, "its checksum is wrong");
    if (!digest_from_hex(sha256, expected) || le64toh(head.total) != total ||
        memcmp(head.sha256, expected, sizeof expected) != 0)
        return damaged(err, name, "belongs to another artifact");
    struct part_plan plan;
    int rc = part_plan_make(total, 0, PART_PLAN_MAX_PARTS, 0, PART_PLAN_TOP_SIZE, &plan, err);
    if (rc)
        return rc;
    if (!part_plan_is_default(&plan) || plan.count != count)
        return damaged(err, name, "made by another plan");
    ret->parts = calloc(count, sizeof *ret->parts);
    if (ret->parts == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    ret->total = total;
    ret->count = count;
    ret->has_md5 = head.has_md5 != 0;
    memcpy(ret->md5, head.md5, sizeof ret->md5);
    for (uint32_t i = 0; i < count; i++) {
        struct record record;
        memcpy(&record, bytes + sizeof head + i * sizeof record, sizeof record);
        memcpy(ret->parts[i].sha256, record.sha256, sizeof record.sha256);
        ret->parts[i].crc32c = le32toh(record.crc32c);
        ret->parts[i].crc64 = le64toh(record.crc64);
        ret->parts[i].size = part_plan_size(&plan, i + 1);
    }
    return 0;
}

static int read_file(int fd, const char *name, unsigned char **ret_bytes, size_t *ret_size, struct error *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return error_errno(err, errno, "part digests %s", name);
    if (!S_ISREG(st.st_mode) || st.st_size < (off_t)file_size(0) ||
        st.st_size > (off_t)file_size(PART_PLAN_MAX_PARTS))
        return damaged(err, name, "not such a file, or cut short");
    size_t size = (size_t)st.st_size;
    unsigned char *bytes = malloc(size);
    if (bytes == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    ssize_t n = regular_file_read(fd, bytes, size);
    if (n == (ssize_t)size) {
        *ret_bytes = bytes;
        *ret_size = size;
        return 0;
    }
    int rc =
        n < 0 ? error_errno(err, errno, "reading part digests %s", name) : damaged(err, name, "cut short");
    free(bytes);
    return rc;
}

int part_digests_read(int dir_fd, const char *name, uint64_t total, const char *sha256,
                      struct part_digests **ret, struct error *err)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return error_errno(err, errno, "part digests %s", name);
    unsigned char *bytes = NULL;
    size_t size = 0;
    int rc = read_file(fd, name, &bytes, &size, err);
    close(fd);
    if (rc)
        return rc;
    struct part_digests *digests = calloc(1, sizeof *digests);
    rc = digests ? decode(bytes, size, name, total, sha256, digests, err)
                 : error_set(err, ERROR_SYSTEM, true, "out of memory");
    free(bytes);
    if (rc)
        part_digests_free(digests);
    else
        *ret = digests;
    return rc;
}
