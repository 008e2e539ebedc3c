/*
 * Digests of the parts of an artifact by the default plan (part_plan.h), made in the pass that stages it and
 * kept beside the staged file, so that an upload needs not read it twice. SHA-256 for signed payloads, CRC32C
 * for x-amz-checksum and x-goog-hash, CRC-64/NVME for x-ms-content-crc64; MD5 of the whole where one of the
 * artifact's destinations keeps it (Azure), for it costs more than all others together.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/error.h"

#define PART_MD5_BYTES 16

struct part_digest {
    unsigned char sha256[DIGEST_SHA256_BYTES];
    uint32_t crc32c;
    uint64_t crc64;
    uint64_t size;
};

struct part_digests {
    uint64_t total;
    uint32_t count;
    struct part_digest *parts; /* [count], part number - 1 */
    bool has_md5;              /* of the whole */
    unsigned char md5[PART_MD5_BYTES];
};

void part_digests_free(struct part_digests *digests); /* NULL is fine */

/* While the bytes pass by. The digester makes the whole's SHA-256 too: the first part's is a copy of it, so
 * that an artifact of one part is hashed once. */
struct part_digester;
struct part_digester *part_digester_new(void); /* NULL when memory is out */
void part_digester_free(struct part_digester *digester);
/* Before the first update: MD5 of the whole is made too. false: it can't be (memory, no MD5 in this OpenSSL).
 */
bool part_digester_want_md5(struct part_digester *digester);
void part_digester_update(struct part_digester *digester, const void *data, size_t size);
/* At the end, each once, sha256 last. */
/* NULL when memory is out or the artifact has more than PART_PLAN_MAX_PARTS parts. */
struct part_digests *part_digester_finish(struct part_digester *digester);
void part_digester_sha256(struct part_digester *digester, char ret_hex[DIGEST_SHA256_SIZE]);

/* A small binary file with a checksum of its own: written whole under a temporary name and renamed; no fsync
 * (it can be made again). sha256: of the whole artifact, what the file belongs to. Blocking. */
int part_digests_write(int dir_fd, const char *name, const struct part_digests *digests, const char *sha256,
                       struct error *err);
/* ERROR_NOT_FOUND, or ERROR_CORRUPT when it is damaged or belongs to another artifact. Blocking. */
int part_digests_read(int dir_fd, const char *name, uint64_t total, const char *sha256,
                      struct part_digests **ret, struct error *err);

uint32_t part_crc32c(uint32_t crc, const void *data,
                     size_t size); /* crc 0 to begin with; "123456789": 0xe3069283 */
/* CRC32C of two strings, one behind the other, from theirs and the length of the second. */
uint32_t part_crc32c_combine(uint32_t first, uint32_t second, uint64_t second_size);
