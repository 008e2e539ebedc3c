/*
 * What a Google Cloud Storage destination says of itself. Pure, but for the three variables of the
 * environment named below.
 *
 * storage_config members (all but bucket optional; null = not said):
 *
 *   where     bucket, endpoint ("https://host[:port]"), ca_file (absolute path), user_project (who is billed:
 *             requester pays), prefix (for making rows, not used here)
 *   who       credentials_ref; sealed only: service_account_json (the text of a key file)
 *   how       storage_class, kms_key_name, encryption_key_ref (a key of one's own, AES-256 in base64),
 *             metadata (object of strings), custom_time (true: the time of the upload; for lifecycle rules),
 *             predefined_acl, temporary_hold, event_based_hold, retention_mode "Unlocked" | "Locked",
 *             retention_days
 *   checks    read_back
 *   transfer  chunk_size, multipart_threshold (bytes, or "64MiB"), max_requests
 *
 * An unknown member is an error that names it and lists the known ones.
 *
 * Without "endpoint": STORAGE_EMULATOR_HOST ("host:port" or a URL), as Google's own clients read it, else
 * https://storage.googleapis.com.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "storage/driver.h"
#include "storage/object/endpoint.h"

/* What a request is authorised with. */
enum gcs_auth {
    GCS_AUTH_CREDENTIALS, /* google_credentials: what is named, else as Google's clients find them */
    /* Nothing: without credentials that are named an emulator gets none, and no other endpoint without TLS
     * either unless GOOGLE_APPLICATION_CREDENTIALS is set: the machine's own token isn't sent in clear. */
    GCS_AUTH_NONE,
};

struct gcs_config {
    char endpoint[280]; /* "https://storage.googleapis.com", no slash at its end */
    bool https;
    bool google; /* the endpoint is one of Google's own */
    enum gcs_auth auth;
    /* strings below point into the location's config */
    const char *bucket, *ca_file, *user_project, *credentials_ref, *service_account_json;
    const char *storage_class, *kms_key_name, *encryption_key_ref, *predefined_acl, *retention_mode;
    const json_t *metadata;
    int64_t retention_days;
    bool custom_time, temporary_hold, event_based_hold, read_back;
    uint64_t chunk_size; /* most of one request of a resumable upload; 0 = all that is left */
    uint64_t multipart_threshold;
    int max_requests;
};

/* Where Google answers: below this domain. */
#define GCS_DOMAIN ".googleapis.com"

/* Objects up to this go in one request, sent again from its start when it breaks off: 16 MiB, as the other
 * drivers. Above, a break costs at most what Google hasn't kept yet. */
#define GCS_MULTIPART_THRESHOLD (UINT64_C(16) << 20)
#define GCS_CHUNK_UNIT (UINT64_C(256) << 10) /* all requests of an upload but the last are multiples */

/* ERROR_INPUT names the member, or the variable, and what it may be; never a secret's value. */
int gcs_config_load(const struct storage_location *location, struct gcs_config *ret, struct error *err);
/* Google's rules, and those of all our keys. ERROR_UNSAFE_PATH: empty, over 1024 bytes, not UTF-8, control
 * characters (CR and LF among them), '.' or '..' components, below ".well-known/acme-challenge/". */
int gcs_config_check_key(const char *key, struct error *err);
