/*
 * Digests of a range of a file, made in the thread pool in slices, so that a large range neither holds one
 * thread for long nor delays a cancel. For stores that want a digest before they get the bytes.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/digest.h"
#include "base/error.h"

#define RANGE_MD5_BYTES 16

enum range_sum { RANGE_SHA256 = 1 << 0, RANGE_MD5 = 1 << 1, RANGE_CRC32C = 1 << 2, RANGE_CRC64 = 1 << 3 };

struct range_sums {
    unsigned char sha256[DIGEST_SHA256_BYTES];
    unsigned char md5[RANGE_MD5_BYTES];
    uint32_t crc32c;
    uint64_t crc64; /* NVME's, base/crc64.h */
};

/* Embedded in its owner; zeroed before the first use. */
struct range_digest {
    /* set before range_digest_start; unchanged until done */
    uv_loop_t *loop;
    int fd; /* read by offset */
    uint64_t offset, size;
    unsigned wanted;                 /* enum range_sum */
    struct digest *whole;            /* fed with the same bytes; NULL = none */
    struct evp_md_ctx_st *whole_md5; /* likewise */
    /* Once, from the loop, never before return. sums: those wanted; NULL on an error: ERROR_IO and its like,
     * ERROR_CORRUPT (retryable) when the file ends before the range, ERROR_CANCELLED. */
    void (*done)(void *data, const struct range_sums *sums, const struct error *err);
    void *data;

    /* private */
    uv_work_t work;
    uint64_t at;
    struct digest *sha256;
    struct evp_md_ctx_st *md5;
    struct range_sums sums;
    struct error err;
    atomic_bool cancelled;
};

/* ERROR_SYSTEM: memory. May be started again once done has begun to run. */
int range_digest_start(struct range_digest *range, struct error *err);
void range_digest_cancel(struct range_digest *range); /* done runs soon, with ERROR_CANCELLED or success */
