/* Private to the Azure credentials and their tests: bounds and time. */
#pragma once

#include "auth/azure_credentials.h"
#include "auth/azure_fetch.h"
#include "auth/credential_cache.h"

/* Both outlive the cache; wall_ms is the clock that expiry is compared with. */
void azure_credentials_cache_use(struct azure_credentials_cache *cache, const struct azure_timing *timing,
                                 int64_t (*wall_ms)(void));
