#include "auth/vault_settings.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "auth/secret.h"

enum { RETRY_BASE_MS = 250 };

static const char service_account[] = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/* NULL when it isn't set, or empty. */
static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* A copy of value, or of fallback. NULL stays NULL; *failed: no memory. */
static char *copy(const char *value, const char *fallback, bool *failed)
{
    const char *text = value ? value : fallback;
    char *out = text ? strdup(text) : NULL;
    *failed |= text && out == NULL;
    return out;
}

static char *home_token_file(void)
{
    char path[4096];
    const char *home = variable("HOME");
    int n = snprintf(path, sizeof path, "%s/.vault-token", home ? home : "");
    return n > 0 && (size_t)n < sizeof path ? strdup(path) : NULL;
}

static int load_login(struct vault_settings *s, bool *failed, struct error *err)
{
    if (variable("VAULT_TOKEN")) {
        s->login = VAULT_LOGIN_TOKEN;
        s->token = copy(variable("VAULT_TOKEN"), NULL, failed);
    } else if (variable("VAULT_TOKEN_FILE")) {
        s->login = VAULT_LOGIN_TOKEN_FILE;
        s->token_file = copy(variable("VAULT_TOKEN_FILE"), NULL, failed);
    } else if (variable("VAULT_ROLE_ID")) {
        s->login = VAULT_LOGIN_APPROLE;
        s->role = copy(variable("VAULT_ROLE_ID"), NULL, failed);
        s->secret_id = copy(variable("VAULT_SECRET_ID"), NULL, failed);
        s->secret_id_file = copy(variable("VAULT_SECRET_ID_FILE"), NULL, failed);
        if (s->secret_id == NULL && s->secret_id_file == NULL)
            return error_set(
                err, ERROR_NOT_FOUND, true,
                "Vault: VAULT_ROLE_ID is set, but neither VAULT_SECRET_ID nor VAULT_SECRET_ID_FILE");
    } else if (variable("VAULT_K8S_ROLE")) {
        s->login = VAULT_LOGIN_KUBERNETES;
        s->role = copy(variable("VAULT_K8S_ROLE"), NULL, failed);
        s->mount = copy(variable("VAULT_K8S_MOUNT"), "kubernetes", failed);
        s->token_file = copy(variable("VAULT_K8S_TOKEN_FILE"), service_account, failed);
        if (s->mount && (strpbrk(s->mount, "?#% \r\n") || strstr(s->mount, "..")))
            return error_set(err, ERROR_INPUT, true, "Vault: VAULT_K8S_MOUNT is not the path of a mount");
    } else {
        s->login = VAULT_LOGIN_TOKEN_FILE;
        s->token_file = home_token_file();
        *failed |= s->token_file == NULL;
    }
    return 0;
}

int vault_settings_load(struct vault_settings *ret, struct error *err)
{
    struct vault_settings s = {.retry_base_ms = RETRY_BASE_MS};
    bool failed = false;
    const char *address = variable("VAULT_ADDR");
    if (address == NULL)
        return error_set(
            err, ERROR_NOT_FOUND, true,
            "Vault: VAULT_ADDR is not set in this program's environment (https://vault.example:8200)");
    if (strncasecmp(address, "https://", 8) != 0 && strncasecmp(address, "http://", 7) != 0)
        return error_set(err, ERROR_INPUT, true, "Vault: VAULT_ADDR must begin with https:// or http://");
    if (strpbrk(address, "@?# \r\n"))
        return error_set(
            err, ERROR_INPUT, true,
            "Vault: VAULT_ADDR is a scheme, a host and a port, such as https://vault.example:8200");
    s.address = copy(address, NULL, &failed);
    s.namespace = copy(variable("VAULT_NAMESPACE"), NULL, &failed);
    s.ca_file = copy(variable("VAULT_CACERT"), NULL, &failed);
    int rc = load_login(&s, &failed, err);
    if (rc == 0 && failed)
        rc = error_set(err, ERROR_SYSTEM, true, "out of memory");
    if (rc) {
        vault_settings_deinit(&s);
        return rc;
    }
    size_t n = strlen(s.address);
    while (n > 8 && s.address[n - 1] == '/')
        s.address[--n] = '\0';
    *ret = s;
    return 0;
}

void vault_settings_deinit(struct vault_settings *s)
{
    free(s->address);
    free(s->namespace);
    free(s->ca_file);
    secret_free(s->token);
    free(s->token_file);
    secret_free(s->role);
    secret_free(s->secret_id);
    free(s->secret_id_file);
    free(s->mount);
    *s = (struct vault_settings){0};
}
