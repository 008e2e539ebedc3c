/* What the calls of one operation share. */
#include "storage/azure/session.h"

#include <string.h>

#include "storage/object/learned.h"

#define EMULATOR "emulator"

int azure_session_init(struct object_session *base, const struct storage_location *location,
                       struct error *err)
{
    struct azure_session *session = azure_session_of(base);
    int rc = azure_config_load(location, &session->config, err);
    if (rc < 0)
        return rc;
    const struct azure_config *config = &session->config;
    base->credentials_ref = config->credentials_ref;
    base->container = config->container;
    base->endpoint = config->endpoint;
    base->ca_file = config->ca_file;
    base->max_requests = config->max_requests;
    base->secret_ref = config->customer_key_ref;
    base->secret_for = "the key of \"customer_key_ref\"";
    return 0;
}

int azure_session_take_secret(struct object_session *base, const char *secret, struct error *err)
{
    return object_customer_key_init(&azure_session_of(base)->customer_key, secret, "SHA256",
                                    "customer_key_ref", err);
}

void azure_session_deinit(struct object_session *base)
{
    object_customer_key_deinit(&azure_session_of(base)->customer_key);
}

void azure_session_learn(const struct azure_session *session, const struct http_response *response)
{
    const char *server = response->header(response, "Server");
    if (server && strncmp(server, "Azurite-", 8) == 0)
        object_learn_word(session->base.endpoint, session->base.container, EMULATOR);
}

bool azure_is_emulator(const struct azure_session *session)
{
    const char *word = object_learned_word(session->base.endpoint, session->base.container);
    return word && strcmp(word, EMULATOR) == 0;
}

void azure_blob_draft(const struct object_session *session, struct object_draft *draft, const char *operation,
                      const char *method, const char *key)
{
    object_draft_init(draft, operation, method, key);
    draft->ask.flags = AZURE_ASK_ABOUT_BLOB;
    draft->ask.customer_key = azure_session_of(session)->customer_key.base64 != NULL;
}
