/* Private to the AWS credentials and their tests: bounds and time. */
#pragma once

#include "auth/aws_credentials.h"
#include "auth/aws_fetch.h"

enum { AWS_MAX_KEPT = 64, AWS_MAX_WAITS = 4096 };

/* Both outlive the cache; wall_ms is the clock that expiry is compared with. */
void aws_credentials_cache_use(struct aws_credentials_cache *cache, const struct aws_timing *timing,
                               int64_t (*wall_ms)(void));
const struct aws_timing *aws_credentials_cache_timing(const struct aws_credentials_cache *cache);
