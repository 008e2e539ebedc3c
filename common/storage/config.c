/*
 * storage_config: a JSON object that may name where secrets live, never hold one. Members are judged by
 * their names (a list of endings) and values by the shapes that secrets travel in.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "storage/driver.h"

#define CONFIG_MAX (64 << 10)
#define NAME_MAX_SIZE 128

/* Endings of member names, in lower case without punctuation. access_key is the secret in some clouds and an
 * id in others: refused, since access_key_id can always be written. */
static const char *const secret_endings[] = {
    "password",      "passwd",           "passphrase",
    "pwd",           "secret",           "secretkey",
    "accesskey",     "accountkey",       "applicationkey",
    "appkey",        "apikey",           "authkey",
    "storagekey",    "sharedkey",        "privatekey",
    "encryptionkey", "customerkey",      "masterkey",
    "signingkey",    "hmackey",          "sas",
    "sasurl",        "sasuri",           "token",
    "credential",    "credentials",      "authorization",
    "signature",     "connectionstring", "connstr",
};

static const char advice[] =
    "write \"credentials_ref\" instead, which names where the secret lives: env:NAME, "
    "file:/run/secrets/x, vault:mount/path#field or aws-sm:id#field";

static void normalise(const char *name, char *out)
{
    size_t n = 0;
    for (; *name && n < NAME_MAX_SIZE - 1; name++)
        if (isalnum((unsigned char)*name))
            out[n++] = (char)tolower((unsigned char)*name);
    out[n] = '\0';
}

static bool ends_with(const char *text, const char *ending)
{
    size_t n = strlen(text);
    size_t k = strlen(ending);
    return n >= k && strcmp(text + n - k, ending) == 0;
}

static bool names_secret(const char *normal)
{
    if (strcmp(normal, "pass") == 0)
        return true;
    for (size_t i = 0; i < sizeof secret_endings / sizeof *secret_endings; i++)
        if (ends_with(normal, secret_endings[i]))
            return true;
    return false;
}

/* Switches, null and "" under such a name hold nothing ("use_token": false). */
static bool holds_something(const json_t *value)
{
    return !json_is_boolean(value) && !json_is_null(value) &&
           !(json_is_string(value) && json_string_length(value) == 0);
}

static bool url_has_password(const char *text)
{
    const char *at = strstr(text, "://");
    if (at == NULL)
        return false;
    at += 3;
    size_t authority = strcspn(at, "/?#");
    const char *sign = memrchr(at, '@', authority);
    return sign && memchr(at, ':', (size_t)(sign - at)) != NULL;
}

static const char *secret_shape(const char *text)
{
    if (strstr(text, "-----BEGIN") && strstr(text, "PRIVATE KEY"))
        return "a private key";
    if (strcasestr(text, "AccountKey=") || strcasestr(text, "SharedAccessSignature="))
        return "a connection string with its key";
    if (strstr(text, "?sig=") || strstr(text, "&sig=") || strcasestr(text, "X-Amz-Signature="))
        return "a signed URL";
    if (url_has_password(text))
        return "a URL with a password";
    return NULL;
}

static int check_reference(const char *name, const json_t *value, struct error *err)
{
    static const char *const schemes[] = {"env:", "file:", "vault:", "aws-sm:"};
    const char *text = json_string_value(value);
    size_t n = text ? strlen(text) : 0;
    bool ok = n > 0 && n <= 1024;
    for (size_t i = 0; ok && i < n; i++)
        ok = (unsigned char)text[i] > ' ' && text[i] != 0x7f;
    if (ok && strchr(text, ':')) {
        ok = false;
        for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
            ok = ok ||
                 (strncmp(text, schemes[i], strlen(schemes[i])) == 0 && text[strlen(schemes[i])] != '\0');
    }
    if (ok)
        return 0;
    return error_set(
        err, ERROR_INPUT, false,
        "storage_config: \"%.100s\" must be a string that names where the secret lives: env:NAME, "
        "file:/run/secrets/x, vault:mount/path#field, aws-sm:id#field or a bare name",
        name);
}

static int check_value(const char *name, const json_t *value, struct error *err);

static int check_member(const char *name, const json_t *value, struct error *err)
{
    char normal[NAME_MAX_SIZE];
    normalise(name, normal);
    if (ends_with(normal, "credentialsref") || ends_with(normal, "passwordref") ||
        ends_with(normal, "secretref"))
        return check_reference(name, value, err);
    if (names_secret(normal) && holds_something(value))
        return error_set(err, ERROR_INPUT, false, "storage_config: \"%.100s\" would hold a secret; %s", name,
                         advice);
    return check_value(name, value, err);
}

static int check_value(const char *name, const json_t *value, struct error *err)
{
    if (json_is_string(value)) {
        const char *shape = secret_shape(json_string_value(value));
        if (shape)
            return error_set(err, ERROR_INPUT, false, "storage_config: \"%.100s\" holds %s; %s", name, shape,
                             advice);
    } else if (json_is_object(value)) {
        const char *member;
        json_t *inner;
        json_object_foreach((json_t *)value, member, inner)
        {
            int rc = check_member(member, inner, err);
            if (rc < 0)
                return rc;
        }
    } else if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            int rc = check_value(name, json_array_get(value, i), err);
            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

int storage_config_parse(const char *text, json_t **ret_config, struct error *err)
{
    if (text == NULL || *text == '\0') {
        *ret_config = NULL;
        return 0;
    }
    if (strnlen(text, CONFIG_MAX + 1) > CONFIG_MAX)
        return error_set(err, ERROR_INPUT, false, "storage_config is longer than %d bytes", CONFIG_MAX);

    /* jansson's own message quotes the text, which may hold a secret: only the position is passed on. */
    json_error_t at;
    json_t *config = json_loads(text, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &at);
    if (config == NULL) {
        bool duplicate = json_error_code(&at) == json_error_duplicate_key;
        return error_set(err, ERROR_INPUT, false,
                         "storage_config is not valid JSON: %s at line %d, column %d",
                         duplicate ? "a member name appears twice" : "syntax error", at.line, at.column);
    }
    int rc = 0;
    if (!json_is_object(config))
        rc = error_set(err, ERROR_INPUT, false,
                       "storage_config must be a JSON object, such as {\"read_back\": true}");
    else
        rc = check_value("storage_config", config, err);
    if (rc < 0) {
        json_decref(config);
        return rc;
    }
    *ret_config = config;
    return 0;
}
