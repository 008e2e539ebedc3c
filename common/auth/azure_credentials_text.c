/* The texts that a referenced secret may hold. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "auth/azure_connection.h"
#include "auth/azure_environment.h"
#include "auth/azure_keys.h"
#include "auth/azure_sas.h"
#include "auth/azure_text.h"
#include "auth/base64.h"
#include "auth/secret.h"
#include "base/clock.h"
#include "base/timestamp.h"

enum { TEXT_MAX = 64 * 1024, NAMES = 4 };

static const char *const forms =
    "write an account key, a connection string, a SAS token, or JSON with account_name and account_key, "
    "sas_token, connection_string, access_token, or tenant_id, client_id and client_secret";

static int unknown_form(const char *what, const char *why, struct error *err)
{
    return error_set(err, ERROR_INPUT, false, "%.300s: %s; %s", what, why, forms);
}

/* Where a text comes from, and what it is asked for. */
struct reading {
    const char *what;
    const struct azure_credentials_ask *ask;
    int64_t now_ms;
};

/* ---- finished credentials ---- */

/* account: the text's own, or NULL. Another one than the ask's is a mistake of one of them. */
static int choose_account(const struct reading *r, const char *account, const char **ret, struct error *err)
{
    const char *asked = r->ask->account;
    if (!azure_is_said(account)) {
        *ret = azure_is_said(asked) ? asked : azure_environment(AZURE_STORAGE_ACCOUNT);
        return 0;
    }
    if (azure_is_said(asked) && strcmp(asked, account) != 0)
        return error_set(err, ERROR_INPUT, false,
                         "%.300s: is of account \"%.63s\", the destination's is \"%.63s\"", r->what, account,
                         asked);
    *ret = account;
    return 0;
}

static int check_expiry(const struct reading *r, int64_t expires_at_ms, const char *name, struct error *err)
{
    char when[CLOCK_ISO8601_SIZE];
    if (expires_at_ms == 0 || expires_at_ms > r->now_ms)
        return 0;
    clock_iso8601(expires_at_ms, when);
    return error_set(err, ERROR_DENIED, true, "%.300s: this %s has expired at %s: make a new one", r->what,
                     name, when);
}

static int finish(const struct reading *r, struct azure_credentials *found, const char *account,
                  bool https_only, struct azure_credentials **ret, struct error *err)
{
    found->source = r->what;
    int rc = choose_account(r, account, &found->account, err);
    if (rc == 0)
        rc = azure_keys_check_endpoint(found, r->ask->endpoint, https_only, err);
    return rc ? rc : azure_keys_new(found, ret, err);
}

static int finish_key(const struct reading *r, const char *base64, const char *account, const char *endpoint,
                      struct azure_credentials **ret, struct error *err)
{
    unsigned char *key;
    size_t size;
    if (base64_decode(base64, BASE64_STANDARD, &key, &size))
        return error_set(err, ERROR_INPUT, false, "%.300s: the account key isn't base64", r->what);
    struct azure_credentials found = {
        .kind = AZURE_SHARED_KEY, .key = key, .key_size = size, .endpoint = endpoint};
    int rc = finish(r, &found, account, false, ret, err);
    explicit_bzero(key, size);
    free(key);
    return rc;
}

static int finish_sas(const struct reading *r, const char *text, const char *account, const char *endpoint,
                      struct azure_credentials **ret, struct error *err)
{
    struct azure_sas sas;
    int rc = azure_sas_read(text, r->what, &sas, err);
    if (rc == 0)
        rc = check_expiry(r, sas.expires_at_ms, "SAS", err);
    if (rc)
        return rc;
    struct azure_credentials found = {
        .kind = AZURE_SAS, .sas = sas.query, .expires_at_ms = sas.expires_at_ms, .endpoint = endpoint};
    return finish(r, &found, account, sas.https_only, ret, err);
}

static int finish_connection(const struct reading *r, const char *text, struct azure_credentials **ret,
                             struct error *err)
{
    struct azure_connection c;
    int rc = azure_connection_read(text, r->what, &c, err);
    if (rc)
        return rc;
    if (c.key)
        rc = finish_key(r, c.key, c.account, c.endpoint, ret, err);
    else
        rc = finish_sas(r, c.sas, c.account, c.endpoint, ret, err);
    azure_connection_deinit(&c);
    return rc;
}

/* ---- JSON ---- */

enum member {
    ACCOUNT_NAME,
    ACCOUNT_KEY,
    SAS_TOKEN,
    CONNECTION_STRING,
    ACCESS_TOKEN,
    TENANT_ID,
    CLIENT_ID,
    CLIENT_SECRET,
    MEMBERS
};

/* The first is ours, the others are what Azure's own tools print. */
static const char *const names[MEMBERS][NAMES] = {
    [ACCOUNT_NAME] = {"account_name", "accountName", "account"},
    [ACCOUNT_KEY] = {"account_key", "accountKey"},
    [SAS_TOKEN] = {"sas_token", "sasToken"},
    [CONNECTION_STRING] = {"connection_string", "connectionString"},
    [ACCESS_TOKEN] = {"access_token", "accessToken"},
    [TENANT_ID] = {"tenant_id", "tenantId", "tenant"},
    [CLIENT_ID] = {"client_id", "clientId", "appId"},
    [CLIENT_SECRET] = {"client_secret", "clientSecret", "password"},
};

static int take(const json_t *object, enum member member, const char *what, const char **ret,
                struct error *err)
{
    for (int i = 0; i < NAMES && names[member][i]; i++) {
        const json_t *value = json_object_get(object, names[member][i]);
        if (value == NULL || json_is_null(value))
            continue;
        if (!json_is_string(value))
            return error_set(err, ERROR_INPUT, false, "%.300s: \"%s\" isn't a text", what, names[member][i]);
        *ret = json_string_value(value);
        return 0;
    }
    return 0;
}

/* Seconds since 1970, as a number or a text, or a whole time; 0 where nothing is said. */
static int read_expiry(const json_t *value, const char *what, int64_t *ret_ms, struct error *err)
{
    const char *text = json_string_value(value);
    *ret_ms = 0;
    if (value == NULL || json_is_null(value))
        return 0;
    if (json_is_integer(value) && json_integer_value(value) > 0 &&
        json_integer_value(value) < INT64_C(100000000000))
        *ret_ms = json_integer_value(value) * 1000;
    else if (text && text[0] != '\0' && strlen(text) <= 11 && text[strspn(text, "0123456789")] == '\0')
        *ret_ms = strtoll(text, NULL, 10) * 1000;
    else if (text)
        *ret_ms = timestamp_parse(text);
    return *ret_ms > 0 ? 0
                       : error_set(err, ERROR_INPUT, false,
                                   "%.300s: \"expires_on\" must be seconds since 1970, or a time as "
                                   "2026-01-02T03:04:05Z",
                                   what);
}

static int finish_token(const struct reading *r, const json_t *object, const char *const said[MEMBERS],
                        struct azure_credentials **ret, struct error *err)
{
    struct azure_credentials found = {.kind = AZURE_BEARER, .token = said[ACCESS_TOKEN]};
    int rc = read_expiry(json_object_get(object, "expires_on"), r->what, &found.expires_at_ms, err);
    if (rc == 0)
        rc = check_expiry(r, found.expires_at_ms, "access token", err);
    return rc ? rc : finish(r, &found, said[ACCOUNT_NAME], true, ret, err);
}

static int finish_client(const struct reading *r, const char *const said[MEMBERS],
                         struct azure_identity *ret_client, struct error *err)
{
    struct azure_identity_texts texts = {
        .tenant_id = said[TENANT_ID], .client_id = said[CLIENT_ID], .client_secret = said[CLIENT_SECRET]};
    if (!azure_is_said(texts.tenant_id) || !azure_is_said(texts.client_id) ||
        !azure_is_said(texts.client_secret))
        return unknown_form(r->what, "JSON without all of tenant_id, client_id and client_secret", err);
    if (ret_client == NULL)
        return error_set(err, ERROR_UNSUPPORTED, false,
                         "%.300s: a client secret can't be used here; name it by credentials_ref", r->what);
    return azure_identity_init(ret_client, AZURE_IDENTITY_SECRET, &texts, r->what, err);
}

static int from_object(const struct reading *r, const json_t *object, struct azure_credentials **ret,
                       struct azure_identity *ret_client, struct error *err)
{
    const char *said[MEMBERS] = {NULL};
    for (int i = 0; i < MEMBERS; i++) {
        int rc = take(object, (enum member)i, r->what, &said[i], err);
        if (rc)
            return rc;
    }
    int ways = !!said[ACCOUNT_KEY] + !!said[SAS_TOKEN] + !!said[CONNECTION_STRING] + !!said[ACCESS_TOKEN] +
               !!said[CLIENT_SECRET];
    if (ways != 1)
        return unknown_form(r->what,
                            ways ? "JSON with more than one kind of secret" : "JSON without a secret", err);
    if (said[ACCOUNT_KEY])
        return finish_key(r, said[ACCOUNT_KEY], said[ACCOUNT_NAME], NULL, ret, err);
    if (said[SAS_TOKEN])
        return finish_sas(r, said[SAS_TOKEN], said[ACCOUNT_NAME], NULL, ret, err);
    if (said[CONNECTION_STRING])
        return finish_connection(r, said[CONNECTION_STRING], ret, err);
    if (said[ACCESS_TOKEN])
        return finish_token(r, object, said, ret, err);
    return finish_client(r, said, ret_client, err);
}

static int from_json(const struct reading *r, const char *text, struct azure_credentials **ret,
                     struct azure_identity *ret_client, struct error *err)
{
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    int rc = json_is_object(object) ? from_object(r, object, ret, ret_client, err)
                                    : unknown_form(r->what, "begins like JSON, and isn't", err);
    secret_json_free(object);
    return rc;
}

/* ---- one line ---- */

static int from_line(const struct reading *r, const char *text, struct azure_credentials **ret,
                     struct error *err)
{
    if (strncmp(text, "https://", 8) == 0 || strncmp(text, "http://", 7) == 0)
        return unknown_form(r->what, "a whole address; of a SAS address, write what is behind its '?'", err);
    if (azure_connection_is(text))
        return finish_connection(r, text, ret, err);
    if (azure_sas_is(text))
        return finish_sas(r, text, NULL, NULL, ret, err);
    unsigned char *key;
    size_t size;
    if (base64_decode(text, BASE64_STANDARD, &key, &size))
        return unknown_form(r->what, "of no form that is known", err);
    explicit_bzero(key, size);
    free(key);
    return finish_key(r, text, NULL, NULL, ret, err);
}

/* Without blanks at its ends; NULL: no memory. */
static char *trimmed(const char *text)
{
    static const char blanks[] = " \t\r\n";
    if (strncmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3;
    text += strspn(text, blanks);
    size_t size = strlen(text);
    while (size > 0 && strchr(blanks, text[size - 1]))
        size--;
    return strndup(text, size);
}

int azure_text_read(const char *text, const char *what, const struct azure_credentials_ask *ask,
                    int64_t now_ms, struct azure_credentials **ret, struct azure_identity *ret_client,
                    struct error *err)
{
    const struct reading r = {what, ask, now_ms};
    if (strlen(text) > TEXT_MAX)
        return error_set(err, ERROR_LIMIT, false, "%.300s: longer than %d bytes", what, TEXT_MAX);
    char *line = trimmed(text);
    int rc;
    if (line == NULL)
        rc = error_set(err, ERROR_SYSTEM, true, "out of memory");
    else if (line[0] == '\0')
        rc = unknown_form(what, "empty", err);
    else if (line[0] == '{')
        rc = from_json(&r, line, ret, ret_client, err);
    else
        rc = from_line(&r, line, ret, err);
    secret_free(line);
    return rc;
}

int azure_text_read_key(const char *base64, const char *what, const struct azure_credentials_ask *ask,
                        struct azure_credentials **ret, struct error *err)
{
    const struct reading r = {what, ask, 0};
    return finish_key(&r, base64, NULL, NULL, ret, err);
}

int azure_text_read_sas(const char *text, const char *what, const struct azure_credentials_ask *ask,
                        int64_t now_ms, struct azure_credentials **ret, struct error *err)
{
    const struct reading r = {what, ask, now_ms};
    return finish_sas(&r, text, NULL, NULL, ret, err);
}

int azure_text_read_connection(const char *text, const char *what, const struct azure_credentials_ask *ask,
                               int64_t now_ms, struct azure_credentials **ret, struct error *err)
{
    const struct reading r = {what, ask, now_ms};
    return finish_connection(&r, text, ret, err);
}

int azure_credentials_parse(const char *text, const char *what, const struct azure_credentials_ask *ask,
                            int64_t now_ms, struct azure_credentials **ret, struct error *err)
{
    return azure_text_read(text, what, ask, now_ms, ret, NULL, err);
}
