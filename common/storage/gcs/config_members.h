/* The members of storage_config that this driver knows, read and checked one by one. What they mean together
 * is config.c's business. */
#pragma once

#include "storage/object/members.h"

/* NULL, 0 and SAID_NOT: storage_config doesn't say it. Strings point into storage_config. */
struct gcs_members {
    const char *bucket, *prefix, *endpoint, *ca_file, *user_project, *credentials_ref;
    const char *service_account_json;
    const char *storage_class, *kms_key_name, *encryption_key_ref, *predefined_acl, *retention_mode;
    const json_t *metadata;
    enum object_said custom_time, temporary_hold, event_based_hold, read_back;
    int64_t retention_days, chunk_size, multipart_threshold, max_requests;
};

/* config: an object, or NULL. ERROR_INPUT names the member and what it may be, never its value. */
int gcs_members_read(const json_t *config, struct gcs_members *ret, struct error *err);
