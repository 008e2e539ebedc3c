/*
 * "Name=value;Name=value": names in any case, values hold '=' (base64, SAS). The text is copied, cut up in
 * place, and an endpoint that has to be put together stands behind it.
 */
#include "auth/azure_connection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "auth/service_address.h"

enum { ENDPOINT_SIZE = 400 };

enum member {
    ACCOUNT_NAME,
    ACCOUNT_KEY,
    SHARED_ACCESS_SIGNATURE,
    BLOB_ENDPOINT,
    ENDPOINT_SUFFIX,
    DEFAULT_ENDPOINTS_PROTOCOL,
    USE_DEVELOPMENT_STORAGE,
    DEVELOPMENT_STORAGE_PROXY_URI,
    MEMBERS
};

static const char *const names[MEMBERS] = {
    [ACCOUNT_NAME] = "AccountName",
    [ACCOUNT_KEY] = "AccountKey",
    [SHARED_ACCESS_SIGNATURE] = "SharedAccessSignature",
    [BLOB_ENDPOINT] = "BlobEndpoint",
    [ENDPOINT_SUFFIX] = "EndpointSuffix",
    [DEFAULT_ENDPOINTS_PROTOCOL] = "DefaultEndpointsProtocol",
    [USE_DEVELOPMENT_STORAGE] = "UseDevelopmentStorage",
    [DEVELOPMENT_STORAGE_PROXY_URI] = "DevelopmentStorageProxyUri",
};

/* Microsoft's documentation publishes the emulator's account and key: they guard nothing. */
static const char emulator_account[] = "devstoreaccount1";
static const char emulator_key[] =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
static const char emulator_endpoint[] = "http://127.0.0.1:10000/devstoreaccount1";

static enum member member_of(const char *text, size_t size)
{
    int i = 0;
    while (i < MEMBERS && (strlen(names[i]) != size || strncasecmp(text, names[i], size) != 0))
        i++;
    return (enum member)i;
}

bool azure_connection_is(const char *text)
{
    while (*text) {
        text += strspn(text, "; \t\r\n");
        size_t n = strcspn(text, ";="), size = strcspn(text, ";");
        if (text[n] == '=' && member_of(text, n) != MEMBERS)
            return true;
        text += size;
    }
    return false;
}

/* Cuts text up; values of members that are empty stay NULL. */
static void cut(char *text, const char *values[MEMBERS])
{
    char *next;
    for (; text; text = next) {
        next = strchr(text, ';');
        if (next)
            *next++ = '\0';
        text += strspn(text, " \t\r\n");
        size_t n = strcspn(text, "=");
        enum member member = text[n] == '=' ? member_of(text, n) : MEMBERS;
        char *value = text + n + 1;
        if (member == MEMBERS)
            continue;
        for (size_t size = strlen(value); size > 0 && strchr(" \t\r\n", value[size - 1]); size--)
            value[size - 1] = '\0';
        values[member] = value[0] != '\0' ? value : NULL;
    }
}

static void use_emulator(struct azure_connection *c)
{
    c->account = emulator_account;
    c->key = emulator_key;
    c->endpoint = emulator_endpoint;
}

static bool is_host(const char *text)
{
    return strlen(text) < 200 &&
           text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-:")] == '\0';
}

/* The endpoint into ret[ENDPOINT_SIZE], "" where nobody knows. */
static int find_endpoint(const char *const values[MEMBERS], const char *what, char *ret, struct error *err)
{
    const char *given = values[BLOB_ENDPOINT], *account = values[ACCOUNT_NAME];
    const char *protocol = values[DEFAULT_ENDPOINTS_PROTOCOL], *suffix = values[ENDPOINT_SUFFIX];
    ret[0] = '\0';
    if (given) {
        if (service_address_of(given) == SERVICE_ADDRESS_WRONG || strlen(given) >= ENDPOINT_SIZE)
            return error_set(err, ERROR_INPUT, false,
                             "%.300s: BlobEndpoint must be http://HOST or https://HOST, with a port or a "
                             "path",
                             what);
        snprintf(ret, ENDPOINT_SIZE, "%s", given);
        for (size_t n = strlen(ret); n > 0 && ret[n - 1] == '/'; n--)
            ret[n - 1] = '\0';
        return 0;
    }
    if (protocol && strcasecmp(protocol, "https") != 0 && strcasecmp(protocol, "http") != 0)
        return error_set(err, ERROR_INPUT, false, "%.300s: DefaultEndpointsProtocol must be https or http",
                         what);
    if (account == NULL)
        return 0;
    if ((suffix && !is_host(suffix)) || !is_host(account))
        return error_set(err, ERROR_INPUT, false,
                         "%.300s: AccountName or EndpointSuffix can't be part of a host's name", what);
    snprintf(ret, ENDPOINT_SIZE, "%s://%s.blob.%s",
             protocol && strcasecmp(protocol, "http") == 0 ? "http" : "https", account,
             suffix ? suffix : "core.windows.net");
    return 0;
}

static int read_values(const char *const values[MEMBERS], const char *what, char *endpoint,
                       struct azure_connection *c, struct error *err)
{
    const char *emulator = values[USE_DEVELOPMENT_STORAGE];
    if (values[DEVELOPMENT_STORAGE_PROXY_URI])
        return error_set(err, ERROR_UNSUPPORTED, false,
                         "%.300s: DevelopmentStorageProxyUri isn't served: write BlobEndpoint, AccountName "
                         "and AccountKey",
                         what);
    if (emulator && strcasecmp(emulator, "true") == 0) {
        use_emulator(c);
        return 0;
    }
    c->account = values[ACCOUNT_NAME];
    c->key = values[ACCOUNT_KEY];
    c->sas = values[SHARED_ACCESS_SIGNATURE];
    if (c->key == NULL && c->sas == NULL)
        return error_set(err, ERROR_INPUT, false,
                         "%.300s: a connection string with neither AccountKey nor SharedAccessSignature",
                         what);
    int rc = find_endpoint(values, what, endpoint, err);
    c->endpoint = endpoint[0] != '\0' ? endpoint : NULL;
    return rc;
}

int azure_connection_read(const char *text, const char *what, struct azure_connection *ret, struct error *err)
{
    const char *values[MEMBERS] = {NULL};
    struct azure_connection c = {.memory_size = strlen(text) + 1 + ENDPOINT_SIZE};
    c.memory = calloc(1, c.memory_size);
    if (c.memory == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    memcpy(c.memory, text, strlen(text));
    cut(c.memory, values);
    int rc = read_values(values, what, c.memory + strlen(text) + 1, &c, err);
    if (rc)
        azure_connection_deinit(&c);
    else
        *ret = c;
    return rc;
}

void azure_connection_deinit(struct azure_connection *connection)
{
    if (connection->memory)
        explicit_bzero(connection->memory, connection->memory_size);
    free(connection->memory);
    *connection = (struct azure_connection){0};
}
