/* The texts that a referenced secret may hold: JSON, a credentials file, one line. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "auth/aws_keys.h"
#include "base/ini.h"

enum { TEXT_MAX = 64 * 1024, NAMES = 6 };

static const char *const forms =
    "write {\"access_key_id\": \"...\", \"secret_access_key\": \"...\"}, or an AWS "
    "credentials file with [default], or one line ID:SECRET[:TOKEN]";

static int unknown_form(const char *what, const char *why, struct error *err)
{
    return error_set(err, ERROR_INPUT, false, "%.300s: %s; %s", what, why, forms);
}

/* ---- JSON ---- */

/* The text of the first of names that is there, or NULL. */
static int take(const json_t *object, const char *const names[NAMES], const char *what, const char **ret,
                struct error *err)
{
    *ret = NULL;
    for (int i = 0; i < NAMES && names[i]; i++) {
        const json_t *value = json_object_get(object, names[i]);
        if (value == NULL || json_is_null(value))
            continue;
        if (!json_is_string(value))
            return error_set(err, ERROR_INPUT, false, "%.300s: \"%s\" isn't a text", what, names[i]);
        *ret = json_string_value(value);
        return 0;
    }
    return 0;
}

static int from_object(const json_t *object, const char *what, struct aws_credentials *ret, char **ret_memory,
                       struct error *err)
{
    static const char *const ids[NAMES] = {"access_key_id", "AccessKeyId",      "aws_access_key_id",
                                           "keyId",         "applicationKeyId", "AWS_ACCESS_KEY_ID"};
    static const char *const secrets[NAMES] = {"secret_access_key", "SecretAccessKey",
                                               "aws_secret_access_key", "applicationKey",
                                               "AWS_SECRET_ACCESS_KEY"};
    static const char *const tokens[NAMES] = {"session_token", "SessionToken", "Token", "aws_session_token",
                                              "AWS_SESSION_TOKEN"};
    struct aws_credentials found = {.source = what};
    int rc = take(object, ids, what, &found.access_key_id, err);
    if (rc == 0)
        rc = take(object, secrets, what, &found.secret_access_key, err);
    if (rc == 0)
        rc = take(object, tokens, what, &found.session_token, err);
    if (rc)
        return rc;
    if (found.access_key_id == NULL || found.secret_access_key == NULL)
        return unknown_form(
            what, found.access_key_id ? "JSON without a secret access key" : "JSON without an access key id",
            err);
    return aws_keys_copy(what, &found, ret, ret_memory, err);
}

static int from_json(const char *text, const char *what, struct aws_credentials *ret, char **ret_memory,
                     struct error *err)
{
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(object)) {
        json_decref(object);
        return unknown_form(what, "begins like JSON, and isn't", err);
    }
    int rc = from_object(object, what, ret, ret_memory, err);
    json_decref(object);
    return rc;
}

/* ---- a credentials file ---- */

enum { ID, SECRET, TOKEN, KEYS };

/* [default] as it is read, and the one other section. */
struct file_form {
    struct section {
        bool seen;
        char *keys[KEYS];
    } fallback, other;
    char *other_name;
    bool several; /* sections besides [default] */
};

static void section_deinit(struct section *section)
{
    for (int i = 0; i < KEYS; i++) {
        if (section->keys[i])
            explicit_bzero(section->keys[i], strlen(section->keys[i]));
        free(section->keys[i]);
    }
}

static int on_section(void *data, const char *section, struct error *err)
{
    struct file_form *form = data;
    if (strcmp(section, "default") == 0) {
        form->fallback.seen = true;
        return 0;
    }
    form->other.seen = true;
    if (form->other_name == NULL) {
        form->other_name = strdup(section);
        return form->other_name ? 0 : error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    if (strcmp(section, form->other_name) != 0)
        form->several = true;
    return 0;
}

static int on_value(void *data, const char *section, const char *key, const char *value, struct error *err)
{
    static const char *const names[KEYS] = {"aws_access_key_id", "aws_secret_access_key",
                                            "aws_session_token"};
    struct file_form *form = data;
    struct section *into = strcmp(section, "default") == 0 ? &form->fallback : &form->other;
    for (int i = 0; i < KEYS; i++) {
        if (strcmp(key, names[i]) != 0)
            continue;
        char *copy = strdup(value);
        if (copy == NULL)
            return error_set(err, ERROR_SYSTEM, true, "out of memory");
        if (into->keys[i])
            explicit_bzero(into->keys[i], strlen(into->keys[i]));
        free(into->keys[i]);
        into->keys[i] = copy;
    }
    return 0;
}

static int choose(const struct file_form *form, const char *what, struct aws_credentials *ret,
                  char **ret_memory, struct error *err)
{
    if (!form->fallback.seen && form->several)
        return unknown_form(what, "several sections, and none is [default]", err);
    const struct section *section = form->fallback.seen ? &form->fallback : &form->other;
    if (section->keys[ID] == NULL || section->keys[SECRET] == NULL)
        return unknown_form(what, "its section lacks aws_access_key_id or aws_secret_access_key", err);
    struct aws_credentials found = {section->keys[ID], section->keys[SECRET], section->keys[TOKEN], 0, what};
    return aws_keys_copy(what, &found, ret, ret_memory, err);
}

static int from_file(const char *text, const char *what, struct aws_credentials *ret, char **ret_memory,
                     struct error *err)
{
    static const struct ini_events events = {on_section, on_value};
    struct file_form form = {0};
    int rc = ini_parse(text, strlen(text), &events, &form, err);
    if (rc)
        error_context(err, "%.300s", what);
    else
        rc = choose(&form, what, ret, ret_memory, err);
    section_deinit(&form.fallback);
    section_deinit(&form.other);
    free(form.other_name);
    return rc;
}

/* ---- one line ---- */

static int from_line(const char *text, size_t size, const char *what, struct aws_credentials *ret,
                     char **ret_memory, struct error *err)
{
    char *line = strndup(text, size);
    if (line == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    char *secret = strchr(line, ':'), *token = NULL;
    int rc;
    if (strpbrk(line, "\r\n") || secret == NULL)
        rc = unknown_form(what, "neither JSON nor a credentials file nor ID:SECRET", err);
    else {
        *secret++ = '\0';
        token = strchr(secret, ':');
        if (token)
            *token++ = '\0';
        struct aws_credentials found = {line, secret, token, 0, what};
        rc = aws_keys_copy(what, &found, ret, ret_memory, err);
    }
    explicit_bzero(line, size);
    free(line);
    return rc;
}

int aws_credentials_parse(const char *text, const char *what, struct aws_credentials *ret, char **ret_memory,
                          struct error *err)
{
    static const char blanks[] = " \t\r\n";
    if (strlen(text) > TEXT_MAX)
        return error_set(err, ERROR_LIMIT, false, "%.300s: longer than %d bytes", what, TEXT_MAX);
    if (strncmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3;
    text += strspn(text, blanks);
    size_t size = strlen(text);
    while (size > 0 && strchr(blanks, text[size - 1]))
        size--;
    if (size == 0)
        return unknown_form(what, "empty", err);
    if (*text == '{')
        return from_json(text, what, ret, ret_memory, err);
    if (strchr("[#;", *text))
        return from_file(text, what, ret, ret_memory, err);
    return from_line(text, size, what, ret, ret_memory, err);
}
