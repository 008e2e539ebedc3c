#include "auth/aws_environment.h"

#include <stdlib.h>
#include <strings.h>

static const char *const names[] = {
    [AWS_ACCESS_KEY_ID] = "AWS_ACCESS_KEY_ID",
    [AWS_SECRET_ACCESS_KEY] = "AWS_SECRET_ACCESS_KEY",
    [AWS_SESSION_TOKEN] = "AWS_SESSION_TOKEN",
    [AWS_PROFILE] = "AWS_PROFILE",
    [AWS_DEFAULT_PROFILE] = "AWS_DEFAULT_PROFILE",
    [AWS_REGION] = "AWS_REGION",
    [AWS_DEFAULT_REGION] = "AWS_DEFAULT_REGION",
    [AWS_SHARED_CREDENTIALS_FILE] = "AWS_SHARED_CREDENTIALS_FILE",
    [AWS_CONFIG_FILE] = "AWS_CONFIG_FILE",
    [AWS_WEB_IDENTITY_TOKEN_FILE] = "AWS_WEB_IDENTITY_TOKEN_FILE",
    [AWS_ROLE_ARN] = "AWS_ROLE_ARN",
    [AWS_ROLE_SESSION_NAME] = "AWS_ROLE_SESSION_NAME",
    [AWS_CONTAINER_CREDENTIALS_RELATIVE_URI] = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    [AWS_CONTAINER_CREDENTIALS_FULL_URI] = "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    [AWS_CONTAINER_AUTHORIZATION_TOKEN] = "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    [AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE] = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    [AWS_EC2_METADATA_DISABLED] = "AWS_EC2_METADATA_DISABLED",
    [AWS_EC2_METADATA_V1_DISABLED] = "AWS_EC2_METADATA_V1_DISABLED",
    [AWS_EC2_METADATA_SERVICE_ENDPOINT] = "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    [AWS_ENDPOINT_URL] = "AWS_ENDPOINT_URL",
    [AWS_ENDPOINT_URL_STS] = "AWS_ENDPOINT_URL_STS",
    [AWS_ENDPOINT_URL_SECRETS_MANAGER] = "AWS_ENDPOINT_URL_SECRETS_MANAGER",
    [AWS_CA_BUNDLE] = "AWS_CA_BUNDLE",
    [AWS_HOME] = "HOME",
};

const char *aws_environment(enum aws_variable variable)
{
    const char *value = getenv(names[variable]);
    return value && value[0] != '\0' ? value : NULL;
}

const char *aws_environment_name(enum aws_variable variable)
{
    return names[variable];
}

bool aws_environment_is_true(enum aws_variable variable)
{
    const char *value = aws_environment(variable);
    return value && strcasecmp(value, "true") == 0;
}
