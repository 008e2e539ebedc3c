/* Private to the Azure credentials: who can be asked for a token, what is asked, and what the answer says. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "auth/azure_answer.h"
#include "auth/service_call.h"

enum azure_identity_kind {
    AZURE_IDENTITY_SECRET,      /* a client and its secret, asked of Entra ID */
    AZURE_IDENTITY_FEDERATED,   /* a client and a token that stands in a file, asked of Entra ID */
    AZURE_IDENTITY_APP_SERVICE, /* App Service's own, from IDENTITY_ENDPOINT */
    AZURE_IDENTITY_MACHINE,     /* the machine's, from its metadata service (IMDS) */
};

enum { AZURE_SOURCE_SIZE = 200 };

struct azure_identity {
    enum azure_identity_kind kind;
    char *tenant_id; /* SECRET, FEDERATED */
    char *client_id; /* of a managed identity: NULL = the system's own */
    char *client_secret;
    char *token_file;
    char source[AZURE_SOURCE_SIZE]; /* for people */
};

/* Copies; each of the four may be NULL or "". ERROR_INPUT: an id that can't be one. ERROR_SYSTEM. */
struct azure_identity_texts {
    const char *tenant_id, *client_id, *client_secret, *token_file;
};
int azure_identity_init(struct azure_identity *identity, enum azure_identity_kind kind,
                        const struct azure_identity_texts *texts, const char *source, struct error *err);
void azure_identity_deinit(struct azure_identity *identity); /* overwrites; zeroed is fine */

bool azure_identity_is_managed(const struct azure_identity *identity);

/* ERROR_INPUT: AZURE_AUTHORITY_HOST, AZURE_POD_IDENTITY_AUTHORITY_HOST or IDENTITY_ENDPOINT isn't an address
 * that a secret may be sent to; what is wrong with the file. */
int azure_identity_prepare(const struct azure_identity *identity, struct service_request *request,
                           struct error *err);
int azure_identity_answer(const struct azure_identity *identity, const struct http_response *response,
                          int64_t now_ms, struct azure_token *ret, struct error *err);
