/* The members of storage_config, one by one. */
#include "storage/azure/config_members.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

#define TAGS_MAX 10 /* Azure's own bound */

static const char lower_digits[] = "abcdefghijklmnopqrstuvwxyz0123456789";

/* Azure: 3 to 24 lower-case letters and digits. Emulators take longer ones. */
static bool is_account(const char *text)
{
    size_t n = strlen(text);
    return n >= 3 && n < AZURE_ACCOUNT_SIZE && strspn(text, lower_digits) == n;
}

static bool is_container(const char *text)
{
    size_t n = strlen(text);
    if (strcmp(text, "$web") == 0)
        return true;
    return n >= 3 && n <= 63 && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == n && *text != '-' &&
           text[n - 1] != '-' && strstr(text, "--") == NULL;
}

/* "2021-12-02" */
static bool is_version(const char *text)
{
    static const char form[] = "dddd-dd-dd";
    size_t n = strlen(text);
    for (size_t i = 0; i < n && n == sizeof form - 1; i++)
        if (form[i] == 'd' ? !isdigit((unsigned char)text[i]) : text[i] != '-')
            return false;
    return n == sizeof form - 1 && strcmp(text, "2020-10-02") >= 0;
}

static bool is_scope(const char *text)
{
    size_t n = strlen(text);
    return n >= 3 && n <= 63 && object_is_printable_ascii(text);
}

#define AT(field) offsetof(struct azure_members, field)

static const struct object_member members[] = {
    {.name = "account",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(account),
     .may_be = "the storage account's name: 3 to 24 lower-case letters and digits",
     .is_valid = is_account},
    {.name = "container",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(container),
     .may_be = "the container's name: 3 to 63 lower-case letters, digits and single '-'",
     .is_valid = is_container},
    {.name = "prefix",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(prefix),
     .may_be = "the beginning of keys, such as \"backups/\", without '..'",
     .is_valid = object_is_prefix,
     .may_be_empty = true},
    {.name = "endpoint",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(endpoint),
     .may_be = "\"https://host\" or \"https://host:port\"; an emulator's has the account in its path: "
               "\"http://127.0.0.1:10000/devstoreaccount1\"",
     .is_valid = object_is_printable_ascii},
    {.name = "ca_file",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(ca_file),
     .may_be = "the absolute path of a PEM file",
     .is_valid = object_is_absolute_path},
    {.name = "credentials_ref",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(credentials_ref),
     .may_be = "the name of a secret, such as \"env:NAME\""},
    {.name = "client_id",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(client_id),
     .may_be = "the client id of an identity",
     .is_valid = object_is_printable_ascii},
    {.name = "tenant_id",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(tenant_id),
     .may_be = "the id of a directory (tenant)",
     .is_valid = object_is_printable_ascii},
    {.name = "account_key",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(account_key),
     .may_be = "an account's key, in base64",
     .is_valid = object_is_printable_ascii,
     .sealed = true},
    {.name = "sas_token",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(sas_token),
     .may_be = "a shared access signature, \"sv=...&sig=...\"",
     .is_valid = object_is_printable_ascii,
     .sealed = true},
    {.name = "connection_string",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(connection_string),
     .may_be = "\"AccountName=...;AccountKey=...\"",
     .is_valid = object_is_printable_ascii,
     .sealed = true},
    {.name = "tier",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(tier),
     .may_be = "\"Hot\", \"Cool\", \"Cold\" or \"Archive\"",
     .choices = "Hot Cool Cold Archive"},
    {.name = "tags",
     .kind = OBJECT_MEMBER_MAP,
     .offset = AT(tags),
     .may_be =
         "an object of at most 10 strings, names up to 128 and values up to 256 letters, digits, blanks "
         "and + - . / : = _",
     .max = TAGS_MAX},
    {.name = "encryption_scope",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(encryption_scope),
     .may_be = "the name of an encryption scope of the account",
     .is_valid = is_scope},
    {.name = "customer_key_ref",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(customer_key_ref),
     .may_be = "the name of a secret, such as \"file:/run/secrets/blob-key\""},
    {.name = "immutability_days",
     .kind = OBJECT_MEMBER_NUMBER,
     .offset = AT(immutability_days),
     .may_be = "a number of days, 1 to 146000",
     .min = 1,
     .max = 146000},
    {.name = "immutability_mode",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(immutability_mode),
     .may_be = "\"unlocked\" or \"locked\"",
     .choices = "unlocked locked"},
    {.name = "legal_hold", .kind = OBJECT_MEMBER_SWITCH, .offset = AT(legal_hold), .may_be = "true or false"},
    {.name = "checksum",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(checksum),
     .may_be = "\"crc64\", \"md5\" or \"none\"",
     .choices = "crc64 md5 none"},
    {.name = "read_back", .kind = OBJECT_MEMBER_SWITCH, .offset = AT(read_back), .may_be = "true or false"},
    {.name = "part_size",
     .kind = OBJECT_MEMBER_SIZE,
     .offset = AT(part_size),
     .may_be = "a size, such as \"64MiB\" or 67108864, 64KiB to 4000MiB",
     .min = 64 << 10,
     .max = (int64_t)AZURE_BLOCK_MAX},
    {.name = "multipart_threshold",
     .kind = OBJECT_MEMBER_SIZE,
     .offset = AT(multipart_threshold),
     .may_be = "a size, such as \"64MiB\" or 67108864, at most 5000MiB",
     .min = 1,
     .max = (int64_t)AZURE_SINGLE_MAX},
    {.name = "max_parts",
     .kind = OBJECT_MEMBER_NUMBER,
     .offset = AT(max_parts),
     .may_be = "a number, 1 to 50000",
     .min = 1,
     .max = AZURE_MAX_BLOCKS},
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
    {.name = "api_version",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = AT(api_version),
     .may_be = "a version of the service, such as \"2021-12-02\"; 2020-10-02 or later",
     .is_valid = is_version},
};

/* What Azure takes in names and values of tags. */
static bool tag_is_valid(const char *text)
{
    for (; *text; text++)
        if (!isalnum((unsigned char)*text) && strchr(" +-./:=_", *text) == NULL)
            return false;
    return true;
}

int azure_members_read(const json_t *config, struct azure_members *ret, struct error *err)
{
    struct azure_members out = {0};
    const char *name;
    json_t *value;
    int rc = object_members_read(members, sizeof members / sizeof *members, config, &out, err);
    json_object_foreach((json_t *)(uintptr_t)out.tags, name, value)
    {
        if (rc == 0 && (!tag_is_valid(name) || !tag_is_valid(json_string_value(value))))
            rc = error_set(
                err, ERROR_INPUT, false,
                "storage_config: \"tags\" has characters that Azure doesn't take; it takes letters, "
                "digits, blanks and + - . / : = _");
    }
    if (rc == 0)
        *ret = out;
    return rc;
}
