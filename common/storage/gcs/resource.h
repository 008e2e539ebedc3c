/* What Cloud Storage says of an object: the JSON resource that answers an upload and a question. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"

/* What to ask for ("fields"): all that is read here. */
#define GCS_RESOURCE_FIELDS "kind,name,generation,size,crc32c,metadata"
#define GCS_GENERATION_SIZE 24 /* decimal digits of 63 bits, with NUL */

struct gcs_resource {
    char generation[GCS_GENERATION_SIZE]; /* "" = not said */
    uint64_t size;
    bool has_crc32c;
    uint32_t crc32c;
    char sha256[DIGEST_SHA256_SIZE]; /* of our metadata; "" = none, or not one */
    char row_id[24], fence[24];      /* the same */
};

/* false: it isn't the resource of an object (cut off, a proxy's page): it has no size. */
bool gcs_resource_read(const char *body, size_t size, struct gcs_resource *ret);

/* As the store writes it: base64 of the four bytes, the highest first. */
#define GCS_CRC32C_SIZE 12
void gcs_crc32c_write(uint32_t crc32c, char out[GCS_CRC32C_SIZE]);
bool gcs_crc32c_read(const char *text, uint32_t *ret); /* false: it is none */
