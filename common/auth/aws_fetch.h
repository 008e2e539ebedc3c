/* Private to the AWS credentials: one walk through the chain, from a plan to credentials. */
#pragma once

#include <uv.h>

#include "auth/aws_credentials.h"

/* Bounds of the services that hold credentials; the defaults are botocore's. Tests have their own. */
struct aws_timing {
    int64_t metadata_timeout_ms;  /* one try */
    int64_t container_timeout_ms; /* three tries */
    int64_t service_timeout_ms;   /* STS, Secrets Manager: three tries */
    int64_t retry_delay_ms;
};
extern const struct aws_timing aws_timing_default;

struct aws_fetch_ask {
    const char *profile; /* as in aws_credentials_ask, all copied */
    enum aws_chain chain;
    const char *region;
    struct http_client *http;
    const struct aws_timing *timing; /* outlives the fetch */
};

struct aws_fetch;

/*
 * done runs exactly once from the loop, never before return; credentials are valid during the callback.
 * from_metadata: they are the instance's own, which may be given already expired and are then used
 * nevertheless.
 */
typedef void (*aws_fetch_done_fn)(void *data, const struct aws_credentials *credentials, bool from_metadata,
                                  const struct error *err);

/* ERROR_SYSTEM only is returned directly. */
int aws_fetch_start(uv_loop_t *loop, const struct aws_fetch_ask *ask, aws_fetch_done_fn done, void *data,
                    struct aws_fetch **ret, struct error *err);
/* done runs from the loop with ERROR_CANCELLED. */
void aws_fetch_cancel(struct aws_fetch *fetch);
