/* The members of storage_config that this driver knows, read and checked one by one. What they mean together
 * is config.c's business. */
#pragma once

#include "storage/azure/config.h"

/* config: an object, or NULL. ERROR_INPUT names the member and what it may be, never its value. */
int azure_members_read(const json_t *config, struct azure_members *ret, struct error *err);
