/* Private to the AWS credentials: the profiles of the shared files, ~/.aws/credentials and ~/.aws/config. */
#pragma once

#include "base/error.h"
#include "base/strbuf.h"

enum aws_key {
    AWS_KEY_ID,
    AWS_KEY_SECRET,
    AWS_KEY_TOKEN,
    AWS_KEY_REGION,
    AWS_KEY_ROLE_ARN,
    AWS_KEY_SOURCE_PROFILE,
    AWS_KEY_CREDENTIAL_SOURCE,
    AWS_KEY_WEB_IDENTITY_TOKEN_FILE,
    AWS_KEY_ROLE_SESSION_NAME,
    AWS_KEY_EXTERNAL_ID,
    AWS_KEY_DURATION_SECONDS,
    AWS_KEY_CREDENTIAL_PROCESS,
    AWS_KEY_SSO_SESSION,
    AWS_KEY_SSO_START_URL,
    AWS_KEYS,
};

struct aws_profile {
    char *name;
    char *values[AWS_KEYS]; /* NULL = absent or empty */
};

struct aws_profiles;

enum { AWS_PROFILES_MAX = 4096 };

/*
 * Both files as they are now: AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE, else those in ~/.aws. A profile
 * that both name is one; what the credentials file says wins. A file that isn't there has no profiles; nor
 * has one of ~/.aws that must not be read. A malformed one is ERROR_INPUT and named with its line.
 */
int aws_profiles_read(struct aws_profiles **ret, struct error *err);
void aws_profiles_free(struct aws_profiles *profiles); /* overwrites; NULL is fine */

/* NULL: no such profile. */
const struct aws_profile *aws_profiles_find(const struct aws_profiles *profiles, const char *name);
/* "/root/.aws/credentials and /root/.aws/config", for messages. */
const char *aws_profiles_files(const struct aws_profiles *profiles);
