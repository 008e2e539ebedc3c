/* Private to the Azure credentials: shared access signatures, as queries of URLs. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Begins with '?', or holds a signature. */
bool azure_sas_is(const char *text);

struct azure_sas {
    const char *query;     /* text without its '?' */
    int64_t expires_at_ms; /* 0: a stored access policy says, not the SAS */
    bool https_only;
};
/* ERROR_INPUT: no `sig` in it, what isn't a query, a time in `se` that isn't one. ret->query points into
 * text. */
int azure_sas_read(const char *text, const char *what, struct azure_sas *ret, struct error *err);
