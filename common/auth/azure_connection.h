/* Private to the Azure credentials: connection strings of storage accounts. Pure. */
#pragma once

#include <stdbool.h>

#include "base/error.h"

/* Has a member that connection strings have. */
bool azure_connection_is(const char *text);

struct azure_connection {
    const char *account, *key, *sas; /* NULL = not said; key in base64 */
    const char *endpoint;            /* of the account's blobs, no slash at its end; NULL = nobody knows */
    char *memory;                    /* private: what these point to, and its size */
    unsigned long memory_size;
};

/* ERROR_INPUT: no account, neither key nor SAS, an endpoint or a protocol that isn't one. ERROR_UNSUPPORTED:
 * a proxy to the emulator. */
int azure_connection_read(const char *text, const char *what, struct azure_connection *ret,
                          struct error *err);
void azure_connection_deinit(struct azure_connection *connection); /* overwrites; zeroed is fine */
