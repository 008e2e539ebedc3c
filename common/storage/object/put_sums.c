/*
 * What is known of the artifact's bytes beside the SHA-256 that was promised: of the staging pass, computed
 * of the whole before it is sent, or on the way over all parts.
 */
#include <assert.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <string.h>

#include "storage/object/put_flow.h"

/* Of the staging pass, whatever the plan of this upload. */
static bool staged_crc32c(const struct object_put *self, uint32_t *ret)
{
    const struct part_digests *digests = self->request->part_digests;
    if (digests == NULL || digests->total != self->request->size)
        return false;
    *ret = 0;
    for (uint32_t i = 0; i < digests->count; i++)
        *ret = part_crc32c_combine(*ret, digests->parts[i].crc32c, digests->parts[i].size);
    return true;
}

/* These bytes are not those of the staging pass: sha256 (hex) is what was found. */
static void compare(struct object_put *self, const char *found)
{
    struct error err;
    if (strcmp(found, self->request->sha256) == 0)
        return;
    error_set(&err, ERROR_CORRUPT, true, "the artifact of '%.300s' has SHA-256 %s instead of %s",
              self->request->key, found, self->request->sha256);
    self->spoiled = true;
    object_put_fail(self, &err);
}

/* --- of the whole, before it is sent --- */

static void compare_crc32c(struct object_put *self, uint32_t found)
{
    struct error err;
    uint32_t staged;
    if (!staged_crc32c(self, &staged) || staged == found)
        return;
    error_set(&err, ERROR_CORRUPT, true,
              "the artifact of '%.300s' has CRC32C %08" PRIx32 " instead of %08" PRIx32, self->request->key,
              found, staged);
    self->spoiled = true;
    object_put_fail(self, &err);
}

static void on_sums(void *data, const struct range_sums *sums, const struct error *err)
{
    struct object_put *self = data;
    char found[DIGEST_SHA256_SIZE];
    self->waiting = false;
    if (err) {
        object_put_fail(self, err);
        object_put_step(self);
        return;
    }
    self->first_sums = *sums;
    self->first_known = self->first_wanted;
    if (self->first_wanted & RANGE_SHA256) {
        digest_to_hex(sums->sha256, found);
        compare(self, found);
    }
    if (self->first_wanted & RANGE_CRC32C)
        compare_crc32c(self, sums->crc32c);
    object_put_step(self);
}

int object_put_sums_start(struct object_put *self, struct error *err)
{
    self->sums = (struct range_digest){.loop = self->request->loop,
                                       .fd = self->request->source_fd,
                                       .size = self->request->size,
                                       .wanted = self->first_wanted,
                                       .done = on_sums,
                                       .data = self};
    return range_digest_start(&self->sums, err);
}

/* --- over all parts, in their order --- */

int object_put_sums_begin(struct object_put *self, struct error *err)
{
    if (!self->digests_fit && self->whole == NULL)
        self->whole = digest_new();
    if (self->whole_md5 && self->md5 == NULL)
        self->md5 = EVP_MD_CTX_new();
    bool failed =
        (!self->digests_fit && self->whole == NULL) ||
        (self->whole_md5 && (self->md5 == NULL || EVP_DigestInit_ex(self->md5, EVP_md5(), NULL) != 1));
    if (failed)
        return error_set(err, ERROR_SYSTEM, true, "out of memory, or no MD5 in this OpenSSL");
    if (self->whole)
        digest_reset(self->whole);
    self->md5_known = false;
    return 0;
}

void object_put_sums_deinit(struct object_put *self)
{
    digest_free(self->whole);
    EVP_MD_CTX_free(self->md5);
    self->whole = NULL;
    self->md5 = NULL;
}

void object_put_sums_check(struct object_put *self)
{
    char found[DIGEST_SHA256_SIZE];
    if (self->md5) {
        int ok = EVP_DigestFinal_ex(self->md5, self->md5_sum, NULL);
        assert(ok == 1);
        (void)ok;
        self->md5_known = true;
    }
    if (self->whole) {
        digest_final(self->whole, found);
        compare(self, found);
    }
}

/* --- what is known --- */

static bool sent_as_one(const struct object_put *self)
{
    return self->single || self->protocol->transfer;
}

bool object_put_crc32c(const struct object_put *self, uint32_t *ret)
{
    uint32_t crc = 0;
    if (staged_crc32c(self, ret))
        return true;
    if (sent_as_one(self)) {
        if (!(self->first_known & RANGE_CRC32C))
            return false;
        crc = self->first_sums.crc32c;
    } else {
        if (!(self->part_sums & RANGE_CRC32C) || self->n_done < self->plan.count)
            return false;
        for (uint32_t i = 0; i < self->plan.count; i++)
            crc = part_crc32c_combine(crc, self->parts[i].crc32c, part_plan_size(&self->plan, i + 1));
    }
    *ret = crc;
    return true;
}

bool object_put_md5(const struct object_put *self, unsigned char ret[RANGE_MD5_BYTES])
{
    const unsigned char *md5 = NULL;
    const struct part_digests *digests = self->request->part_digests;
    if (digests && digests->total == self->request->size && digests->has_md5)
        md5 = digests->md5;
    else if (sent_as_one(self) && (self->first_known & RANGE_MD5))
        md5 = self->first_sums.md5;
    else if (self->md5_known)
        md5 = self->md5_sum;
    if (md5)
        memcpy(ret, md5, RANGE_MD5_BYTES);
    return md5 != NULL;
}
