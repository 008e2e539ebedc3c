#include "storage/s3/config_members.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

#define TAGS_MAX 10 /* S3's own bound */

static bool is_bucket(const char *text)
{
    size_t n = strlen(text);
    static const char may[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    return n >= 3 && n <= 255 && strspn(text, may) == n && isalnum((unsigned char)*text) &&
           strstr(text, "..") == NULL;
}

bool s3_region_is_valid(const char *region)
{
    size_t n = strlen(region);
    static const char may[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    return n > 0 && n <= 63 && strspn(region, may) == n;
}

static bool is_account(const char *text)
{
    return strlen(text) == 12 && strspn(text, "0123456789") == 12;
}

static bool is_storage_class(const char *text)
{
    size_t n = strlen(text);
    return n <= 40 && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == n;
}

#define AT(field) offsetof(struct s3_members, field)

static const struct object_member members[] = {
    {.name = "bucket",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(bucket),
     .may_be = "the bucket's name: 3 to 63 lower-case letters, digits, '-' and '.'",
     .is_valid = is_bucket},
    {.name = "region",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(region),
     .may_be = "a region's name, such as \"eu-west-1\"",
     .is_valid = s3_region_is_valid},
    {.name = "endpoint",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(endpoint),
     .may_be = "\"https://host\" or \"https://host:port\"",
     .is_valid = object_is_printable_ascii},
    {.name = "prefix",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(prefix),
     .may_be = "the beginning of keys, such as \"backups/\", without '..'",
     .is_valid = object_is_prefix,
     .may_be_empty = true},
    {.name = "profile",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(profile),
     .may_be = "the name of a profile in AWS's configuration files"},
    {.name = "addressing",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(addressing),
     .may_be = "\"path\" or \"virtual\"",
     .choices = "path virtual"},
    {.name = "ca_file",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(ca_file),
     .may_be = "the absolute path of a PEM file",
     .is_valid = object_is_absolute_path},
    {.name = "credentials_ref",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(credentials_ref),
     .may_be = "the name of a secret, such as \"env:NAME\""},
    {.name = "access_key_id",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(access_key_id),
     .may_be = "text",
     .is_valid = object_is_printable_ascii,
     .sealed = true},
    {.name = "secret_access_key",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(secret_access_key),
     .may_be = "text",
     .is_valid = object_is_printable_ascii,
     .sealed = true},
    {.name = "session_token",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(session_token),
     .may_be = "text",
     .is_valid = object_is_printable_ascii,
     .sealed = true},
    {.name = "storage_class",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(storage_class),
     .may_be = "a storage class, such as \"STANDARD_IA\"",
     .is_valid = is_storage_class},
    {.name = "sse",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(sse),
     .may_be = "\"AES256\", \"aws:kms\", \"aws:kms:dsse\" or \"customer\"",
     .choices = "AES256 aws:kms aws:kms:dsse customer"},
    {.name = "sse_kms_key_id",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(sse_kms_key_id),
     .may_be = "a key's id, ARN or alias",
     .is_valid = object_is_printable_ascii},
    {.name = "sse_kms_context",
     .kind = OBJECT_MEMBER_MAP,
     .offset = AT(sse_kms_context),
     .may_be = "an object of strings",
     .max = TAGS_MAX},
    {.name = "sse_bucket_key",
     .kind = OBJECT_MEMBER_SWITCH,
     .offset = AT(sse_bucket_key),
     .may_be = "true or false"},
    {.name = "sse_customer_key_ref",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(sse_customer_key_ref),
     .may_be = "the name of a secret, such as \"file:/run/secrets/sse-key\""},
    {.name = "object_lock_mode",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(object_lock_mode),
     .may_be = "\"GOVERNANCE\" or \"COMPLIANCE\"",
     .choices = "GOVERNANCE COMPLIANCE"},
    {.name = "object_lock_days",
     .kind = OBJECT_MEMBER_NUMBER,
     .offset = AT(object_lock_days),
     .may_be = "a number of days, 1 to 36500",
     .min = 1,
     .max = 36500},
    {.name = "object_lock_legal_hold",
     .kind = OBJECT_MEMBER_SWITCH,
     .offset = AT(object_lock_legal_hold),
     .may_be = "true or false"},
    {.name = "tags",
     .kind = OBJECT_MEMBER_MAP,
     .offset = AT(tags),
     .may_be = "an object of at most 10 strings, names up to 128 and values up to 256 bytes",
     .max = TAGS_MAX},
    {.name = "expected_bucket_owner",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(expected_bucket_owner),
     .may_be = "an account number of 12 digits",
     .is_valid = is_account},
    {.name = "checksum",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(checksum),
     .may_be = "\"crc32c\", \"md5\" or \"none\"",
     .choices = "crc32c md5 none"},
    {.name = "conditional_write",
     .kind = OBJECT_MEMBER_SWITCH,
     .offset = AT(conditional_write),
     .may_be = "true or false"},
    {.name = "part_size",
     .kind = OBJECT_MEMBER_SIZE,
     .offset = AT(part_size),
     .may_be = "a size, such as \"64MiB\" or 67108864, 5MiB to 5GiB",
     .min = 1,
     .max = INT64_MAX},
    {.name = "max_parts",
     .kind = OBJECT_MEMBER_NUMBER,
     .offset = AT(max_parts),
     .may_be = "a number, 1 to 10000",
     .min = 1,
     .max = 10000},
    {.name = "multipart_threshold",
     .kind = OBJECT_MEMBER_SIZE,
     .offset = AT(multipart_threshold),
     .may_be = "a size, such as \"64MiB\" or 67108864",
     .min = 1,
     .max = INT64_MAX},
    {.name = "parallel_parts",
     .kind = OBJECT_MEMBER_NUMBER,
     .offset = AT(parallel_parts),
     .may_be = "a number, 1 to 32",
     .min = 1,
     .max = 32},
    {.name = "max_requests",
     .kind = OBJECT_MEMBER_NUMBER,
     .offset = AT(max_requests),
     .may_be = "a number, 1 to 1024",
     .min = 1,
     .max = 1024},
    {.name = "read_back", .kind = OBJECT_MEMBER_SWITCH, .offset = AT(read_back), .may_be = "true or false"},
};

int s3_members_read(const json_t *config, struct s3_members *ret, struct error *err)
{
    struct s3_members out = {0};
    int rc = object_members_read(members, sizeof members / sizeof *members, config, &out, err);
    if (rc == 0)
        *ret = out;
    return rc;
}
