#include "storage/s3/config_members.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/strbuf.h"
#include "base/utf8.h"

#define TEXT_MAX 2048
#define TAGS_MAX 10 /* S3's own bound */

enum kind { TEXT, SWITCH, NUMBER, SIZE, MAP };

struct member {
    const char *name;
    enum kind kind;
    size_t offset;      /* in struct s3_members */
    const char *may_be; /* for the message */
    bool (*is_valid)(const char *text);
    const char *choices; /* separated by blanks */
    int64_t min, max;
    bool sealed;       /* not offered to people: only encrypted configurations hold it */
    bool may_be_empty; /* "" says nothing */
};

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

static bool is_absolute_path(const char *text)
{
    return *text == '/' && strlen(text) < 4096;
}

/* A beginning of keys: as a key, but '/' may stand at both its ends (rows are made without them). */
static bool is_prefix(const char *text)
{
    if (strlen(text) > 900)
        return false;
    for (const char *at = text; *at; at += at[strcspn(at, "/")] ? strcspn(at, "/") + 1 : strcspn(at, "/")) {
        size_t size = strcspn(at, "/");
        if ((size == 1 && at[0] == '.') || (size == 2 && at[0] == '.' && at[1] == '.'))
            return false;
    }
    return true;
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

/* Goes into a header. */
static bool is_printable_ascii(const char *text)
{
    for (; *text; text++)
        if (*text < '!' || *text > '~')
            return false;
    return true;
}

#define AT(field) offsetof(struct s3_members, field)

static const struct member members[] = {
    {.name = "bucket",
     .kind = TEXT,
     .offset = AT(bucket),
     .may_be = "the bucket's name: 3 to 63 lower-case letters, digits, '-' and '.'",
     .is_valid = is_bucket},
    {.name = "region",
     .kind = TEXT,
     .offset = AT(region),
     .may_be = "a region's name, such as \"eu-west-1\"",
     .is_valid = s3_region_is_valid},
    {.name = "endpoint",
     .kind = TEXT,
     .offset = AT(endpoint),
     .may_be = "\"https://host\" or \"https://host:port\"",
     .is_valid = is_printable_ascii},
    {.name = "prefix",
     .kind = TEXT,
     .offset = AT(prefix),
     .may_be = "the beginning of keys, such as \"backups/\", without '..'",
     .is_valid = is_prefix,
     .may_be_empty = true},
    {.name = "profile",
     .kind = TEXT,
     .offset = AT(profile),
     .may_be = "the name of a profile in AWS's configuration files"},
    {.name = "addressing",
     .kind = TEXT,
     .offset = AT(addressing),
     .may_be = "\"path\" or \"virtual\"",
     .choices = "path virtual"},
    {.name = "ca_file",
     .kind = TEXT,
     .offset = AT(ca_file),
     .may_be = "the absolute path of a PEM file",
     .is_valid = is_absolute_path},
    {.name = "credentials_ref",
     .kind = TEXT,
     .offset = AT(credentials_ref),
     .may_be = "the name of a secret, such as \"env:NAME\""},
    {.name = "access_key_id",
     .kind = TEXT,
     .offset = AT(access_key_id),
     .may_be = "text",
     .is_valid = is_printable_ascii,
     .sealed = true},
    {.name = "secret_access_key",
     .kind = TEXT,
     .offset = AT(secret_access_key),
     .may_be = "text",
     .is_valid = is_printable_ascii,
     .sealed = true},
    {.name = "session_token",
     .kind = TEXT,
     .offset = AT(session_token),
     .may_be = "text",
     .is_valid = is_printable_ascii,
     .sealed = true},
    {.name = "storage_class",
     .kind = TEXT,
     .offset = AT(storage_class),
     .may_be = "a storage class, such as \"STANDARD_IA\"",
     .is_valid = is_storage_class},
    {.name = "sse",
     .kind = TEXT,
     .offset = AT(sse),
     .may_be = "\"AES256\", \"aws:kms\", \"aws:kms:dsse\" or \"customer\"",
     .choices = "AES256 aws:kms aws:kms:dsse customer"},
    {.name = "sse_kms_key_id",
     .kind = TEXT,
     .offset = AT(sse_kms_key_id),
     .may_be = "a key's id, ARN or alias",
     .is_valid = is_printable_ascii},
    {.name = "sse_kms_context", .kind = MAP, .offset = AT(sse_kms_context), .may_be = "an object of strings"},
    {.name = "sse_bucket_key", .kind = SWITCH, .offset = AT(sse_bucket_key), .may_be = "true or false"},
    {.name = "sse_customer_key_ref",
     .kind = TEXT,
     .offset = AT(sse_customer_key_ref),
     .may_be = "the name of a secret, such as \"file:/run/secrets/sse-key\""},
    {.name = "object_lock_mode",
     .kind = TEXT,
     .offset = AT(object_lock_mode),
     .may_be = "\"GOVERNANCE\" or \"COMPLIANCE\"",
     .choices = "GOVERNANCE COMPLIANCE"},
    {.name = "object_lock_days",
     .kind = NUMBER,
     .offset = AT(object_lock_days),
     .may_be = "a number of days, 1 to 36500",
     .min = 1,
     .max = 36500},
    {.name = "object_lock_legal_hold",
     .kind = SWITCH,
     .offset = AT(object_lock_legal_hold),
     .may_be = "true or false"},
    {.name = "tags",
     .kind = MAP,
     .offset = AT(tags),
     .may_be = "an object of at most 10 strings, names up to 128 and values up to 256 bytes"},
    {.name = "expected_bucket_owner",
     .kind = TEXT,
     .offset = AT(expected_bucket_owner),
     .may_be = "an account number of 12 digits",
     .is_valid = is_account},
    {.name = "checksum",
     .kind = TEXT,
     .offset = AT(checksum),
     .may_be = "\"crc32c\", \"md5\" or \"none\"",
     .choices = "crc32c md5 none"},
    {.name = "conditional_write", .kind = SWITCH, .offset = AT(conditional_write), .may_be = "true or false"},
    {.name = "part_size",
     .kind = SIZE,
     .offset = AT(part_size),
     .may_be = "a size, such as \"64MiB\" or 67108864, 5MiB to 5GiB",
     .min = 1,
     .max = INT64_MAX},
    {.name = "max_parts",
     .kind = NUMBER,
     .offset = AT(max_parts),
     .may_be = "a number, 1 to 10000",
     .min = 1,
     .max = 10000},
    {.name = "multipart_threshold",
     .kind = SIZE,
     .offset = AT(multipart_threshold),
     .may_be = "a size, such as \"64MiB\" or 67108864",
     .min = 1,
     .max = INT64_MAX},
    {.name = "parallel_parts",
     .kind = NUMBER,
     .offset = AT(parallel_parts),
     .may_be = "a number, 1 to 32",
     .min = 1,
     .max = 32},
    {.name = "max_requests",
     .kind = NUMBER,
     .offset = AT(max_requests),
     .may_be = "a number, 1 to 1024",
     .min = 1,
     .max = 1024},
    {.name = "read_back", .kind = SWITCH, .offset = AT(read_back), .may_be = "true or false"},
};

#define N_MEMBERS (sizeof members / sizeof *members)

bool s3_text_is_clean(const char *text, size_t max)
{
    char copy[TEXT_MAX + 1];
    size_t n = strnlen(text, max + 1);
    if (n > max || n > TEXT_MAX)
        return false;
    memcpy(copy, text, n + 1);
    utf8_clean(copy);
    return strcmp(copy, text) == 0;
}

/* One of a list that is separated by blanks. */
static bool is_choice(const char *choices, const char *text)
{
    size_t n = strlen(text);
    for (const char *at = choices; *at;) {
        size_t size = strcspn(at, " ");
        if (size == n && memcmp(at, text, n) == 0)
            return true;
        at += size + (at[size] == ' ');
    }
    return false;
}

static bool read_text(const struct member *member, const json_t *value, const char **out)
{
    const char *text = json_string_value(value);
    if (text && *text == '\0' && json_string_length(value) == 0 && member->may_be_empty)
        return true;
    if (text == NULL || *text == '\0' || strlen(text) != json_string_length(value))
        return false;
    if (!s3_text_is_clean(text, TEXT_MAX) || (member->is_valid && !member->is_valid(text)) ||
        (member->choices && !is_choice(member->choices, text)))
        return false;
    *out = text;
    return true;
}

/* "64MiB": digits and one of four units, nothing between them. */
static bool parse_size(const char *text, int64_t *out)
{
    static const char *const units[] = {"", "KiB", "MiB", "GiB", "TiB"};
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 15)
        return false;
    int64_t value = 0;
    for (size_t i = 0; i < digits; i++)
        value = value * 10 + (text[i] - '0');
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(text + digits, units[i]) == 0)
            return !__builtin_mul_overflow(value, INT64_C(1) << (10 * i), out);
    return false;
}

static bool read_number(const struct member *member, const json_t *value, int64_t *out)
{
    int64_t number = 0;
    if (json_is_integer(value))
        number = json_integer_value(value);
    else if (member->kind != SIZE || !json_is_string(value) || !parse_size(json_string_value(value), &number))
        return false;
    if (number < member->min || number > member->max)
        return false;
    *out = number;
    return true;
}

static bool read_map(const json_t *value, const json_t **out)
{
    if (!json_is_object(value) || json_object_size(value) == 0 || json_object_size(value) > TAGS_MAX)
        return false;
    const char *name;
    json_t *text;
    json_object_foreach((json_t *)value, name, text)
    {
        if (!json_is_string(text) || *name == '\0' || !s3_text_is_clean(name, 128) ||
            !s3_text_is_clean(json_string_value(text), 256))
            return false;
    }
    *out = value;
    return true;
}

static bool read_member(const struct member *member, const json_t *value, struct s3_members *out)
{
    void *at = (char *)out + member->offset;
    switch (member->kind) {
    case TEXT:
        return read_text(member, value, at);
    case SWITCH:
        *(enum said *)at = json_is_true(value) ? SAID_TRUE : SAID_FALSE;
        return json_is_boolean(value);
    case NUMBER:
    case SIZE:
        return read_number(member, value, at);
    case MAP:
        return read_map(value, at);
    }
    return false;
}

static int unknown_member(const char *name, struct error *err)
{
    struct strbuf known;
    strbuf_init(&known, 900);
    for (size_t i = 0; i < N_MEMBERS; i++)
        if (!members[i].sealed)
            strbuf_printf(&known, "%s%s", i ? ", " : "", members[i].name);
    int rc = error_set(err, ERROR_INPUT, false, "storage_config: \"%.100s\" is unknown here; known: %s", name,
                       strbuf_cstr(&known));
    strbuf_deinit(&known);
    return rc;
}

int s3_members_read(const json_t *config, struct s3_members *ret, struct error *err)
{
    struct s3_members out = {0};
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)config, name, value)
    {
        const struct member *member = members;
        while (member < members + N_MEMBERS && strcmp(member->name, name) != 0)
            member++;
        if (member == members + N_MEMBERS)
            return unknown_member(name, err);
        if (!json_is_null(value) && !read_member(member, value, &out))
            return error_set(err, ERROR_INPUT, false, "storage_config: \"%s\" must be %s", name,
                             member->may_be);
    }
    *ret = out;
    return 0;
}
