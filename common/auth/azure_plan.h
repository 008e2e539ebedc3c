/* Private to the Azure credentials: where Azure's own chain leads, from the environment. */
#pragma once

#include "auth/azure_credentials.h"
#include "auth/azure_identity.h"

enum { AZURE_LOOKED_SIZE = 512 };

struct azure_plan {
    struct azure_credentials *given; /* NULL: identity is to be asked */
    struct azure_identity identity;
    char looked[AZURE_LOOKED_SIZE]; /* for people: what came before, and why it wasn't that */
};

/* ERROR_INPUT: a variable is set wrongly. ERROR_DENIED: its SAS has expired. ERROR_UNSUPPORTED: Arc, Service
 * Fabric. credentials_ref of the ask doesn't count. */
int azure_plan_make(const struct azure_credentials_ask *ask, int64_t now_ms, struct azure_plan *ret,
                    struct error *err);
void azure_plan_deinit(struct azure_plan *plan); /* overwrites; zeroed is fine */
