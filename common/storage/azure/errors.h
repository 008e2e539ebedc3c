/*
 * Error answers of Azure's Blob service by class. Pure. The table in errors.c follows Microsoft's lists of
 * error codes (common ones, and those of the Blob service) and what Azurite adds.
 */
#pragma once

#include <stdbool.h>

#include "storage/object/errors.h"

extern const struct object_error_table azure_errors;

/* Codes of answers to a write which say that something stands at the name: what, only a look tells. */
bool azure_error_is_standing(int status, const char *code);
