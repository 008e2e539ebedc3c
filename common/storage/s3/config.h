/*
 * What an S3 destination says of itself: presets of the four storage types, overridden by its storage_config.
 * Pure.
 *
 * storage_config members (all but bucket optional; null = not said):
 *
 *   where     bucket, region, endpoint ("https://host[:port]"), addressing "path" | "virtual",
 *             ca_file (absolute path), expected_bucket_owner, prefix (for making rows, not used here)
 *   who       credentials_ref, profile; sealed only: access_key_id, secret_access_key, session_token
 *   how       storage_class, tags (object of strings), sse_kms_key_id, sse_kms_context (object of strings),
 *             sse "AES256" | "aws:kms" | "aws:kms:dsse" | "customer", sse_bucket_key, sse_customer_key_ref,
 *             object_lock_mode "GOVERNANCE" | "COMPLIANCE", object_lock_days, object_lock_legal_hold
 *   checks    checksum "crc32c" | "md5" | "none", conditional_write, read_back
 *   transfer  part_size, multipart_threshold (bytes, or "64MiB"), max_parts, parallel_parts, max_requests
 *
 * An unknown member is an error that names it and lists the known ones.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "auth/aws_credentials.h"
#include "storage/driver.h"

enum s3_checksum { S3_CHECKSUM_NONE, S3_CHECKSUM_MD5, S3_CHECKSUM_CRC32C };

/* One per storage type: data, not code. */
struct s3_preset {
    const char *storage_type;
    const char *endpoint;       /* with %s for the region; NULL = storage_config must say it */
    const char *default_region; /* NULL = must be said, or found in the environment or the endpoint */
    enum aws_chain chain;
    enum s3_checksum checksum;
    bool virtual_hosts;     /* when the bucket's name allows it and the endpoint is the preset's */
    bool conditional_write; /* If-None-Match: * on PutObject and CompleteMultipartUpload */
    bool sse_s3, sse_kms, sse_customer, object_lock, tags, storage_classes;
    uint64_t part_min, part_max, single_max;
    uint32_t max_parts;
};

struct s3_config {
    const struct s3_preset *preset;
    char scheme_host[300]; /* "https://s3.eu-west-1.amazonaws.com", with the bucket in it for virtual hosts,
                              no slash */
    bool https;
    bool virtual_hosted;
    char region[64];
    bool region_said;     /* by storage_config or the endpoint; false: region is the preset's default */
    const char *endpoint; /* as storage_config says it, else the preset's: names the service */
    /* strings below point into the location's config */
    const char *bucket, *profile, *ca_file, *credentials_ref;
    const char *access_key_id, *secret_access_key, *session_token;
    const char *storage_class, *sse, *sse_kms_key_id, *sse_customer_key_ref;
    const json_t *sse_kms_context, *tags;
    const char *object_lock_mode, *expected_bucket_owner;
    int64_t object_lock_days;
    bool sse_bucket_key, object_lock_legal_hold, read_back;
    enum s3_checksum checksum;
    bool conditional_write;
    uint64_t part_size, multipart_threshold; /* part_size 0 = the default plan */
    uint32_t max_parts;
    int parallel_parts, max_requests;
};

/* ERROR_INPUT names the member and what it may be; never a secret's value. */
int s3_config_load(const struct storage_location *location, struct s3_config *ret, struct error *err);
/* Another region, as the service told: rewrites region and, where the endpoint is the preset's, scheme_host.
 */
void s3_config_set_region(struct s3_config *config, const char *region);
