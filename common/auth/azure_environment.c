#include "auth/azure_environment.h"

#include <stdlib.h>

static const char *const names[AZURE_VARIABLES] = {
    [AZURE_STORAGE_CONNECTION_STRING] = "AZURE_STORAGE_CONNECTION_STRING",
    [AZURE_STORAGE_ACCOUNT] = "AZURE_STORAGE_ACCOUNT",
    [AZURE_STORAGE_KEY] = "AZURE_STORAGE_KEY",
    [AZURE_STORAGE_SAS_TOKEN] = "AZURE_STORAGE_SAS_TOKEN",
    [AZURE_CLIENT_ID] = "AZURE_CLIENT_ID",
    [AZURE_TENANT_ID] = "AZURE_TENANT_ID",
    [AZURE_CLIENT_SECRET] = "AZURE_CLIENT_SECRET",
    [AZURE_FEDERATED_TOKEN_FILE] = "AZURE_FEDERATED_TOKEN_FILE",
    [AZURE_AUTHORITY_HOST] = "AZURE_AUTHORITY_HOST",
    [AZURE_IDENTITY_ENDPOINT] = "IDENTITY_ENDPOINT",
    [AZURE_IDENTITY_HEADER] = "IDENTITY_HEADER",
    [AZURE_IDENTITY_SERVER_THUMBPRINT] = "IDENTITY_SERVER_THUMBPRINT",
    [AZURE_IMDS_ENDPOINT] = "IMDS_ENDPOINT",
    [AZURE_POD_IDENTITY_AUTHORITY_HOST] = "AZURE_POD_IDENTITY_AUTHORITY_HOST",
};

const char *azure_environment(enum azure_variable variable)
{
    const char *value = getenv(names[variable]);
    return value && value[0] != '\0' ? value : NULL;
}

const char *azure_environment_name(enum azure_variable variable)
{
    return names[variable];
}
