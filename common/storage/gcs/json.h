/* Numbers as Google's JSON writes them: those of 64 bits in quotes. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Decimal digits, in quotes or not, up to 2^63 - 1. false, and nothing written, for anything else. */
bool gcs_json_number(const json_t *value, uint64_t *ret);
