#include "auth/azure_keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/service_address.h"
#include "base/digest.h"

/* The strings stand behind it, in one piece, which is overwritten. */
struct holder {
    struct azure_credentials credentials; /* first */
    size_t size;
    char text[];
};

bool azure_is_said(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static bool is_clean(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text <= ' ' || *text == 0x7f)
            return false;
    }
    return true;
}

static bool is_account(const char *text)
{
    return strlen(text) <= 63 && text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0';
}

static int check_sent(const struct azure_credentials *c, const char *text, const char *name,
                      struct error *err)
{
    if (!azure_is_said(text))
        return error_set(err, ERROR_INPUT, false, "%.300s: no %s in it", c->source, name);
    if (!is_clean(text))
        return error_set(err, ERROR_INPUT, false, "%.300s: a blank or a control character in the %s",
                         c->source, name);
    return 0;
}

static int check(const struct azure_credentials *c, struct error *err)
{
    if (azure_is_said(c->account) && !is_account(c->account))
        return error_set(err, ERROR_INPUT, false,
                         "%.300s: the account's name isn't one (lower-case letters and digits)", c->source);
    switch (c->kind) {
    case AZURE_SAS:
        return check_sent(c, c->sas, "SAS token", err);
    case AZURE_BEARER:
        return check_sent(c, c->token, "access token", err);
    case AZURE_SHARED_KEY:
        break;
    }
    if (c->key_size == 0)
        return error_set(err, ERROR_INPUT, false, "%.300s: no account key in it", c->source);
    if (!azure_is_said(c->account))
        return error_set(err, ERROR_INPUT, false,
                         "%.300s: an account key, but of which account? Set \"account\" in storage_config, "
                         "or AZURE_STORAGE_ACCOUNT",
                         c->source);
    return 0;
}

static int write_id(struct azure_credentials *c, struct error *err)
{
    char hex[DIGEST_SHA256_SIZE];
    struct digest *digest = digest_new();
    if (digest == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    if (c->kind == AZURE_SHARED_KEY)
        digest_update(digest, c->key, c->key_size);
    else {
        const char *secret = c->kind == AZURE_SAS ? c->sas : c->token;
        digest_update(digest, secret, strlen(secret));
    }
    digest_final(digest, hex);
    digest_free(digest);
    snprintf(c->id, sizeof c->id, "%.*s", AZURE_CREDENTIALS_ID_SIZE - 1, hex);
    return 0;
}

static size_t size_of(const char *text)
{
    return azure_is_said(text) ? strlen(text) + 1 : 0;
}

/* *at moves behind the copy. */
static const char *put(char **at, const char *text)
{
    size_t n = size_of(text);
    if (n == 0)
        return NULL;
    char *copy = memcpy(*at, text, n);
    *at += n;
    return copy;
}

int azure_keys_new(const struct azure_credentials *from, struct azure_credentials **ret, struct error *err)
{
    int rc = check(from, err);
    if (rc)
        return rc;
    size_t size = size_of(from->account) + size_of(from->sas) + size_of(from->token) +
                  size_of(from->endpoint) + size_of(from->source) + from->key_size;
    if (size > AZURE_KEYS_MAX)
        return error_set(err, ERROR_LIMIT, false, "%.300s: credentials longer than %d bytes", from->source,
                         AZURE_KEYS_MAX);
    struct holder *holder = calloc(1, sizeof *holder + size);
    if (holder == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    char *at = holder->text;
    holder->size = size;
    struct azure_credentials *c = &holder->credentials;
    c->kind = from->kind;
    c->expires_at_ms = from->expires_at_ms;
    c->account = put(&at, from->account);
    c->sas = put(&at, from->sas);
    c->token = put(&at, from->token);
    c->endpoint = put(&at, from->endpoint);
    c->source = put(&at, from->source);
    if (from->key_size > 0) {
        c->key = memcpy(at, from->key, from->key_size);
        c->key_size = from->key_size;
    }
    rc = write_id(c, err);
    if (rc) {
        azure_credentials_free(c);
        return rc;
    }
    *ret = c;
    return 0;
}

void azure_credentials_free(struct azure_credentials *credentials)
{
    struct holder *holder = (struct holder *)credentials;
    if (holder == NULL)
        return;
    explicit_bzero(holder->text, holder->size);
    free(holder);
}

int azure_keys_check_endpoint(const struct azure_credentials *keys, const char *endpoint, bool https_only,
                              struct error *err)
{
    const char *to = azure_is_said(endpoint) ? endpoint : keys->endpoint;
    if (to == NULL || service_address_of(to) != SERVICE_ADDRESS_PLAIN)
        return 0;
    if (keys->kind == AZURE_BEARER)
        return error_set(err, ERROR_INPUT, false,
                         "%.300s: an access token isn't sent over plain http, where others can read it: make "
                         "the endpoint https://, or use an account key",
                         keys->source);
    if (keys->kind == AZURE_SAS && https_only)
        return error_set(err, ERROR_INPUT, false,
                         "%.300s: this SAS is for https alone (spr=https): make the endpoint https://",
                         keys->source);
    return 0;
}
