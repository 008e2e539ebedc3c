/*
 * AWS credentials on the loop: from a reference, from AWS's own chain, or from the environment and files
 * only. Kept, refreshed ahead of expiry (in the background from 15 minutes before, at most a quarter of their
 * lifetime; from 5 minutes before, at most a tenth, callers wait), one fetch for all who ask. Keys without an
 * expiry are read again after 5 s: a rotated file or secret is seen by the next attempt.
 *
 * The chain, in botocore's order: environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN;
 * skipped when the ask or AWS_PROFILE names a profile), the profile's role (role_arn with source_profile,
 * credential_source or web_identity_token_file), web identity (IRSA: AWS_WEB_IDENTITY_TOKEN_FILE,
 * AWS_ROLE_ARN; skipped when the ask names a profile), the profile's keys, container (ECS, EKS pod identity),
 * instance metadata (IMDSv2, version 1 where it must be). Single sign-on and credential_process are refused.
 * Metadata addresses are never asked through a proxy. Expired credentials of the instance are used on when
 * its metadata has no better ones, or can't be asked.
 *
 * A referenced secret holds, as text: a JSON object {"access_key_id", "secret_access_key", "session_token"?}
 * (also AccessKeyId/SecretAccessKey/SessionToken|Token, aws_access_key_id/..., keyId/applicationKey, names in
 * capitals as in the environment), or an AWS credentials file ([default] or the only section), or one line
 * "ID:SECRET[:TOKEN]" (a secret with ':' in it needs the JSON form).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/error.h"
#include "loop/http.h"

struct secrets;
struct aws_credentials_cache;

enum aws_chain {
    AWS_CHAIN_FULL,              /* s3 */
    AWS_CHAIN_ENVIRONMENT_FILES, /* minio, spaces, backblaze: never container or instance metadata, never STS
                                  */
};

struct aws_credentials {
    const char *access_key_id, *secret_access_key, *session_token; /* session_token NULL = none */
    int64_t expires_at_ms;                                         /* Unix time; 0 = never */
    const char *source; /* for people: "env:X", "environment", "profile backup", "instance metadata", ... */
};

/* http and secrets outlive the cache. */
int aws_credentials_cache_new(uv_loop_t *loop, struct http_client *http, struct secrets *secrets,
                              struct aws_credentials_cache **ret, struct error *err);
/* Waiting callbacks get ERROR_CANCELLED from the loop; on_closed (may be NULL) runs from the loop once all is
 * closed and the memory is gone. NULL cache: not run. */
void aws_credentials_cache_close(struct aws_credentials_cache *cache, void (*on_closed)(void *data),
                                 void *data);

struct aws_credentials_ask {
    const char *credentials_ref; /* NULL = the chain */
    const char *profile;         /* storage_config "profile"; NULL = AWS_PROFILE or default; chain only */
    enum aws_chain chain;
    const char *region;  /* for STS; may be NULL */
    const char *ca_file; /* never used for AWS's own services; may be NULL */
};

/* credentials: valid during the callback (copy what is kept longer, overwrite it afterwards); NULL with err
 * on an error. ERROR_DENIED, not retryable: no credentials, lists where was looked. ERROR_INPUT: a file, a
 * variable or the secret's text is wrong, and which. ERROR_UNSUPPORTED. ERROR_DENIED, ERROR_UNREACHABLE,
 * ERROR_TIMEOUT, ERROR_PROTOCOL: what a service said or didn't. Messages never hold a secret. */
typedef void (*aws_credentials_done_fn)(void *data, const struct aws_credentials *credentials,
                                        const struct error *err);
struct aws_credentials_wait;

/* As secrets_get: done exactly once from the loop, never before return; forget = never. ask is copied.
 * Directly returned are only ERROR_SYSTEM, ERROR_CANCELLED (the cache is being closed) and ERROR_LIMIT (4096
 * wait, or 64 different ones are being fetched; retryable). ret_wait is valid until done. */
int aws_credentials_get(struct aws_credentials_cache *cache, const struct aws_credentials_ask *ask,
                        aws_credentials_done_fn done, void *data, struct aws_credentials_wait **ret_wait,
                        struct error *err);
void aws_credentials_forget(struct aws_credentials_wait *wait);

/* The service called these expired: the next get with this ask fetches anew. access_key_id: those that were
 * used, so that many complaints about one set cause one refresh. */
void aws_credentials_expired(struct aws_credentials_cache *cache, const struct aws_credentials_ask *ask,
                             const char *access_key_id);

/* The forms of a secret's text, above. *ret's strings point into *ret_memory, which
 * aws_credentials_memory_free overwrites and frees. ERROR_INPUT names the reference (`what`) and the forms.
 */
int aws_credentials_parse(const char *text, const char *what, struct aws_credentials *ret, char **ret_memory,
                          struct error *err);
void aws_credentials_memory_free(char *memory);
