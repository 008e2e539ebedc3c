#include "storage/gcs/config_members.h"

#include <stddef.h>
#include <string.h>

#define METADATA_MAX 32

/* 3 to 63 bytes; with dots up to 222, 63 between two of them. */
static bool is_bucket(const char *text)
{
    static const char may[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
    size_t n = strlen(text);
    if (n < 3 || n > 222 || strspn(text, may) != n || strchr("-_.", text[0]) || strchr("-_.", text[n - 1]) ||
        strstr(text, ".."))
        return false;
    for (const char *at = text; *at; at += strcspn(at, ".") + (at[strcspn(at, ".")] == '.'))
        if (strcspn(at, ".") > 63)
            return false;
    return true;
}

static bool is_storage_class(const char *text)
{
    return strlen(text) <= 40 && text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_")] == '\0';
}

static bool is_kms_key(const char *text)
{
    return object_is_printable_ascii(text) && strncmp(text, "projects/", 9) == 0 &&
           strstr(text, "/cryptoKeys/");
}

static bool is_json_object(const char *text)
{
    return text[strspn(text, " \t\r\n")] == '{';
}

#define AT(field) offsetof(struct gcs_members, field)

static const struct object_member members[] = {
    {.name = "bucket",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(bucket),
     .may_be = "the bucket's name: 3 to 63 lower-case letters, digits, '-', '_' and '.'",
     .is_valid = is_bucket},
    {.name = "prefix",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(prefix),
     .may_be = "the beginning of keys, such as \"backups/\", without '..'",
     .is_valid = object_is_prefix,
     .may_be_empty = true},
    {.name = "endpoint",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(endpoint),
     .may_be = "\"https://host\" or \"https://host:port\"",
     .is_valid = object_is_printable_ascii},
    {.name = "ca_file",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(ca_file),
     .may_be = "the absolute path of a PEM file",
     .is_valid = object_is_absolute_path},
    {.name = "user_project",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(user_project),
     .may_be = "the id of the project that is billed",
     .is_valid = object_is_printable_ascii},
    {.name = "credentials_ref",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(credentials_ref),
     .may_be = "the name of a secret, such as \"file:/run/secrets/key.json\""},
    {.name = "service_account_json",
     .kind = OBJECT_MEMBER_RAW,
     .offset = AT(service_account_json),
     .may_be = "the text of a key file, which is a JSON object, as a string",
     .max = 65536,
     .is_valid = is_json_object,
     .sealed = true},
    {.name = "storage_class",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(storage_class),
     .may_be = "a storage class, such as \"STANDARD\", \"NEARLINE\", \"COLDLINE\" or \"ARCHIVE\"",
     .is_valid = is_storage_class},
    {.name = "kms_key_name",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(kms_key_name),
     .may_be = "\"projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY\"",
     .is_valid = is_kms_key},
    {.name = "encryption_key_ref",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(encryption_key_ref),
     .may_be = "the name of a secret, such as \"file:/run/secrets/gcs-key\""},
    {.name = "metadata",
     .kind = OBJECT_MEMBER_MAP,
     .offset = AT(metadata),
     .may_be = "an object of at most 32 strings, names up to 128 and values up to 256 bytes",
     .max = METADATA_MAX},
    {.name = "custom_time",
     .kind = OBJECT_MEMBER_SWITCH,
     .offset = AT(custom_time),
     .may_be = "true or false"},
    {.name = "predefined_acl",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(predefined_acl),
     .may_be = "\"private\", \"projectPrivate\", \"bucketOwnerRead\", \"bucketOwnerFullControl\", "
               "\"authenticatedRead\" or \"publicRead\"",
     .choices = "private projectPrivate bucketOwnerRead bucketOwnerFullControl authenticatedRead publicRead"},
    {.name = "temporary_hold",
     .kind = OBJECT_MEMBER_SWITCH,
     .offset = AT(temporary_hold),
     .may_be = "true or false"},
    {.name = "event_based_hold",
     .kind = OBJECT_MEMBER_SWITCH,
     .offset = AT(event_based_hold),
     .may_be = "true or false"},
    {.name = "retention_mode",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(retention_mode),
     .may_be = "\"Unlocked\" or \"Locked\"",
     .choices = "Unlocked Locked"},
    {.name = "retention_days",
     .kind = OBJECT_MEMBER_NUMBER,
     .offset = AT(retention_days),
     .may_be = "a number of days, 1 to 36500",
     .min = 1,
     .max = 36500},
    {.name = "chunk_size",
     .kind = OBJECT_MEMBER_SIZE,
     .offset = AT(chunk_size),
     .may_be = "a multiple of 256 KiB, such as \"64MiB\", from 256KiB on",
     .min = INT64_C(256) << 10,
     .max = INT64_C(5) << 40},
    {.name = "multipart_threshold",
     .kind = OBJECT_MEMBER_SIZE,
     .offset = AT(multipart_threshold),
     .may_be = "a size, such as \"64MiB\" or 67108864, up to 5GiB",
     .min = 1,
     .max = INT64_C(5) << 30},
    {.name = "max_requests",
     .kind = OBJECT_MEMBER_NUMBER,
     .offset = AT(max_requests),
     .may_be = "a number, 1 to 1024",
     .min = 1,
     .max = 1024},
    {.name = "read_back", .kind = OBJECT_MEMBER_SWITCH, .offset = AT(read_back), .may_be = "true or false"},
};

int gcs_members_read(const json_t *config, struct gcs_members *ret, struct error *err)
{
    struct gcs_members said = {0};
    int rc = object_members_read(members, sizeof members / sizeof *members, config, &said, err);
    if (rc == 0)
        *ret = said;
    return rc;
}
