/* The members of storage_config that this driver knows, read and checked one by one. What they mean together
 * is config.c's business. */
#pragma once

#include "storage/object/members.h"

/* NULL, 0 and SAID_NOT: storage_config doesn't say it. Strings point into storage_config. */
struct s3_members {
    const char *bucket, *region, *endpoint, *prefix, *profile, *addressing, *ca_file, *credentials_ref;
    const char *access_key_id, *secret_access_key, *session_token;
    const char *storage_class, *sse, *sse_kms_key_id, *sse_customer_key_ref;
    const char *object_lock_mode, *expected_bucket_owner, *checksum;
    const json_t *sse_kms_context, *tags;
    enum object_said sse_bucket_key, object_lock_legal_hold, conditional_write, read_back;
    int64_t object_lock_days, part_size, max_parts, multipart_threshold, parallel_parts, max_requests;
};

/* config: an object, or NULL. ERROR_INPUT names the member and what it may be, never its value. */
int s3_members_read(const json_t *config, struct s3_members *ret, struct error *err);

/* Letters, digits, '-' and '_', at most 63. */
bool s3_region_is_valid(const char *region);
