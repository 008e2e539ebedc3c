/* Private to the Google credentials and their tests: time. */
#pragma once

#include "auth/google_credentials.h"
#include "auth/google_fetch.h"

/* Both outlive the cache; wall_ms is the clock that expiry is compared with, and assertions are dated by. */
void google_credentials_cache_use(struct google_credentials_cache *cache, const struct google_timing *timing,
                                  int64_t (*wall_ms)(void));
