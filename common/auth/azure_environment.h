/* Private to the Azure credentials: Azure's own variables. They are Azure's, not settings of ours, so they
 * are read here and nowhere else, and by their names in the table. */
#pragma once

enum azure_variable {
    AZURE_STORAGE_CONNECTION_STRING,
    AZURE_STORAGE_ACCOUNT,
    AZURE_STORAGE_KEY,
    AZURE_STORAGE_SAS_TOKEN,
    AZURE_CLIENT_ID,
    AZURE_TENANT_ID,
    AZURE_CLIENT_SECRET,
    AZURE_FEDERATED_TOKEN_FILE,
    AZURE_AUTHORITY_HOST,
    AZURE_IDENTITY_ENDPOINT,          /* IDENTITY_ENDPOINT: App Service; Service Fabric and Arc too */
    AZURE_IDENTITY_HEADER,            /* IDENTITY_HEADER */
    AZURE_IDENTITY_SERVER_THUMBPRINT, /* IDENTITY_SERVER_THUMBPRINT: Service Fabric alone */
    AZURE_IMDS_ENDPOINT,              /* IMDS_ENDPOINT: Arc alone */
    AZURE_POD_IDENTITY_AUTHORITY_HOST,
    AZURE_VARIABLES
};

/* The value now, NULL when it's not set or empty; copy what is kept. */
const char *azure_environment(enum azure_variable variable);
const char *azure_environment_name(enum azure_variable variable);
