/*
 * Digests of the parts of an artifact by the default plan (part_plan.h), made in the pass that stages it and
 * kept beside the staged file, so that an upload needs not read it twice. SHA-256 for signed payloads, CRC32C
 * for x-amz-checksum.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct part_digest {
    unsigned char sha256[32];
    uint32_t crc32c;
    uint64_t size;
};

struct part_digests {
    uint64_t total;
    uint32_t count;
    struct part_digest *parts; /* [count], part number - 1 */
};

void part_digests_free(struct part_digests *digests); /* NULL is fine */

/* While the bytes pass by. */
struct part_digester;
struct part_digester *part_digester_new(void); /* NULL when memory is out */
void part_digester_free(struct part_digester *digester);
void part_digester_update(struct part_digester *digester, const void *data, size_t size);
/* Once, at the end. NULL when memory is out or the artifact has more than PART_PLAN_MAX_PARTS parts. */
struct part_digests *part_digester_finish(struct part_digester *digester);

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
