/*
 * What a program needs to reach secrets and stores, on one loop: HTTP, secrets by reference, the clouds'
 * credentials, the keys of what is encrypted at rest. Made once per program, given to storage drivers
 * (storage_location) and the producer.
 */
#pragma once

#include <uv.h>

#include "auth/aws_credentials.h"
#include "auth/azure_credentials.h"
#include "auth/google_credentials.h"
#include "auth/keyring.h"
#include "auth/secrets.h"
#include "base/settings.h"
#include "loop/http.h"

struct access {
    uv_loop_t *loop;
    struct http_client *http;
    struct secrets *secrets;
    struct aws_credentials_cache *aws;
    struct azure_credentials_cache *azure;
    struct google_credentials_cache *google;
    struct keyring *keyring; /* may be empty */
    char *keyring_refs;      /* BM_ENCRYPTION_KEY_REF */
    char *legacy_key_ref;    /* BM_LEGACY_ENCRYPTION_KEY_REF: the older system's Fernet key */
    int open_parts;          /* private */
    void (*on_closed)(void *data);
    void *data;
};

/* Settings used: credentials_default, encryption_key_ref, legacy_encryption_key_ref (copied). */
int access_new(uv_loop_t *loop, const struct settings *settings, struct access **ret, struct error *err);
/* on_closed (may be NULL) runs from the loop once all is closed and the memory is gone. NULL access: not run.
 */
void access_close(struct access *access, void (*on_closed)(void *data), void *data);

/* Fetches the keys of BM_ENCRYPTION_KEY_REF into the keyring (anew at each call: rotated files are seen).
 * done runs exactly once from the loop, never before return. No reference set: done without error, the ring
 * stays empty. */
int access_load_keys(struct access *access, void (*done)(void *data, const struct error *err), void *data,
                     struct error *err);
