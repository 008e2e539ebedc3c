/*
 * Google credentials on the loop: OAuth 2.0 access tokens for Cloud Storage, from a reference, or found as
 * Google's own clients find them (Application Default Credentials). Kept, fetched anew ahead of expiry (in
 * the background from 3 min 45 s before, which is when the metadata server has a new one; from 1 min before,
 * callers wait), one fetch for all who ask. A secret that is a token without an expiry is read again after
 * 5 s.
 *
 * Application Default Credentials, in this order: the file that GOOGLE_APPLICATION_CREDENTIALS names;
 * application_default_credentials.json in $CLOUDSDK_CONFIG or ~/.config/gcloud; the metadata server
 * (GCE_METADATA_HOST or GCE_METADATA_IP; NO_GCE_CHECK=true leaves it out), which is never asked through a
 * proxy and must say that it is Google's.
 *
 * A referenced secret and such a file hold a JSON object, of one of these:
 *
 *   "type": "service_account"               client_email, private_key; private_key_id, token_uri
 *   "type": "authorized_user"               client_id, client_secret, refresh_token; token_uri
 *   "type": "external_account"              audience, subject_token_type, credential_source (file or url);
 *                                           token_url, client_id and client_secret,
 *                                           workforce_pool_user_project, service_account_impersonation_url
 *   "type": "impersonated_service_account"  service_account_impersonation_url, source_credentials (one of the
 *                                           first two); delegates
 *   {"access_token": "...", "expires_at": "2026-01-02T03:04:05Z" or seconds since 1970}
 *
 * Assertions, tokens and secrets are sent to https addresses only, or to http on this machine.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/digest.h"
#include "base/error.h"
#include "loop/http.h"

struct secrets;
struct google_credentials_cache;

enum google_scope {
    GOOGLE_SCOPE_READ_WRITE,   /* devstorage.read_write: objects */
    GOOGLE_SCOPE_FULL_CONTROL, /* devstorage.full_control: access lists, retention, holds too */
};

struct google_credentials {
    const char *access_token; /* for "Authorization: Bearer" */
    int64_t expires_at_ms;    /* Unix time; 0 = nobody said */
    const char *source;  /* for people: "env:X (backup@shop.iam.gserviceaccount.com)", "metadata server" */
    const char *project; /* the credential's own; NULL = not known */
    const char *quota_project; /* for "X-Goog-User-Project"; NULL = none */

    /* SHA-256 of "backupmanager gcs session", a zero byte, and the long-lived secret that the token comes
     * from (private key, refresh token): a key for what may only be read by who holds that secret. Tokens of
     * the metadata server, of a federation, and given ones have none. */
    bool has_secret_digest;
    unsigned char secret_digest[DIGEST_SHA256_BYTES];
};

/* http and secrets outlive the cache. */
int google_credentials_cache_new(uv_loop_t *loop, struct http_client *http, struct secrets *secrets,
                                 struct google_credentials_cache **ret, struct error *err);
/* Waiting callbacks get ERROR_CANCELLED from the loop; on_closed (may be NULL) runs from the loop once all is
 * closed and the memory is gone. NULL cache: not run. */
void google_credentials_cache_close(struct google_credentials_cache *cache, void (*on_closed)(void *data),
                                    void *data);

struct google_credentials_ask {
    const char *credentials_ref; /* NULL or "" = text, else Application Default Credentials */
    const char *text;        /* a secret's text itself, from where it stood encrypted; NULL or "" = none */
    enum google_scope scope; /* of what can be narrowed: a user's and the machine's own scopes are fixed */
};

/* credentials: valid during the callback (copy what is kept longer, overwrite it afterwards); NULL with err
 * on an error. ERROR_DENIED: no credentials (lists where was looked), or Google refuses them (invalid_grant
 * isn't retryable, and says whether to look at the clock or the key). ERROR_INPUT: a file, a variable or the
 * secret's text is wrong, and which. ERROR_UNSUPPORTED: a kind of credentials that isn't served, and what to
 * use instead. ERROR_UNREACHABLE, ERROR_TIMEOUT, ERROR_PROTOCOL: what a service said or didn't, after the
 * tries. Messages never hold a key, an assertion or a token. */
typedef void (*google_credentials_done_fn)(void *data, const struct google_credentials *credentials,
                                           const struct error *err);
struct google_credentials_wait;

/* As secrets_get: done exactly once from the loop, never before return; forget = never. ask is copied.
 * Directly returned are only ERROR_SYSTEM, ERROR_CANCELLED (the cache is being closed) and ERROR_LIMIT (too
 * many wait, or are being fetched; retryable). ret_wait is valid until done. */
int google_credentials_get(struct google_credentials_cache *cache, const struct google_credentials_ask *ask,
                           google_credentials_done_fn done, void *data,
                           struct google_credentials_wait **ret_wait, struct error *err);
void google_credentials_forget(struct google_credentials_wait *wait);

/* The store refused this token (401): the next get with this ask fetches anew. access_token: the one that was
 * used, so that many complaints about one cause one fetch. */
void google_credentials_expired(struct google_credentials_cache *cache,
                                const struct google_credentials_ask *ask, const char *access_token);
