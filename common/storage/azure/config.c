#include "storage/azure/config.h"

#include <stdio.h>
#include <string.h>

#include "storage/azure/config_members.h"
#include "storage/object/endpoint.h"
#include "storage/object/key.h"
#include "storage/part_plan.h"

#define API_VERSION "2021-12-02" /* the first one with the tier Cold; Azurite has it since 3.22 */
#define SUFFIX "blob.core.windows.net"
#define PARALLEL_PARTS 4
#define MAX_REQUESTS 32

static int refuse(struct error *err, const char *what)
{
    return error_set(err, ERROR_INPUT, false, "storage_config: %s", what);
}

/* An address, or a name without a domain: an emulator. Its accounts stand in the path. */
static bool is_plain_host(const char *scheme_host)
{
    const char *host = strstr(scheme_host, "://") + 3;
    size_t n = strcspn(host, ":");
    return *host == '[' || memchr(host, '.', n) == NULL || strspn(host, "0123456789.") == n;
}

/* "ACCOUNT" of "https://ACCOUNT.blob.core.windows.net", in whichever cloud; geo-redundant reading has
 * "ACCOUNT-secondary". */
static bool account_of_host(const char *scheme_host, char out[AZURE_ACCOUNT_SIZE])
{
    const char *host = strstr(scheme_host, "://") + 3;
    size_t n = strcspn(host, ".");
    if (strncmp(host + n, ".blob.", 6) != 0)
        return false;
    if (n > 10 && strncmp(host + n - 10, "-secondary", 10) == 0)
        n -= 10;
    if (n == 0 || n >= AZURE_ACCOUNT_SIZE)
        return false;
    memcpy(out, host, n);
    out[n] = '\0';
    return true;
}

/* Where `endpoint` is, and whose account that is where it tells. */
static int place_at(struct azure_config *config, const char *text, struct error *err)
{
    struct object_endpoint endpoint;
    char account[AZURE_ACCOUNT_SIZE] = "";
    if (!object_endpoint_parse(text, &endpoint))
        return refuse(err,
                      "\"endpoint\" must be \"https://host\" or \"https://host:port\" (http:// where the "
                      "service has no TLS); an emulator's has the account in its path: "
                      "\"http://127.0.0.1:10000/devstoreaccount1\"; the container stands in "
                      "\"container\"");
    if (*endpoint.path == '\0' && is_plain_host(endpoint.scheme_host) && *config->account)
        snprintf(endpoint.path, sizeof endpoint.path, "/%s", config->account);
    const char *last = strrchr(endpoint.path, '/');
    if (last)
        snprintf(account, sizeof account, "%s", last + 1);
    else
        account_of_host(endpoint.scheme_host, account);
    if (*account && *config->account && strcmp(account, config->account) != 0)
        return refuse(err, "\"account\" and \"endpoint\" name two accounts: leave one of them out");
    if (*account)
        memcpy(config->account, account, sizeof account);
    config->https = endpoint.https;
    snprintf(config->base_url, sizeof config->base_url, "%s%s", endpoint.scheme_host, endpoint.path);
    return 0;
}

int azure_config_place(struct azure_config *config, const char *account, const char *endpoint,
                       struct error *err)
{
    char own[AZURE_ACCOUNT_SIZE + sizeof "https://." SUFFIX];
    if (*config->account == '\0' && account && strlen(account) < sizeof config->account)
        memcpy(config->account, account, strlen(account) + 1);
    if (*config->base_url)
        return 0;
    if (endpoint && *endpoint)
        return place_at(config, endpoint, err);
    if (*config->account == '\0')
        return refuse(err,
                      "\"account\" is missing: the name of the storage account (or give \"endpoint\", or "
                      "credentials that are a connection string)");
    snprintf(own, sizeof own, "https://%s." SUFFIX, config->account);
    return place_at(config, own, err);
}

static int place(struct azure_config *config, const struct azure_members *said, struct error *err)
{
    if (said->account)
        snprintf(config->account, sizeof config->account, "%s", said->account);
    config->https = true; /* until it is known */
    config->endpoint = said->endpoint ? said->endpoint : said->account ? said->account : "azure_blob";
    if (said->endpoint)
        return place_at(config, said->endpoint, err);
    /* A connection string may name another cloud: it is asked first where there may be one. */
    bool later = said->connection_string || said->account == NULL;
    return later ? 0 : azure_config_place(config, NULL, NULL, err);
}

/* What was asked for must fit together. */
static int check_together(const struct azure_config *config, const struct azure_members *said,
                          struct error *err)
{
    int secrets = !!said->account_key + !!said->sas_token + !!said->connection_string;
    const struct {
        bool wrong;
        const char *what;
    } rules[] = {
        {secrets > 1 || (secrets && said->credentials_ref),
         "\"credentials_ref\", \"account_key\", \"sas_token\" and \"connection_string\" are four ways to say "
         "who writes: keep one"},
        {(said->client_id || said->tenant_id) && (secrets || said->credentials_ref),
         "\"client_id\" and \"tenant_id\" choose an identity of this machine, another member names a secret: "
         "keep one"},
        {said->account_key && *config->account == '\0',
         "\"account_key\" goes with \"account\", the name of the account that it belongs to"},
        {!said->immutability_mode != !said->immutability_days,
         "\"immutability_mode\" and \"immutability_days\" go together"},
        {said->customer_key_ref && said->encryption_scope,
         "\"customer_key_ref\" and \"encryption_scope\" exclude each other: keep one"},
        {said->customer_key_ref && !config->https,
         "\"customer_key_ref\" sends its key with each request, so that the endpoint must be https"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].wrong)
            return refuse(err, rules[i].what);
    return 0;
}

static enum azure_checksum checksum_of(const char *text)
{
    if (text == NULL)
        return AZURE_CHECKSUM_AUTO;
    if (strcmp(text, "none") == 0)
        return AZURE_CHECKSUM_NONE;
    return strcmp(text, "md5") == 0 ? AZURE_CHECKSUM_MD5 : AZURE_CHECKSUM_CRC64;
}

static void take_over(struct azure_config *config, const struct azure_members *said)
{
    config->container = said->container;
    config->ca_file = said->ca_file;
    config->api_version = said->api_version ? said->api_version : API_VERSION;
    config->credentials_ref = said->credentials_ref;
    config->client_id = said->client_id;
    config->tenant_id = said->tenant_id;
    config->account_key = said->account_key;
    config->sas_token = said->sas_token;
    config->connection_string = said->connection_string;
    config->tier = said->tier;
    config->tags = said->tags;
    config->encryption_scope = said->encryption_scope;
    config->customer_key_ref = said->customer_key_ref;
    config->immutability_mode = said->immutability_mode;
    config->immutability_days = said->immutability_days;
    config->legal_hold = said->legal_hold == SAID_TRUE;
    config->read_back = said->read_back == SAID_TRUE;
    config->checksum = checksum_of(said->checksum);
    config->part_size = (uint64_t)said->part_size;
    config->multipart_threshold =
        said->multipart_threshold ? (uint64_t)said->multipart_threshold : PART_PLAN_BASE_SIZE;
    config->max_parts = said->max_parts ? (uint32_t)said->max_parts : AZURE_MAX_BLOCKS;
    config->parallel_parts = said->parallel_parts ? (int)said->parallel_parts : PARALLEL_PARTS;
    config->max_requests = said->max_requests ? (int)said->max_requests : MAX_REQUESTS;
}

int azure_config_load(const struct storage_location *location, struct azure_config *ret, struct error *err)
{
    struct azure_config config = {0};
    struct azure_members said;
    int rc = azure_members_read(location->config, &said, err);
    if (rc < 0)
        return rc;
    if (said.container == NULL)
        return refuse(err, "\"container\" is missing: the name of the container to write to");
    take_over(&config, &said);
    rc = place(&config, &said, err);
    if (rc == 0)
        rc = check_together(&config, &said, err);
    if (rc < 0)
        return rc;
    *ret = config;
    return 0;
}

int azure_config_check_key(const char *key, struct error *err)
{
    int rc = object_key_check(key, err);
    if (rc < 0)
        return rc;
    if (strchr(key, '\\'))
        return error_set(
            err, ERROR_UNSAFE_PATH, false,
            "file path '%.300s' has a '\\', which Azure makes a '/' of: write the path without it", key);
    for (const char *at = key;; at += strcspn(at, "/") + 1) {
        size_t size = strcspn(at, "/");
        if (size > 0 && at[size - 1] == '.')
            return error_set(err, ERROR_UNSAFE_PATH, false,
                             "file path '%.300s' has a component that ends in '.', which Azure may drop: "
                             "write the path without it",
                             key);
        if (at[size] == '\0' && size == 0)
            return error_set(err, ERROR_UNSAFE_PATH, false,
                             "file path '%.300s' ends in '/', which Azure may drop: write a name behind it",
                             key);
        if (at[size] == '\0')
            return 0;
    }
}
