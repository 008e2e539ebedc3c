/* Each source is looked at in turn: it gives what is needed, or a line about why it doesn't. The machine's
 * metadata service, the last one, can't be known from here: it is asked. */
#include "auth/azure_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/azure_connection.h"
#include "auth/azure_environment.h"
#include "auth/azure_keys.h"
#include "auth/azure_text.h"

struct planning {
    const struct azure_credentials_ask *ask;
    int64_t now_ms;
    struct azure_plan plan;
    bool found;
};

static void note(struct planning *p, const char *source, const char *why)
{
    char *looked = p->plan.looked;
    size_t n = strlen(looked);
    snprintf(looked + n, AZURE_LOOKED_SIZE - n, "%s%s (%s)", n ? ", " : "", source, why);
}

/* ---- keys and SAS of the environment ---- */

/* Somebody chose an identity: then a key that happens to be there isn't meant. */
static bool names_identity(const struct azure_credentials_ask *ask)
{
    return azure_is_said(ask->client_id) || azure_is_said(ask->tenant_id);
}

static bool is_another_account(const struct planning *p, const char *account)
{
    return azure_is_said(account) && azure_is_said(p->ask->account) && strcmp(account, p->ask->account) != 0;
}

static int look_at_connection_string(struct planning *p, struct error *err)
{
    const char *name = azure_environment_name(AZURE_STORAGE_CONNECTION_STRING);
    const char *text = azure_environment(AZURE_STORAGE_CONNECTION_STRING);
    struct azure_connection c;
    if (text == NULL) {
        note(p, name, "not set");
        return 0;
    }
    int rc = azure_connection_read(text, name, &c, err);
    if (rc)
        return rc;
    if (is_another_account(p, c.account))
        note(p, name, "another account's");
    else {
        rc = azure_text_read_connection(text, name, p->ask, p->now_ms, &p->plan.given, err);
        p->found = true;
    }
    azure_connection_deinit(&c);
    return rc;
}

/* A key or a SAS that belongs to AZURE_STORAGE_ACCOUNT, where that is set. */
static const char *of_this_account(struct planning *p, enum azure_variable variable)
{
    const char *name = azure_environment_name(variable), *text = azure_environment(variable);
    if (text == NULL)
        note(p, name, "not set");
    else if (is_another_account(p, azure_environment(AZURE_STORAGE_ACCOUNT))) {
        note(p, name, "another account's, says AZURE_STORAGE_ACCOUNT");
        text = NULL;
    }
    p->found = text != NULL;
    return text;
}

static int look_at_key(struct planning *p, struct error *err)
{
    const char *text = of_this_account(p, AZURE_STORAGE_KEY);
    return text ? azure_text_read_key(text, "AZURE_STORAGE_KEY", p->ask, &p->plan.given, err) : 0;
}

static int look_at_sas(struct planning *p, struct error *err)
{
    const char *text = of_this_account(p, AZURE_STORAGE_SAS_TOKEN);
    return text ? azure_text_read_sas(text, "AZURE_STORAGE_SAS_TOKEN", p->ask, p->now_ms, &p->plan.given, err)
                : 0;
}

/* ---- identities ---- */

static const char *said_or(const char *said, enum azure_variable variable)
{
    return azure_is_said(said) ? said : azure_environment(variable);
}

static int use(struct planning *p, enum azure_identity_kind kind, const struct azure_identity_texts *texts,
               const char *source, struct error *err)
{
    p->found = true;
    return azure_identity_init(&p->plan.identity, kind, texts, source, err);
}

static int look_at_client_secret(struct planning *p, struct error *err)
{
    static const char name[] = "AZURE_CLIENT_SECRET";
    const char *own = azure_environment(AZURE_CLIENT_ID);
    struct azure_identity_texts texts = {.tenant_id = said_or(p->ask->tenant_id, AZURE_TENANT_ID),
                                         .client_id = own,
                                         .client_secret = azure_environment(AZURE_CLIENT_SECRET)};
    if (texts.client_secret == NULL)
        note(p, name, "not set");
    else if (own == NULL || texts.tenant_id == NULL)
        note(p, name, "without AZURE_CLIENT_ID and AZURE_TENANT_ID");
    else if (azure_is_said(p->ask->client_id) && strcmp(p->ask->client_id, own) != 0)
        note(p, name, "another client's, says AZURE_CLIENT_ID");
    else
        return use(p, AZURE_IDENTITY_SECRET, &texts, name, err);
    return 0;
}

static int look_at_federation(struct planning *p, struct error *err)
{
    static const char name[] = "AZURE_FEDERATED_TOKEN_FILE";
    struct azure_identity_texts texts = {.tenant_id = said_or(p->ask->tenant_id, AZURE_TENANT_ID),
                                         .client_id = said_or(p->ask->client_id, AZURE_CLIENT_ID),
                                         .token_file = azure_environment(AZURE_FEDERATED_TOKEN_FILE)};
    if (texts.token_file == NULL)
        note(p, name, "not set");
    else if (texts.client_id == NULL || texts.tenant_id == NULL)
        note(p, name, "without AZURE_CLIENT_ID and AZURE_TENANT_ID");
    else
        return use(p, AZURE_IDENTITY_FEDERATED, &texts, "workload identity", err);
    return 0;
}

static int look_at_app_service(struct planning *p, struct error *err)
{
    struct azure_identity_texts texts = {.client_id = said_or(p->ask->client_id, AZURE_CLIENT_ID)};
    if (azure_environment(AZURE_IDENTITY_ENDPOINT) == NULL) {
        note(p, "IDENTITY_ENDPOINT", "not set");
        return 0;
    }
    if (azure_environment(AZURE_IDENTITY_SERVER_THUMBPRINT))
        return error_set(err, ERROR_UNSUPPORTED, false,
                         "the managed identity of Service Fabric (IDENTITY_SERVER_THUMBPRINT) isn't served; "
                         "use workload identity, or credentials_ref");
    if (azure_environment(AZURE_IDENTITY_HEADER))
        return use(p, AZURE_IDENTITY_APP_SERVICE, &texts, "managed identity (App Service)", err);
    if (azure_environment(AZURE_IMDS_ENDPOINT))
        return error_set(err, ERROR_UNSUPPORTED, false,
                         "the managed identity of Azure Arc (IMDS_ENDPOINT) isn't served; use workload "
                         "identity, or credentials_ref");
    note(p, "IDENTITY_ENDPOINT", "without IDENTITY_HEADER");
    return 0;
}

static int look_at_machine(struct planning *p, struct error *err)
{
    struct azure_identity_texts texts = {.client_id = said_or(p->ask->client_id, AZURE_CLIENT_ID)};
    return use(p, AZURE_IDENTITY_MACHINE, &texts, "managed identity (IMDS)", err);
}

/* ---- the chain ---- */

static const struct source {
    int (*look)(struct planning *p, struct error *err);
    bool is_identity;
} chain[] = {
    {look_at_connection_string, false},
    {look_at_key, false},
    {look_at_sas, false},
    {look_at_client_secret, true},
    {look_at_federation, true},
    {look_at_app_service, true},
    {look_at_machine, true},
};

int azure_plan_make(const struct azure_credentials_ask *ask, int64_t now_ms, struct azure_plan *ret,
                    struct error *err)
{
    struct planning p = {.ask = ask, .now_ms = now_ms};
    int rc = 0;
    for (size_t i = 0; i < sizeof chain / sizeof *chain && rc == 0 && !p.found; i++) {
        if (chain[i].is_identity || !names_identity(ask))
            rc = chain[i].look(&p, err);
    }
    if (rc)
        azure_plan_deinit(&p.plan);
    else
        *ret = p.plan;
    return rc;
}

void azure_plan_deinit(struct azure_plan *plan)
{
    azure_credentials_free(plan->given);
    azure_identity_deinit(&plan->identity);
    *plan = (struct azure_plan){0};
}
