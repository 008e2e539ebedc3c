/* Private to the AWS credentials: AWS's own variables. They are AWS's, not settings of ours, so they are read
 * here and nowhere else, and by their names in the table. */
#pragma once

#include <stdbool.h>

enum aws_variable {
    AWS_ACCESS_KEY_ID,
    AWS_SECRET_ACCESS_KEY,
    AWS_SESSION_TOKEN,
    AWS_PROFILE,
    AWS_DEFAULT_PROFILE,
    AWS_REGION,
    AWS_DEFAULT_REGION,
    AWS_SHARED_CREDENTIALS_FILE,
    AWS_CONFIG_FILE,
    AWS_WEB_IDENTITY_TOKEN_FILE,
    AWS_ROLE_ARN,
    AWS_ROLE_SESSION_NAME,
    AWS_CONTAINER_CREDENTIALS_RELATIVE_URI,
    AWS_CONTAINER_CREDENTIALS_FULL_URI,
    AWS_CONTAINER_AUTHORIZATION_TOKEN,
    AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE,
    AWS_EC2_METADATA_DISABLED,
    AWS_EC2_METADATA_V1_DISABLED,
    AWS_EC2_METADATA_SERVICE_ENDPOINT,
    AWS_ENDPOINT_URL,
    AWS_ENDPOINT_URL_STS,
    AWS_ENDPOINT_URL_SECRETS_MANAGER,
    AWS_CA_BUNDLE,
    AWS_HOME, /* HOME: where ~/.aws is */
};

/* The value now, NULL when it's not set or empty; copy what is kept. */
const char *aws_environment(enum aws_variable variable);
const char *aws_environment_name(enum aws_variable variable);
/* "true" in any case. */
bool aws_environment_is_true(enum aws_variable variable);
