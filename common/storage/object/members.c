#include "storage/object/members.h"

#include <stdio.h>
#include <string.h>

#include "base/strbuf.h"
#include "base/utf8.h"

#define TEXT_MAX 2048

bool object_is_absolute_path(const char *text)
{
    return *text == '/' && strlen(text) < 4096;
}

bool object_is_prefix(const char *text)
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

bool object_is_printable_ascii(const char *text)
{
    for (; *text; text++)
        if (*text < '!' || *text > '~')
            return false;
    return true;
}

bool object_text_is_clean(const char *text, size_t max)
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

static bool read_text(const struct object_member *member, const json_t *value, const char **out)
{
    const char *text = json_string_value(value);
    if (text && *text == '\0' && json_string_length(value) == 0 && member->may_be_empty)
        return true;
    if (text == NULL || *text == '\0' || strlen(text) != json_string_length(value))
        return false;
    if (!object_text_is_clean(text, TEXT_MAX) || (member->is_valid && !member->is_valid(text)) ||
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

static bool read_number(const struct object_member *member, const json_t *value, int64_t *out)
{
    int64_t number = 0;
    if (json_is_integer(value))
        number = json_integer_value(value);
    else if (member->kind != OBJECT_MEMBER_SIZE || !json_is_string(value) ||
             !parse_size(json_string_value(value), &number))
        return false;
    if (number < member->min || number > member->max)
        return false;
    *out = number;
    return true;
}

static bool read_map(const struct object_member *member, const json_t *value, const json_t **out)
{
    if (!json_is_object(value) || json_object_size(value) == 0 ||
        json_object_size(value) > (size_t)member->max)
        return false;
    const char *name;
    json_t *text;
    json_object_foreach((json_t *)value, name, text)
    {
        if (!json_is_string(text) || *name == '\0' || !object_text_is_clean(name, 128) ||
            !object_text_is_clean(json_string_value(text), 256))
            return false;
    }
    *out = value;
    return true;
}

static bool read_raw(const struct object_member *member, const json_t *value, const char **out)
{
    const char *text = json_string_value(value);
    if (text == NULL || *text == '\0' || strlen(text) != json_string_length(value) ||
        json_string_length(value) > (size_t)member->max || (member->is_valid && !member->is_valid(text)))
        return false;
    *out = text;
    return true;
}

static bool read_member(const struct object_member *member, const json_t *value, void *out)
{
    void *at = (char *)out + member->offset;
    switch (member->kind) {
    case OBJECT_MEMBER_TEXT:
        return read_text(member, value, at);
    case OBJECT_MEMBER_SWITCH:
        *(enum object_said *)at = json_is_true(value) ? SAID_TRUE : SAID_FALSE;
        return json_is_boolean(value);
    case OBJECT_MEMBER_NUMBER:
    case OBJECT_MEMBER_SIZE:
        return read_number(member, value, at);
    case OBJECT_MEMBER_MAP:
        return read_map(member, value, at);
    case OBJECT_MEMBER_RAW:
        return read_raw(member, value, at);
    }
    return false;
}

static int unknown_member(const struct object_member *members, size_t n_members, const char *name,
                          struct error *err)
{
    struct strbuf known;
    strbuf_init(&known, 900);
    for (size_t i = 0; i < n_members; i++)
        if (!members[i].sealed)
            strbuf_printf(&known, "%s%s", i ? ", " : "", members[i].name);
    int rc = error_set(err, ERROR_INPUT, false, "storage_config: \"%.100s\" is unknown here; known: %s", name,
                       strbuf_cstr(&known));
    strbuf_deinit(&known);
    return rc;
}

int object_members_read(const struct object_member *members, size_t n_members, const json_t *config,
                        void *ret, struct error *err)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)config, name, value)
    {
        const struct object_member *member = members;
        while (member < members + n_members && strcmp(member->name, name) != 0)
            member++;
        if (member == members + n_members)
            return unknown_member(members, n_members, name, err);
        if (!json_is_null(value) && !read_member(member, value, ret))
            return error_set(err, ERROR_INPUT, false, "storage_config: \"%s\" must be %s", name,
                             member->may_be);
    }
    return 0;
}
