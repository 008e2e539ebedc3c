/* Private to the AWS credentials and their tests: bounds and time. */
#pragma once

#include "auth/aws_credentials.h"
#include "auth/aws_fetch.h"
#include "auth/credential_cache.h"

enum { AWS_MAX_KEPT = CREDENTIAL_MAX_KEPT, AWS_MAX_WAITS = CREDENTIAL_MAX_WAITS };

/* Both outlive the cache; wall_ms is the clock that expiry is compared with. */
void aws_credentials_cache_use(struct aws_credentials_cache *cache, const struct aws_timing *timing,
                               int64_t (*wall_ms)(void));
const struct aws_timing *aws_credentials_cache_timing(const struct aws_credentials_cache *cache);
