/* AWS Secrets Manager, GetSecretValue: one secret's text by name or ARN, signed with AWS's own chain. */
#pragma once

#include <uv.h>

#include "base/error.h"
#include "loop/http.h"

struct aws_credentials_cache;
struct aws_secrets_manager_fetch;

/*
 * id (copied): a name, or an ARN, whose region is used; else the region is that of AWS_REGION,
 * AWS_DEFAULT_REGION or the profile. AWS_ENDPOINT_URL_SECRETS_MANAGER and AWS_ENDPOINT_URL change the
 * address. done runs exactly once from the loop, never before return; text is valid during the callback and
 * overwritten afterwards (SecretBinary: decoded, refused when it isn't text). Transport errors, throttling
 * and 5xx are tried 3 times in all; credentials that the service calls expired are fetched anew once.
 *
 * Errors: ERROR_INPUT (not retryable): no id, no region known. ERROR_NOT_FOUND, ERROR_DENIED,
 * ERROR_UNREACHABLE, ERROR_TIMEOUT, ERROR_PROTOCOL (retryable: people repair secrets); what the credentials'
 * chain says. Messages name the secret's id, never its value; native holds AWS's code. Directly returned is
 * ERROR_SYSTEM only.
 */
int aws_secrets_manager_get(uv_loop_t *loop, struct http_client *http, struct aws_credentials_cache *aws,
                            const char *id,
                            void (*done)(void *data, const char *text, const struct error *err), void *data,
                            struct aws_secrets_manager_fetch **ret, struct error *err);
/* done runs from the loop with ERROR_CANCELLED. */
void aws_secrets_manager_cancel(struct aws_secrets_manager_fetch *fetch);
