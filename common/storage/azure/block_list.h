/* The blocks of a name that aren't committed: Get Block List's answer. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define AZURE_BLOCK_LIST_MAX ((size_t)16 << 20) /* bytes; 100,000 blocks of ours are 9 MB */

struct azure_block {
    const char *id; /* as the store gives it, valid during the call */
    uint64_t size;
};

/* on_block gets each one that isn't committed, in the list's order. ERROR_PROTOCOL (also when the root isn't
 * BlockList), ERROR_LIMIT, ERROR_SYSTEM; some may have been given then. */
int azure_block_list_read(const char *body, size_t size,
                          void (*on_block)(void *data, const struct azure_block *block), void *data,
                          struct error *err);
