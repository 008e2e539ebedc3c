/*
 * How HashiCorp Vault is reached: the variables that Vault's own clients read. They belong to Vault, not to
 * the settings of our programs, and this is the only place that reads them.
 *
 *   VAULT_ADDR                     https://vault.example:8200
 *   VAULT_NAMESPACE, VAULT_CACERT  optional; the certificate's file (PEM)
 *   one way to log in, the first of these that is set:
 *   VAULT_TOKEN                    a token
 *   VAULT_TOKEN_FILE               a file that holds one (Vault Agent's sink)
 *   VAULT_ROLE_ID                  AppRole, with VAULT_SECRET_ID or VAULT_SECRET_ID_FILE
 *   VAULT_K8S_ROLE                 Kubernetes; VAULT_K8S_MOUNT (kubernetes), VAULT_K8S_TOKEN_FILE (the
 * service account's) otherwise                      ~/.vault-token
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

enum vault_login { VAULT_LOGIN_TOKEN, VAULT_LOGIN_TOKEN_FILE, VAULT_LOGIN_APPROLE, VAULT_LOGIN_KUBERNETES };

struct vault_settings {
    char *address; /* without a slash at its end */
    char *namespace;
    char *ca_file; /* NULL = the system's certificates */
    enum vault_login login;
    char *token;
    char *token_file; /* TOKEN_FILE; KUBERNETES: the service account's */
    char *role;       /* APPROLE: role_id */
    char *secret_id, *secret_id_file;
    char *mount; /* KUBERNETES */
    int64_t retry_base_ms;
};

/* ERROR_NOT_FOUND (retryable, as a missing secret): names what isn't set. ERROR_INPUT: what is set wrongly.
 */
int vault_settings_load(struct vault_settings *ret, struct error *err);
void vault_settings_deinit(struct vault_settings *settings); /* overwrites; zeroed is fine */
