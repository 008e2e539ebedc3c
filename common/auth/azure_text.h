/* Private to the Azure credentials: what a secret's text holds, or a variable's. Pure. */
#pragma once

#include "auth/azure_credentials.h"
#include "auth/azure_identity.h"

/* Either credentials, or (ret_client not NULL) a client whose secret gets a token. Exactly one is set. */
int azure_text_read(const char *text, const char *what, const struct azure_credentials_ask *ask,
                    int64_t now_ms, struct azure_credentials **ret, struct azure_identity *ret_client,
                    struct error *err);

/* One form alone. of ask, account and endpoint count. */
int azure_text_read_key(const char *base64, const char *what, const struct azure_credentials_ask *ask,
                        struct azure_credentials **ret, struct error *err);
int azure_text_read_sas(const char *text, const char *what, const struct azure_credentials_ask *ask,
                        int64_t now_ms, struct azure_credentials **ret, struct error *err);
int azure_text_read_connection(const char *text, const char *what, const struct azure_credentials_ask *ask,
                               int64_t now_ms, struct azure_credentials **ret, struct error *err);
