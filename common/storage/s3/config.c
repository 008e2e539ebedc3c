#include "storage/s3/config.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/object/endpoint.h"
#include "storage/part_plan.h"
#include "storage/s3/config_members.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define PARALLEL_PARTS 4
#define MAX_REQUESTS 32

static const struct s3_preset presets[] = {
    {
        .storage_type = "s3",
        .endpoint = "https://s3.%s.amazonaws.com",
        .default_region = "us-east-1",
        .chain = AWS_CHAIN_FULL,
        .checksum = S3_CHECKSUM_CRC32C,
        .virtual_hosts = true,
        .conditional_write = true,
        .sse_s3 = true,
        .sse_kms = true,
        .sse_customer = true,
        .object_lock = true,
        .tags = true,
        .storage_classes = true,
        .part_min = 5 * MIB,
        .part_max = 5 * GIB,
        .single_max = 5 * GIB,
        .max_parts = PART_PLAN_MAX_PARTS,
    },
    {
        .storage_type = "minio",
        .endpoint = NULL,
        .default_region = "us-east-1",
        .chain = AWS_CHAIN_ENVIRONMENT_FILES,
        .checksum = S3_CHECKSUM_CRC32C,
        .virtual_hosts = false,
        .conditional_write = true,
        .sse_s3 = true,
        .sse_kms = true,
        .sse_customer = true,
        .object_lock = true,
        .tags = true,
        .storage_classes = true,
        .part_min = 5 * MIB,
        .part_max = 5 * GIB,
        .single_max = 5 * GIB,
        .max_parts = PART_PLAN_MAX_PARTS,
    },
    {
        .storage_type = "spaces",
        .endpoint = "https://%s.digitaloceanspaces.com",
        .default_region = NULL,
        .chain = AWS_CHAIN_ENVIRONMENT_FILES,
        .checksum = S3_CHECKSUM_MD5,
        .virtual_hosts = true,
        .conditional_write = false,
        .sse_customer = true,
        .part_min = 5 * MIB,
        .part_max = 5 * GIB,
        .single_max = 5 * GIB,
        .max_parts = PART_PLAN_MAX_PARTS,
    },
    {
        .storage_type = "backblaze",
        .endpoint = "https://s3.%s.backblazeb2.com",
        .default_region = NULL,
        .chain = AWS_CHAIN_ENVIRONMENT_FILES,
        .checksum = S3_CHECKSUM_MD5,
        .virtual_hosts = true,
        .conditional_write = false,
        .sse_s3 = true,
        .sse_customer = true,
        .object_lock = true,
        .part_min = 5 * MIB,
        .part_max = 5 * GIB,
        .single_max = UINT64_C(5000000000),
        .max_parts = PART_PLAN_MAX_PARTS,
    },
};

/* China's regions are a world of their own. */
static const char china_prefix[] = "cn-";
static const char china_suffix[] = ".cn";

static int refuse(struct error *err, const char *what)
{
    return error_set(err, ERROR_INPUT, false, "storage_config: %s", what);
}

/* What people write, as it is signed. */
static int parse_endpoint(const char *text, struct object_endpoint *ret, struct error *err)
{
    if (!object_endpoint_parse(text, ret) || *ret->path)
        return refuse(err,
                      "\"endpoint\" must be \"https://host\" or \"https://host:port\" (http:// where the "
                      "service has no TLS), without a path, and with the bucket in \"bucket\"");
    return 0;
}

/* What stands for %s in a preset's endpoint, when scheme_host is one of its endpoints. */
static bool region_of_endpoint(const struct s3_preset *preset, const char *scheme_host, char *out,
                               size_t size)
{
    if (preset->endpoint == NULL)
        return false;
    size_t before = strcspn(preset->endpoint, "%");
    const char *after = preset->endpoint + before + 2;
    size_t n = strlen(scheme_host);
    if (n <= before + strlen(after) || strncmp(scheme_host, preset->endpoint, before) != 0)
        return false;
    size_t region_size = n - before - strlen(after);
    if (strcmp(scheme_host + n - strlen(after), after) != 0 || region_size >= size)
        return false;
    memcpy(out, scheme_host + before, region_size);
    out[region_size] = '\0';
    return s3_region_is_valid(out);
}

/* Whether the host belongs to the preset's own service, in whatever form. */
static bool is_own_service(const struct s3_preset *preset, const char *scheme_host)
{
    if (preset->endpoint == NULL)
        return true;
    const char *domain = strchr(preset->endpoint, '%') + 2;
    const char *host = strstr(scheme_host, "://") + 3;
    const char *found = strstr(host, domain);
    return found && strspn(found + strlen(domain), ".cn:0123456789") == strlen(found + strlen(domain));
}

/* Can be the first label of a host that a wildcard certificate covers. */
static bool bucket_is_label(const char *bucket)
{
    size_t n = strlen(bucket);
    return n >= 3 && n <= 63 && strspn(bucket, "abcdefghijklmnopqrstuvwxyz0123456789-") == n &&
           bucket[0] != '-' && bucket[n - 1] != '-';
}

static void add_bucket(struct s3_config *config, const char *scheme_host)
{
    const char *host = strstr(scheme_host, "://") + 3;
    if (config->virtual_hosted)
        snprintf(config->scheme_host, sizeof config->scheme_host, "%.*s%.63s.%.220s",
                 (int)(host - scheme_host), scheme_host, config->bucket, host);
    else
        snprintf(config->scheme_host, sizeof config->scheme_host, "%s", scheme_host);
}

static bool is_presets_endpoint(const struct s3_config *config)
{
    return config->endpoint == config->preset->endpoint;
}

static void fill_presets_endpoint(struct s3_config *config)
{
    const char *pattern = config->preset->endpoint;
    size_t before = strcspn(pattern, "%");
    bool china = strcmp(config->preset->storage_type, "s3") == 0 &&
                 strncmp(config->region, china_prefix, strlen(china_prefix)) == 0;
    char scheme_host[200];
    snprintf(scheme_host, sizeof scheme_host, "%.*s%s%s%s", (int)before, pattern, config->region,
             pattern + before + 2, china ? china_suffix : "");
    add_bucket(config, scheme_host);
}

void s3_config_set_region(struct s3_config *config, const char *region)
{
    snprintf(config->region, sizeof config->region, "%s", region);
    if (is_presets_endpoint(config))
        fill_presets_endpoint(config);
}

/* Where to, for whom, and in which form. */
static int place(struct s3_config *config, const struct s3_members *said, struct error *err)
{
    const struct s3_preset *preset = config->preset;
    struct object_endpoint at = {.https = true};
    config->endpoint = said->endpoint ? said->endpoint : preset->endpoint;
    if (config->endpoint == NULL)
        return refuse(err,
                      "\"endpoint\" is missing: \"https://host\" or \"https://host:port\" of the server");
    if (said->endpoint) {
        int rc = parse_endpoint(said->endpoint, &at, err);
        if (rc < 0)
            return rc;
    }
    config->https = at.https;
    config->region_said = true;
    if (said->region)
        snprintf(config->region, sizeof config->region, "%s", said->region);
    else if (said->endpoint &&
             region_of_endpoint(preset, at.scheme_host, config->region, sizeof config->region))
        config->region_said = true;
    else if (preset->default_region) {
        config->region_said = false;
        snprintf(config->region, sizeof config->region, "%s", preset->default_region);
    } else {
        return error_set(err, ERROR_INPUT, false,
                         "storage_config: \"region\" is missing: it is the part of the endpoint's name that "
                         "stands for XXX in %.*sXXX%s",
                         (int)strcspn(preset->endpoint, "%"), preset->endpoint,
                         strchr(preset->endpoint, '%') + 2);
    }

    bool label = bucket_is_label(config->bucket);
    bool asked = said->addressing && strcmp(said->addressing, "virtual") == 0;
    if (asked && !label)
        return refuse(err, "\"addressing\" can't be \"virtual\" with this bucket: its name holds a '.', "
                           "upper case or '_', or is too long; leave \"addressing\" out");
    config->virtual_hosted =
        asked || (!said->addressing && !said->endpoint && preset->virtual_hosts && label);
    if (said->endpoint)
        add_bucket(config, at.scheme_host);
    else
        fill_presets_endpoint(config);
    return 0;
}

static bool is_kms(const char *sse)
{
    return sse && strncmp(sse, "aws:kms", 7) == 0;
}

/* What was asked for must be there, and fit together. */
static int check_together(const struct s3_config *config, const struct s3_members *said, struct error *err)
{
    const struct s3_preset *preset = config->preset;
    bool customer = said->sse && strcmp(said->sse, "customer") == 0;
    bool lock = said->object_lock_mode || said->object_lock_days || said->object_lock_legal_hold == SAID_TRUE;
    const struct {
        bool asked, offered;
        const char *name;
    } offers[] = {
        {said->sse && strcmp(said->sse, "AES256") == 0, preset->sse_s3, "sse \"AES256\""},
        {is_kms(said->sse), preset->sse_kms, "sse with KMS"},
        {customer, preset->sse_customer, "sse \"customer\""},
        {lock, preset->object_lock, "object lock"},
        {said->tags != NULL, preset->tags, "tags"},
        {said->storage_class != NULL, preset->storage_classes, "storage classes"},
    };
    for (size_t i = 0; i < sizeof offers / sizeof *offers; i++)
        if (offers[i].asked && !offers[i].offered)
            return error_set(err, ERROR_INPUT, false, "storage_config: %s has no %s: leave it out",
                             preset->storage_type, offers[i].name);

    const struct {
        bool wrong;
        const char *what;
    } rules[] = {
        {!said->access_key_id != !said->secret_access_key,
         "\"access_key_id\" and \"secret_access_key\" go together; better write \"credentials_ref\" alone, "
         "which names where both live: env:NAME, file:/run/secrets/x, vault:mount/path or aws-sm:id"},
        {said->session_token && !said->access_key_id, "\"session_token\" goes with \"access_key_id\""},
        {said->access_key_id && said->credentials_ref,
         "\"credentials_ref\" and \"access_key_id\" name two sets of credentials: keep one"},
        {said->profile && (said->credentials_ref || said->access_key_id),
         "\"profile\" belongs to AWS's configuration files, \"credentials_ref\" names another place: keep one"},
        {(said->sse_kms_key_id || said->sse_kms_context || said->sse_bucket_key) && !is_kms(said->sse),
         "\"sse_kms_key_id\", \"sse_kms_context\" and \"sse_bucket_key\" go with \"sse\": \"aws:kms\""},
        {customer != (said->sse_customer_key_ref != NULL),
         "\"sse\": \"customer\" and \"sse_customer_key_ref\" go together"},
        {customer && !config->https,
         "\"sse\": \"customer\" sends its key with each request, so that the endpoint must be https"},
        {!said->object_lock_mode != !said->object_lock_days,
         "\"object_lock_mode\" and \"object_lock_days\" go together"},
        {lock && config->checksum == S3_CHECKSUM_NONE,
         "object lock needs a checksum with each upload: \"checksum\" can't be \"none\""},
        {said->part_size &&
             ((uint64_t)said->part_size < preset->part_min || (uint64_t)said->part_size > preset->part_max),
         "\"part_size\" must be 5 MiB to 5 GiB"},
        {(uint64_t)said->multipart_threshold > preset->single_max,
         "\"multipart_threshold\" is above what one request may carry, about 5 GB"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].wrong)
            return refuse(err, rules[i].what);
    return 0;
}

static enum s3_checksum checksum_of(const char *text)
{
    if (strcmp(text, "none") == 0)
        return S3_CHECKSUM_NONE;
    return strcmp(text, "md5") == 0 ? S3_CHECKSUM_MD5 : S3_CHECKSUM_CRC32C;
}

static void take_over(struct s3_config *config, const struct s3_members *said)
{
    const struct s3_preset *preset = config->preset;
    /* An S3 of unknown make gets what every one understands. */
    bool known = is_presets_endpoint(config) || is_own_service(preset, config->scheme_host);
    config->checksum = said->checksum                                     ? checksum_of(said->checksum)
                       : !known && preset->checksum == S3_CHECKSUM_CRC32C ? S3_CHECKSUM_MD5
                                                                          : preset->checksum;
    config->conditional_write = said->conditional_write == SAID_NOT ? known && preset->conditional_write
                                                                    : said->conditional_write == SAID_TRUE;
    config->profile = said->profile;
    config->ca_file = said->ca_file;
    config->credentials_ref = said->credentials_ref;
    config->access_key_id = said->access_key_id;
    config->secret_access_key = said->secret_access_key;
    config->session_token = said->session_token;
    config->storage_class = said->storage_class;
    config->sse = said->sse;
    config->sse_kms_key_id = said->sse_kms_key_id;
    config->sse_kms_context = said->sse_kms_context;
    config->sse_customer_key_ref = said->sse_customer_key_ref;
    config->sse_bucket_key = said->sse_bucket_key == SAID_TRUE;
    config->tags = said->tags;
    config->object_lock_mode = said->object_lock_mode;
    config->object_lock_days = said->object_lock_days;
    config->object_lock_legal_hold = said->object_lock_legal_hold == SAID_TRUE;
    config->expected_bucket_owner = said->expected_bucket_owner;
    config->read_back = said->read_back == SAID_TRUE;
    config->part_size = (uint64_t)said->part_size;
    config->multipart_threshold =
        said->multipart_threshold ? (uint64_t)said->multipart_threshold : PART_PLAN_BASE_SIZE;
    config->max_parts = said->max_parts ? (uint32_t)said->max_parts : preset->max_parts;
    config->parallel_parts = said->parallel_parts ? (int)said->parallel_parts : PARALLEL_PARTS;
    config->max_requests = said->max_requests ? (int)said->max_requests : MAX_REQUESTS;
}

int s3_config_load(const struct storage_location *location, struct s3_config *ret, struct error *err)
{
    struct s3_config config = {0};
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
        if (strcmp(presets[i].storage_type, location->storage_type) == 0)
            config.preset = &presets[i];
    assert(config.preset); /* driver.c chose this driver by the type */

    struct s3_members said;
    int rc = s3_members_read(location->config, &said, err);
    if (rc < 0)
        return rc;
    if (said.bucket == NULL)
        return refuse(err, "\"bucket\" is missing: the name of the bucket to write to");
    config.bucket = said.bucket;
    rc = place(&config, &said, err);
    if (rc < 0)
        return rc;
    take_over(&config, &said);
    rc = check_together(&config, &said, err);
    if (rc < 0)
        return rc;
    *ret = config;
    return 0;
}
