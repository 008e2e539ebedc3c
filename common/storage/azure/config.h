/*
 * What an azure_blob destination says of itself. Pure.
 *
 * storage_config members (all but container optional; null = not said):
 *
 *   where     account, container, endpoint ("https://host[:port]", a sovereign cloud's, a custom domain, or
 *             an emulator's with the account in its path: "http://127.0.0.1:10000/devstoreaccount1"), ca_file
 *             (absolute path), api_version, prefix (for making rows, not used here)
 *   who       credentials_ref, client_id, tenant_id; sealed only: account_key, sas_token, connection_string
 *   how       tier "Hot" | "Cool" | "Cold" | "Archive", tags (object of strings), encryption_scope,
 *             customer_key_ref, immutability_days, immutability_mode "unlocked" | "locked", legal_hold
 *   checks    checksum "crc64" | "md5" | "none", read_back
 *   transfer  part_size, multipart_threshold (bytes, or "64MiB"), max_parts, parallel_parts, max_requests
 *
 * Without account and endpoint, the credentials must bring them: a connection string does. An unknown member
 * is an error that names it and lists the known ones.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "storage/driver.h"
#include "storage/object/members.h"

#define AZURE_BLOCK_MAX (UINT64_C(4000) << 20)
#define AZURE_SINGLE_MAX (UINT64_C(5000) << 20)
#define AZURE_MAX_BLOCKS 50000
#define AZURE_ACCOUNT_SIZE 64 /* with NUL */

enum azure_checksum {
    AZURE_CHECKSUM_AUTO, /* CRC64; MD5 where an emulator answers that refuses it */
    AZURE_CHECKSUM_CRC64,
    AZURE_CHECKSUM_MD5,
    AZURE_CHECKSUM_NONE,
};

/* As storage_config says it; pointers into it. */
struct azure_members {
    const char *account, *container, *endpoint, *prefix, *ca_file, *api_version;
    const char *credentials_ref, *client_id, *tenant_id;
    const char *account_key, *sas_token, *connection_string;
    const char *tier, *encryption_scope, *customer_key_ref, *immutability_mode, *checksum;
    const json_t *tags;
    enum object_said legal_hold, read_back;
    int64_t immutability_days, part_size, multipart_threshold, max_parts, parallel_parts, max_requests;
};

struct azure_config {
    /* Where requests go: scheme, host and, in path style, the account; no slash at the end. "" = neither
     * account nor endpoint are said: the credentials tell, see azure_config_place. */
    char base_url[420];
    char account[AZURE_ACCOUNT_SIZE]; /* "" = not known: of a custom domain */
    bool https;
    const char *endpoint; /* as storage_config says it, else the account: names the service */
    /* strings below point into the location's config */
    const char *container, *ca_file, *api_version;
    const char *credentials_ref, *client_id, *tenant_id;
    const char *account_key, *sas_token, *connection_string;
    const char *tier, *encryption_scope, *customer_key_ref, *immutability_mode;
    const json_t *tags;
    int64_t immutability_days;
    bool legal_hold, read_back;
    enum azure_checksum checksum;
    uint64_t part_size, multipart_threshold; /* part_size 0 = the default plan */
    uint32_t max_parts;
    int parallel_parts, max_requests;
};

/* ERROR_INPUT names the member and what it may be; never a secret's value. */
int azure_config_load(const struct storage_location *location, struct azure_config *ret, struct error *err);

/* What credentials bring, where the configuration says neither account nor endpoint, or not both: account and
 * endpoint may be NULL or "". What the configuration says stands. ERROR_INPUT: still not known where to. */
int azure_config_place(struct azure_config *config, const char *account, const char *endpoint,
                       struct error *err);

/* ERROR_UNSAFE_PATH: what no key may be (object/key.h), and what Azure would make another name of: '\', a
 * '.' or a '/' at the end of a component. */
int azure_config_check_key(const char *key, struct error *err);
