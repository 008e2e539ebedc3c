#include "storage/gcs/resource.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "storage/gcs/json.h"

void gcs_crc32c_write(uint32_t crc32c, char out[GCS_CRC32C_SIZE])
{
    const unsigned char bytes[] = {(unsigned char)(crc32c >> 24), (unsigned char)(crc32c >> 16),
                                   (unsigned char)(crc32c >> 8), (unsigned char)crc32c};
    EVP_EncodeBlock((unsigned char *)out, bytes, sizeof bytes);
}

bool gcs_crc32c_read(const char *text, uint32_t *ret)
{
    unsigned char bytes[6];
    if (strcspn(text, "=") != 6 || strcmp(text + 6, "==") != 0 ||
        EVP_DecodeBlock(bytes, (const unsigned char *)text, 8) != 6)
        return false;
    *ret = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
    return true;
}

static void copy(char *out, size_t size, const json_t *value)
{
    const char *text = json_string_value(value);
    if (text && strlen(text) < size)
        memcpy(out, text, strlen(text) + 1);
}

static bool read_object(const json_t *json, struct gcs_resource *ret)
{
    const json_t *metadata = json_object_get(json, "metadata");
    const char *kind = json_string_value(json_object_get(json, "kind"));
    const char *crc32c = json_string_value(json_object_get(json, "crc32c"));
    unsigned char digest[DIGEST_SHA256_BYTES];
    uint64_t generation = 0;
    if ((kind && strcmp(kind, "storage#object") != 0) ||
        !gcs_json_number(json_object_get(json, "size"), &ret->size))
        return false;
    if (gcs_json_number(json_object_get(json, "generation"), &generation) && generation > 0)
        snprintf(ret->generation, sizeof ret->generation, "%llu", (unsigned long long)generation);
    ret->has_crc32c = crc32c && gcs_crc32c_read(crc32c, &ret->crc32c);
    copy(ret->sha256, sizeof ret->sha256, json_object_get(metadata, "sha256"));
    if (!digest_from_hex(ret->sha256, digest))
        ret->sha256[0] = '\0';
    copy(ret->row_id, sizeof ret->row_id, json_object_get(metadata, "row-id"));
    copy(ret->fence, sizeof ret->fence, json_object_get(metadata, "fence"));
    return true;
}

bool gcs_resource_read(const char *body, size_t size, struct gcs_resource *ret)
{
    struct gcs_resource resource = {0};
    json_t *json = json_loadb(body, size, 0, NULL);
    bool read = read_object(json, &resource);
    json_decref(json);
    if (read)
        *ret = resource;
    return read;
}
