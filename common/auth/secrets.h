/*
 * Secrets by reference, on the loop: env:NAME, file:/path, vault:mount/path#field, aws-sm:id#field, and bare
 * names through a template. One store per loop. What a reference names is fetched when it is asked for:
 *
 *   env:    the variable of this program
 *   file:   opened by path at each call (Docker and Kubernetes swap files), one trailing newline dropped
 *   vault:  HashiCorp Vault KV v2. Address, namespace and login from the environment as Vault's own clients
 * read it: VAULT_ADDR, VAULT_NAMESPACE, VAULT_CACERT; VAULT_TOKEN or VAULT_TOKEN_FILE (default
 * ~/.vault-token); or AppRole: VAULT_ROLE_ID and VAULT_SECRET_ID (or VAULT_SECRET_ID_FILE); or Kubernetes:
 * VAULT_K8S_ROLE (VAULT_K8S_MOUNT default kubernetes, token file VAULT_K8S_TOKEN_FILE default the service
 * account's). Tokens are renewed at 2/3 of their lease, logged in again after a 403; answers are kept for 60
 * s. aws-sm: AWS Secrets Manager, with AWS's own credential chain; kept for 60 s.
 *
 * Without #field a vault: or aws-sm: secret is the whole JSON object (or text) as it stands there. Many that
 * ask for one secret at once share one fetch.
 */
#pragma once

#include <uv.h>

#include "base/error.h"
#include "loop/http.h"

struct secrets;
struct aws_credentials_cache;

struct secrets_options {
    struct http_client *http;     /* outlives the store */
    const char *default_template; /* BM_CREDENTIALS_DEFAULT, copied; NULL or "" = bare names are refused */
};

int secrets_new(uv_loop_t *loop, const struct secrets_options *options, struct secrets **ret,
                struct error *err);
/* Waiting callbacks get ERROR_CANCELLED from the loop; on_closed as with http_client_close. */
void secrets_close(struct secrets *secrets, void (*on_closed)(void *data), void *data);

/* For aws-sm: (set once, before the first get; NULL = aws-sm: is refused). Not owned. */
void secrets_set_aws(struct secrets *secrets, struct aws_credentials_cache *aws);

/* secret: NUL-terminated, valid during the callback only, overwritten afterwards; NULL with err filled on an
 * error: ERROR_INPUT (syntax, not retryable), ERROR_NOT_FOUND, ERROR_DENIED, ERROR_UNREACHABLE, ...
 * (retryable: people repair secrets). Messages name the reference, never the value. */
typedef void (*secrets_done_fn)(void *data, const char *secret, const struct error *err);

struct secrets_wait;

/* done runs exactly once from the loop, never before return, unless secrets_forget was called before: then
 * never. reference is copied. ERROR_SYSTEM only is returned directly. */
int secrets_get(struct secrets *secrets, const char *reference, secrets_done_fn done, void *data,
                struct secrets_wait **ret_wait, struct error *err);
void secrets_forget(struct secrets_wait *wait);

/* secret_reference_check with the store's template. */
int secrets_check(const struct secrets *secrets, const char *reference, struct error *err);

/* Drops what is kept for this reference: the next get fetches it anew (the store refused it). */
void secrets_invalidate(struct secrets *secrets, const char *reference);
