/*
 * Azure credentials on the loop, for Blob Storage: an account key, a shared access signature (SAS), or a
 * token of Microsoft Entra ID; from a reference, or from Azure's own chain. Kept, one fetch for all who ask.
 * Tokens are fetched anew ahead of expiry (in the background from half their lifetime on, from 5 minutes
 * before, at most a tenth, callers wait). Keys, SAS and given tokens are read again after 5 s: a rotated
 * secret is seen by the next attempt.
 *
 * The chain, the first that is configured:
 *
 *   AZURE_STORAGE_CONNECTION_STRING
 *   AZURE_STORAGE_KEY, with AZURE_STORAGE_ACCOUNT or the ask's account
 *   AZURE_STORAGE_SAS_TOKEN
 *   client secret: AZURE_CLIENT_ID, AZURE_TENANT_ID, AZURE_CLIENT_SECRET
 *   workload identity: AZURE_FEDERATED_TOKEN_FILE, with AZURE_CLIENT_ID, AZURE_TENANT_ID
 *   managed identity of App Service, Functions, Container Apps: IDENTITY_ENDPOINT, IDENTITY_HEADER
 *   managed identity of the machine (IMDS), at http://169.254.169.254 or AZURE_POD_IDENTITY_AUTHORITY_HOST
 *
 * The first three are passed over when they are another account's, or when the ask names a client or a
 * tenant. The ask's client_id and tenant_id go before AZURE_CLIENT_ID and AZURE_TENANT_ID (a client secret is
 * used only for the client it belongs to); client_id also names the user-assigned identity of a machine. The
 * authority is AZURE_AUTHORITY_HOST, by default https://login.microsoftonline.com/. Managed identities are
 * never asked through a proxy.
 *
 * A referenced secret holds, as text, one of:
 *
 *   an account key, in base64; the account is the ask's, or AZURE_STORAGE_ACCOUNT
 *   a connection string: AccountName, AccountKey, BlobEndpoint, EndpointSuffix, DefaultEndpointsProtocol,
 *     SharedAccessSignature; or UseDevelopmentStorage=true, the emulator of this machine
 *   a SAS token, with or without its '?'
 *   a JSON object: {"account_name", "account_key"}, {"sas_token"}, {"connection_string"},
 *     {"access_token", "expires_on"?}, {"tenant_id", "client_id", "client_secret"}
 *
 * Plain http: a key never travels, so it is used with any endpoint. A token does, and whoever reads it can
 * use it: tokens are given out for https endpoints, and for http ones of this machine (an emulator) only. A
 * SAS travels too; who issued it has said in `spr` whether http will do, and that is kept to.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/error.h"
#include "loop/http.h"

struct secrets;
struct azure_credentials_cache;

enum azure_credentials_kind { AZURE_SHARED_KEY, AZURE_SAS, AZURE_BEARER };

enum { AZURE_CREDENTIALS_ID_SIZE = 33 };

struct azure_credentials {
    enum azure_credentials_kind kind;
    /* The secret's own, else the ask's; NULL = neither says. AZURE_SHARED_KEY: never NULL. */
    const char *account;
    const unsigned char *key; /* AZURE_SHARED_KEY, see azure_shared_key.h */
    size_t key_size;
    const char *sas;       /* AZURE_SAS: a query without '?', encoded as in a URL */
    const char *token;     /* AZURE_BEARER: for "Authorization: Bearer" */
    const char *endpoint;  /* of a connection string, "https://x.blob.core.windows.net" or
                              "http://127.0.0.1:10000/devstoreaccount1", no slash at its end; else NULL */
    int64_t expires_at_ms; /* Unix time; 0 = never, or not known */
    const char *source;    /* for people: "env:X", "AZURE_STORAGE_KEY", "managed identity (IMDS)", ... */
    char id[AZURE_CREDENTIALS_ID_SIZE]; /* tells this secret from others, and isn't one */
};

/* http and secrets outlive the cache. */
int azure_credentials_cache_new(uv_loop_t *loop, struct http_client *http, struct secrets *secrets,
                                struct azure_credentials_cache **ret, struct error *err);
/* Waiting callbacks get ERROR_CANCELLED from the loop; on_closed (may be NULL) runs from the loop once all is
 * closed and the memory is gone. NULL cache: not run. */
void azure_credentials_cache_close(struct azure_credentials_cache *cache, void (*on_closed)(void *data),
                                   void *data);

/* Each may be NULL or "". */
struct azure_credentials_ask {
    const char *credentials_ref; /* none = the chain */
    const char *account;         /* as storage_config says it, or its endpoint */
    const char *client_id, *tenant_id;
    const char *endpoint; /* where they are to be sent, "http://..." or "https://..."; none = the
                             connection string's, else https */
};

/* credentials: valid during the callback (copy what is kept longer, overwrite it afterwards); NULL with err
 * on an error. ERROR_DENIED: no credentials (lists where was looked), or Entra ID refuses them, or a SAS or
 * token has expired (retryable: people renew secrets). ERROR_INPUT: a variable, a file or the secret's text
 * is wrong, and which; another account's; plain http. ERROR_UNSUPPORTED: a kind of identity that isn't
 * served, and what to use instead. ERROR_UNREACHABLE, ERROR_TIMEOUT, ERROR_PROTOCOL, ERROR_LIMIT: what a
 * service said or didn't, after the tries. Messages never hold a secret. */
typedef void (*azure_credentials_done_fn)(void *data, const struct azure_credentials *credentials,
                                          const struct error *err);
struct azure_credentials_wait;

/* As secrets_get: done exactly once from the loop, never before return; forget = never. ask is copied.
 * Directly returned are only ERROR_SYSTEM, ERROR_CANCELLED (the cache is being closed) and ERROR_LIMIT (too
 * many wait, or are being fetched; retryable). ret_wait is valid until done. */
int azure_credentials_get(struct azure_credentials_cache *cache, const struct azure_credentials_ask *ask,
                          azure_credentials_done_fn done, void *data,
                          struct azure_credentials_wait **ret_wait, struct error *err);
void azure_credentials_forget(struct azure_credentials_wait *wait);

/* The store refused these: the next get with this ask fetches anew. id: of those that were used, so that many
 * complaints about one secret cause one fetch. */
void azure_credentials_expired(struct azure_credentials_cache *cache, const struct azure_credentials_ask *ask,
                               const char *id);

/* The forms of a secret's text, above, but for client secrets (ERROR_UNSUPPORTED). what names its origin in
 * messages and is ret's source; of ask, account and endpoint count. now_ms: Unix time, for what expires.
 * Errors as above. Free with azure_credentials_free. */
int azure_credentials_parse(const char *text, const char *what, const struct azure_credentials_ask *ask,
                            int64_t now_ms, struct azure_credentials **ret, struct error *err);
void azure_credentials_free(struct azure_credentials *credentials); /* overwrites; NULL is fine */
