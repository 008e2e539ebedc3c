/* Private to the Azure credentials: a token of one identity. */
#pragma once

#include <uv.h>

#include "auth/azure_credentials.h"
#include "auth/azure_identity.h"
#include "auth/azure_plan.h"

/* Bounds; tests have their own. */
struct azure_timing {
    int64_t connect_timeout_ms; /* to a managed identity's service, which is near or isn't */
    int64_t managed_timeout_ms; /* one try: it may have to ask for the token itself */
    int64_t service_timeout_ms; /* Entra ID, one try */
    int64_t retry_delay_ms, retry_delay_max_ms;
};
extern const struct azure_timing azure_timing_default;

struct azure_fetch_ask {
    struct azure_identity *identity; /* what it holds moves to the fetch, unless start fails */
    const char *account;             /* goes along; copied, may be NULL */
    const char *looked;              /* for the error that nobody gives a token; copied */
    struct http_client *http;
    const struct azure_timing *timing; /* outlives the fetch */
    int64_t (*wall_ms)(void);
};

struct azure_fetch;

/* done runs exactly once from the loop, never before return; credentials are valid during the callback. */
typedef void (*azure_fetch_done_fn)(void *data, const struct azure_credentials *credentials,
                                    const struct error *err);

/* ERROR_SYSTEM only is returned directly. */
int azure_fetch_start(uv_loop_t *loop, const struct azure_fetch_ask *ask, azure_fetch_done_fn done,
                      void *data, struct azure_fetch **ret, struct error *err);
/* done runs from the loop with ERROR_CANCELLED. */
void azure_fetch_cancel(struct azure_fetch *fetch);
