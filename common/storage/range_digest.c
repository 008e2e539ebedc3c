#include "storage/range_digest.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/crc64.h"
#include "storage/part_digests.h"

#define BUFFER_SIZE ((size_t)128 << 10)
#define SLICE_SIZE ((uint64_t)16 << 20)

/* Fetched once: an implicit fetch costs more than hashing a small file. */
static EVP_MD *md5;
static pthread_once_t md5_once = PTHREAD_ONCE_INIT;

static void fetch(void)
{
    md5 = EVP_MD_fetch(NULL, "MD5", NULL);
}

static void feed_md5(EVP_MD_CTX *context, const void *data, size_t size)
{
    int ok = EVP_DigestUpdate(context, data, size);
    assert(ok == 1);
    (void)ok;
}

static void feed(struct range_digest *range, const void *data, size_t size)
{
    if (range->wanted & RANGE_SHA256)
        digest_update(range->sha256, data, size);
    if (range->wanted & RANGE_CRC32C)
        range->sums.crc32c = part_crc32c(range->sums.crc32c, data, size);
    if (range->wanted & RANGE_CRC64)
        range->sums.crc64 = crc64_nvme(range->sums.crc64, data, size);
    if (range->wanted & RANGE_MD5)
        feed_md5(range->md5, data, size);
    if (range->whole)
        digest_update(range->whole, data, size);
    if (range->whole_md5)
        feed_md5(range->whole_md5, data, size);
}

static void run_slice(uv_work_t *work)
{
    struct range_digest *range = work->data;
    uint64_t end = range->size - range->at < SLICE_SIZE ? range->size : range->at + SLICE_SIZE;
    unsigned char *buffer = malloc(BUFFER_SIZE);
    if (buffer == NULL)
        error_set(&range->err, ERROR_SYSTEM, true, "out of memory");
    while (buffer && range->at < end && !range->err.code && !atomic_load(&range->cancelled)) {
        size_t wanted = end - range->at < BUFFER_SIZE ? (size_t)(end - range->at) : BUFFER_SIZE;
        ssize_t n = pread(range->fd, buffer, wanted, (off_t)(range->offset + range->at));
        if (n < 0 && errno != EINTR)
            error_errno(&range->err, errno, "reading the artifact");
        else if (n == 0)
            error_set(&range->err, ERROR_CORRUPT, true,
                      "the artifact is shorter than recorded: it ends at byte %" PRIu64,
                      range->offset + range->at);
        if (n > 0) {
            feed(range, buffer, (size_t)n);
            range->at += (size_t)n;
        }
    }
    free(buffer);
}

static void finish(struct range_digest *range)
{
    if (atomic_load(&range->cancelled) && range->at < range->size)
        error_set(&range->err, ERROR_CANCELLED, true, "cancelled");
    if (range->wanted & RANGE_SHA256)
        digest_final_bytes(range->sha256, range->sums.sha256);
    if (range->wanted & RANGE_MD5) {
        int ok = EVP_DigestFinal_ex(range->md5, range->sums.md5, NULL);
        assert(ok == 1);
        (void)ok;
    }
    digest_free(range->sha256);
    EVP_MD_CTX_free(range->md5);
    range->sha256 = NULL;
    range->md5 = NULL;
    struct range_sums sums = range->sums;
    struct error err = range->err;
    range->done(range->data, err.code ? NULL : &sums, err.code ? &err : NULL);
}

static void on_slice(uv_work_t *work, int status)
{
    struct range_digest *range = work->data;
    (void)status; /* UV_ECANCELED never: the flag ends it */
    if (range->at == range->size || range->err.code || atomic_load(&range->cancelled))
        finish(range);
    else
        uv_queue_work(range->loop, &range->work, run_slice, on_slice);
}

int range_digest_start(struct range_digest *range, struct error *err)
{
    pthread_once(&md5_once, fetch);
    range->at = 0;
    range->sums = (struct range_sums){0};
    range->err = (struct error){0};
    atomic_store(&range->cancelled, false);
    range->sha256 = range->wanted & RANGE_SHA256 ? digest_new() : NULL;
    range->md5 = range->wanted & RANGE_MD5 && md5 ? EVP_MD_CTX_new() : NULL;
    bool failed = ((range->wanted & RANGE_SHA256) && range->sha256 == NULL) ||
                  ((range->wanted & RANGE_MD5) &&
                   (range->md5 == NULL || EVP_DigestInit_ex2(range->md5, md5, NULL) != 1));
    if (failed) {
        digest_free(range->sha256);
        EVP_MD_CTX_free(range->md5);
        return error_set(err, ERROR_SYSTEM, true, "out of memory, or no MD5 in this OpenSSL");
    }
    range->work.data = range;
    int rc = uv_queue_work(range->loop, &range->work, run_slice, on_slice);
    assert(rc == 0);
    (void)rc;
    return 0;
}

void range_digest_cancel(struct range_digest *range)
{
    atomic_store(&range->cancelled, true);
}
