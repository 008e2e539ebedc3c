/*
 * storage_config: a JSON object that may name where secrets live, never hold one in clear. Members are judged
 * by their names (a list of endings) and values by the shapes that secrets travel in. A member of the object
 * is sealed as a whole when anything inside it is a secret.
 */
#include "storage/config.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/keyring.h"
#include "auth/secret.h"

#define CONFIG_MAX (64 << 10)
#define NAME_MAX_SIZE 128

/* Endings of member names, in lower case without punctuation. access_key is the secret in some clouds and an
 * id in others: refused, since access_key_id can always be written. */
static const char *const secret_endings[] = {
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "secretkey",
    "accesskey",
    "accountkey",
    "applicationkey",
    "appkey",
    "apikey",
    "authkey",
    "storagekey",
    "sharedkey",
    "privatekey",
    "encryptionkey",
    "customerkey",
    "masterkey",
    "signingkey",
    "hmackey",
    "sas",
    "sasurl",
    "sasuri",
    "token",
    "credential",
    "credentials",
    "authorization",
    "signature",
    "connectionstring",
    "connstr",
    "serviceaccountjson",
};

static const char advice[] =
    "write \"credentials_ref\" instead, which names where the secret lives: env:NAME, "
    "file:/run/secrets/x, vault:mount/path#field or aws-sm:id#field; or have it encrypted: "
    "backupctl destination add|update --encrypt-config, or \"encrypt_config\": true over HTTP";

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

/* Both set *ret_secret when it is a literal secret that they refuse, which sealing cures. */
static int check_value(const char *name, const json_t *value, bool *ret_secret, struct error *err);

static int check_member(const char *name, const json_t *value, bool *ret_secret, struct error *err)
{
    char normal[NAME_MAX_SIZE];
    normalise(name, normal);
    if (ends_with(normal, "credentialsref") || ends_with(normal, "passwordref") ||
        ends_with(normal, "secretref"))
        return check_reference(name, value, err);
    if (names_secret(normal) && holds_something(value)) {
        *ret_secret = true;
        return error_set(err, ERROR_INPUT, false, "storage_config: \"%.100s\" would hold a secret; %s", name,
                         advice);
    }
    return check_value(name, value, ret_secret, err);
}

static int check_value(const char *name, const json_t *value, bool *ret_secret, struct error *err)
{
    if (json_is_string(value)) {
        const char *shape = secret_shape(json_string_value(value));
        *ret_secret |= shape != NULL;
        if (shape)
            return error_set(err, ERROR_INPUT, false, "storage_config: \"%.100s\" holds %s; %s", name, shape,
                             advice);
    } else if (json_is_object(value)) {
        const char *member;
        json_t *inner;
        json_object_foreach((json_t *)value, member, inner)
        {
            int rc = check_member(member, inner, ret_secret, err);
            if (rc < 0)
                return rc;
        }
    } else if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            int rc = check_value(name, json_array_get(value, i), ret_secret, err);
            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

static bool is_key_id(const char *text)
{
    return text && strlen(text) == KEYRING_ID_SIZE - 1 &&
           strspn(text, "0123456789abcdef") == KEYRING_ID_SIZE - 1;
}

static int check_sealed(const json_t *sealed, struct error *err)
{
    const char *data = json_string_value(json_object_get(sealed, "data"));
    if (json_object_size(sealed) == 2 && is_key_id(json_string_value(json_object_get(sealed, "key_id"))) &&
        data && *data)
        return 0;
    return error_set(
        err, ERROR_INPUT, false,
        "storage_config: \"sealed\" is what --encrypt-config makes of secrets: an object of key_id and "
        "data; give the secrets themselves with --encrypt-config (over HTTP \"encrypt_config\": true)");
}

/* Of a member of the object itself. */
static int judge(const char *name, const json_t *value, bool *ret_secret, struct error *err)
{
    *ret_secret = false;
    return strcmp(name, "sealed") == 0 ? check_sealed(value, err)
                                       : check_member(name, value, ret_secret, err);
}

/* The object, whatever is in it. */
static int load(const char *text, json_t **ret_config, struct error *err)
{
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
    if (!json_is_object(config)) {
        storage_config_free(config);
        return error_set(err, ERROR_INPUT, false,
                         "storage_config must be a JSON object, such as {\"read_back\": true}");
    }
    *ret_config = config;
    return 0;
}

static int parse(const char *text, bool literal, json_t **ret_config, struct error *err)
{
    if (text == NULL || *text == '\0') {
        *ret_config = NULL;
        return 0;
    }
    json_t *config;
    int rc = load(text, &config, err);
    if (rc)
        return rc;
    const char *name;
    json_t *value;
    json_object_foreach(config, name, value)
    {
        bool secret;
        rc = judge(name, value, &secret, err);
        if (rc && literal && secret)
            rc = 0;
        if (rc)
            break;
    }
    if (rc) {
        storage_config_free(config);
        return rc;
    }
    *ret_config = config;
    return 0;
}

int storage_config_parse(const char *text, json_t **ret_config, struct error *err)
{
    return parse(text, false, ret_config, err);
}

int storage_config_parse_literal(const char *text, json_t **ret_config, struct error *err)
{
    return parse(text, true, ret_config, err);
}

void storage_config_free(json_t *config)
{
    secret_json_free(config);
}

const char *storage_config_key_id(const json_t *config)
{
    return json_string_value(json_object_get(json_object_get(config, "sealed"), "key_id"));
}

/* --- sealing --- */

static const char context[] = "storage_config";

static int out_of_memory(struct error *err)
{
    return error_set(err, ERROR_SYSTEM, true, "out of memory");
}

/* Parts config's members into those that are secret and the others. */
static int part(const json_t *config, json_t *secrets, json_t *rest, struct error *err)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)config, name, value)
    {
        bool secret;
        int rc = judge(name, value, &secret, err);
        if (rc && !secret)
            return rc;
        if (json_object_set(secret ? secrets : rest, name, value))
            return out_of_memory(err);
    }
    return 0;
}

/* text: JSON of the secret members. */
static int seal_text(const char *text, const struct keyring *keyring, json_t **ret_sealed, struct error *err)
{
    char id[KEYRING_ID_SIZE];
    char *data = NULL;
    int rc = keyring_seal(keyring, context, text, strlen(text), id, &data, err);
    if (rc)
        return rc;
    *ret_sealed = json_pack("{s:s, s:s}", "key_id", id, "data", data);
    free(data);
    return *ret_sealed ? 0 : out_of_memory(err);
}

static int seal_members(const json_t *secrets, const struct keyring *keyring, json_t **ret_sealed,
                        struct error *err)
{
    char *text = json_dumps(secrets, JSON_COMPACT);
    int rc = text ? seal_text(text, keyring, ret_sealed, err) : out_of_memory(err);
    secret_free(text);
    return rc;
}

int storage_config_seal(const json_t *config, const struct keyring *keyring, json_t **ret_config,
                        struct error *err)
{
    if (json_object_get(config, "sealed"))
        return error_set(err, ERROR_INPUT, false,
                         "storage_config: \"sealed\" is there already; give all secrets anew, without it");
    json_t *secrets = json_object(), *rest = json_object(), *sealed = NULL;
    int rc = secrets && rest ? part(config, secrets, rest, err) : out_of_memory(err);
    if (rc == 0 && json_object_size(secrets) > 0) {
        rc = seal_members(secrets, keyring, &sealed, err);
        if (rc == 0 && json_object_set_new(rest, "sealed", sealed))
            rc = out_of_memory(err);
    }
    json_decref(secrets); /* config's own strings */
    if (rc) {
        json_decref(rest);
        return rc;
    }
    *ret_config = rest;
    return 0;
}

static int merge(json_t *opened, const char *text, struct error *err)
{
    json_t *secrets = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    const char *name;
    json_t *value;
    int rc = 0;
    if (!json_is_object(secrets))
        rc = error_set(err, ERROR_CORRUPT, false, "storage_config: what is sealed is not a JSON object");
    json_object_foreach(secrets, name, value)
    {
        if (rc == 0 && json_object_get(opened, name))
            rc = error_set(
                err, ERROR_CORRUPT, false,
                "storage_config: \"%.100s\" stands both in the open and sealed; give the configuration anew",
                name);
        if (rc == 0 && json_object_set(opened, name, value))
            rc = out_of_memory(err);
    }
    if (rc)
        secret_json_free(secrets);
    else
        json_decref(secrets); /* opened has its values now */
    return rc;
}

/* *ret_text: what is sealed in config, JSON of the secret members; secret_free it. */
static int open_text(const json_t *config, const struct keyring *keyring, char **ret_text, struct error *err)
{
    size_t size;
    const char *data = json_string_value(json_object_get(json_object_get(config, "sealed"), "data"));
    const char *id = storage_config_key_id(config);
    if (keyring == NULL || data == NULL || id == NULL)
        return error_set(err, ERROR_INPUT, false,
                         "storage_config: it has nothing sealed that could be opened here");
    int rc = keyring_open(keyring, id, context, data, ret_text, &size, err);
    if (rc)
        error_context(err, "storage_config");
    return rc;
}

int storage_config_open(const json_t *config, const struct keyring *keyring, json_t **ret_config,
                        struct error *err)
{
    if (json_object_get(config, "sealed") == NULL) {
        *ret_config = json_incref((json_t *)config);
        return 0;
    }
    char *text;
    int rc = open_text(config, keyring, &text, err);
    if (rc)
        return rc;
    json_t *opened = json_copy((json_t *)config);
    rc = opened ? 0 : out_of_memory(err);
    if (rc == 0) {
        json_object_del(opened, "sealed");
        rc = merge(opened, text, err);
    }
    secret_free(text);
    if (rc) {
        storage_config_free(opened);
        return rc;
    }
    *ret_config = opened;
    return 0;
}

int storage_config_reseal(const json_t *config, const struct keyring *keyring, json_t **ret_config,
                          struct error *err)
{
    char *text;
    json_t *sealed = NULL;
    int rc = open_text(config, keyring, &text, err);
    if (rc)
        return rc;
    rc = seal_text(text, keyring, &sealed, err);
    secret_free(text);
    if (rc)
        return rc;
    json_t *copy = json_copy((json_t *)config);
    if (copy == NULL || json_object_set_new(copy, "sealed", sealed)) {
        json_decref(copy);
        return out_of_memory(err);
    }
    *ret_config = copy;
    return 0;
}

/* --- showing --- */

/* Nothing to hide: shown as it was written. */
static bool can_be_shown(const char *text)
{
    json_t *config = NULL;
    bool ok = storage_config_parse(text, &config, NULL) == 0 && json_object_get(config, "sealed") == NULL;
    storage_config_free(config);
    return ok;
}

char *storage_config_redact(const char *text)
{
    if (can_be_shown(text))
        return strdup(text);
    json_t *config = strlen(text) <= CONFIG_MAX ? json_loads(text, 0, NULL) : NULL;
    if (!json_is_object(config)) {
        secret_json_free(config);
        return strdup("***");
    }
    const char *name;
    json_t *value;
    void *next;
    json_object_foreach_safe(config, next, name, value)
    {
        bool secret;
        if (strcmp(name, "sealed") == 0 || judge(name, value, &secret, NULL))
            json_object_set_new(config, name, json_string("***"));
    }
    char *shown = json_dumps(config, JSON_COMPACT);
    secret_json_free(config);
    return shown;
}
