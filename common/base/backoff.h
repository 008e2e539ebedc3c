/* Exponential backoff with full jitter: uniform in [0, min(cap, base * 2^(attempt-1))]. */
#pragma once

#include <stdint.h>

/* attempt counts from 1; random is a uniform 64-bit number (injected, so that tests are exact). Result in ms,
 * at least 1. */
int64_t backoff_ms(int attempt, int64_t base_ms, int64_t cap_ms, uint64_t random);
