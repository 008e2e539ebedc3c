#include "storage/gcs/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/gcs/config_members.h"
#include "storage/object/key.h"

#define MAX_REQUESTS 32
#define GOOGLES_ENDPOINT "https://storage.googleapis.com"

static int refuse(struct error *err, const char *what)
{
    return error_set(err, ERROR_INPUT, false, "storage_config: %s", what);
}

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), k = strlen(end);
    return n >= k && strcmp(text + n - k, end) == 0;
}

static int use_endpoint(struct gcs_config *config, const char *text)
{
    struct object_endpoint endpoint;
    if (!object_endpoint_parse(text, &endpoint) || *endpoint.path)
        return -1;
    snprintf(config->endpoint, sizeof config->endpoint, "%s", endpoint.scheme_host);
    config->https = endpoint.https;
    config->google = endpoint.https && ends_with(endpoint.scheme_host, GCS_DOMAIN);
    return 0;
}

/* "host:port" means http, as for Google's clients. */
static int use_emulator(struct gcs_config *config, const char *said, struct error *err)
{
    char url[300];
    int n = snprintf(url, sizeof url, "%s%s", strstr(said, "://") ? "" : "http://", said);
    if (n >= (int)sizeof url || use_endpoint(config, url))
        return error_set(
            err, ERROR_INPUT, false,
            "STORAGE_EMULATOR_HOST must be \"host:port\" or \"http://host:port\", without a path; "
            "unset it, or say \"endpoint\" in storage_config, where no emulator is meant");
    return 0;
}

/* Where to, and with what right. */
static int place(struct gcs_config *config, const struct gcs_members *said, bool credentials_named,
                 struct error *err)
{
    const char *emulator = said->endpoint ? NULL : environment("STORAGE_EMULATOR_HOST");
    int rc = 0;
    if (emulator)
        rc = use_emulator(config, emulator, err);
    else if (use_endpoint(config, said->endpoint ? said->endpoint : GOOGLES_ENDPOINT))
        rc = refuse(err, "\"endpoint\" must be \"https://host\" or \"https://host:port\" (http:// where the "
                         "service has no TLS), without a path, and with the bucket in \"bucket\"");
    bool chain = !emulator && (config->https || environment("GOOGLE_APPLICATION_CREDENTIALS"));
    config->auth = credentials_named || chain ? GCS_AUTH_CREDENTIALS : GCS_AUTH_NONE;
    return rc;
}

/* Names of what every object carries of ours. */
static bool names_ours(const json_t *metadata)
{
    static const char *const ours[] = {"sha256", "row-id", "fence", "backup-id"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (json_object_get(metadata, ours[i]))
            return true;
    return false;
}

static int check_together(const struct gcs_config *config, const struct gcs_members *said, struct error *err)
{
    const struct {
        bool wrong;
        const char *what;
    } rules[] = {
        {said->chunk_size % (int64_t)GCS_CHUNK_UNIT != 0,
         "\"chunk_size\" must be a multiple of 256 KiB, such as \"64MiB\""},
        {!said->retention_mode != !said->retention_days,
         "\"retention_mode\" and \"retention_days\" go together"},
        {said->credentials_ref && said->service_account_json,
         "\"credentials_ref\" and \"service_account_json\" name two sets of credentials: keep one"},
        {said->kms_key_name && said->encryption_key_ref,
         "\"kms_key_name\" and \"encryption_key_ref\" name two keys: keep one"},
        {said->encryption_key_ref && !config->https,
         "\"encryption_key_ref\" has its key sent with each request, so that the endpoint must be https"},
        {names_ours(said->metadata),
         "\"metadata\" can't hold \"sha256\", \"row-id\", \"fence\" or \"backup-id\": each object has its own"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].wrong)
            return refuse(err, rules[i].what);
    return 0;
}

static void take_over(struct gcs_config *config, const struct gcs_members *said)
{
    config->bucket = said->bucket;
    config->ca_file = said->ca_file;
    config->user_project = said->user_project;
    config->credentials_ref = said->credentials_ref;
    config->service_account_json = said->service_account_json;
    config->storage_class = said->storage_class;
    config->kms_key_name = said->kms_key_name;
    config->encryption_key_ref = said->encryption_key_ref;
    config->predefined_acl = said->predefined_acl;
    config->retention_mode = said->retention_mode;
    config->retention_days = said->retention_days;
    config->metadata = said->metadata;
    config->custom_time = said->custom_time == SAID_TRUE;
    config->temporary_hold = said->temporary_hold == SAID_TRUE;
    config->event_based_hold = said->event_based_hold == SAID_TRUE;
    config->read_back = said->read_back == SAID_TRUE;
    config->chunk_size = (uint64_t)said->chunk_size;
    config->multipart_threshold =
        said->multipart_threshold ? (uint64_t)said->multipart_threshold : GCS_MULTIPART_THRESHOLD;
    config->max_requests = said->max_requests ? (int)said->max_requests : MAX_REQUESTS;
}

int gcs_config_load(const struct storage_location *location, struct gcs_config *ret, struct error *err)
{
    struct gcs_config config = {0};
    struct gcs_members said;
    int rc = gcs_members_read(location->config, &said, err);
    if (rc < 0)
        return rc;
    if (said.bucket == NULL)
        return refuse(err, "\"bucket\" is missing: the name of the bucket to write to");
    bool credentials_named = said.credentials_ref || said.service_account_json ||
                             (location->credentials_ref && *location->credentials_ref);
    rc = place(&config, &said, credentials_named, err);
    if (rc < 0)
        return rc;
    take_over(&config, &said);
    rc = check_together(&config, &said, err);
    if (rc < 0)
        return rc;
    *ret = config;
    return 0;
}

int gcs_config_check_key(const char *key, struct error *err)
{
    static const char acme[] = ".well-known/acme-challenge/";
    int rc = object_key_check(key, err);
    if (rc == 0 && strncmp(key, acme, strlen(acme)) == 0)
        rc = error_set(err, ERROR_UNSAFE_PATH, false,
                       "file path '%.300s' is below %s, where Google takes no objects", key, acme);
    return rc;
}
