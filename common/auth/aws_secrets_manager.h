/* AWS Secrets Manager, GetSecretValue: one secret's text by name or ARN, signed with AWS's own chain. */
#pragma once

#include "base/error.h"
#include "loop/http.h"

struct aws_credentials_cache;
struct aws_secrets_manager_fetch;

/* id: a name, a full ARN (its region is used), or "region/name"-free: the region is else that of AWS_REGION,
 * AWS_DEFAULT_REGION or the profile. AWS_ENDPOINT_URL_SECRETS_MANAGER and AWS_ENDPOINT_URL change the
 * address. done runs exactly once from the loop, never before return; text is valid during the callback and
 * overwritten afterwards (SecretBinary: decoded, refused when it isn't text). Errors as secrets.h says;
 * transport errors, throttling and 5xx are tried 3 times in all. */
int aws_secrets_manager_get(uv_loop_t *loop, struct http_client *http, struct aws_credentials_cache *aws,
                            const char *id,
                            void (*done)(void *data, const char *text, const struct error *err), void *data,
                            struct aws_secrets_manager_fetch **ret, struct error *err);
/* done runs from the loop with ERROR_CANCELLED. */
void aws_secrets_manager_cancel(struct aws_secrets_manager_fetch *fetch);
