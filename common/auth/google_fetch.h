/* Private to the Google credentials: one walk from a source to a token. */
#pragma once

#include <uv.h>

#include "auth/google_answer.h"
#include "auth/google_source.h"

/* Bounds of the services; tests have their own. Each is asked three times. */
struct google_timing {
    int64_t metadata_timeout_ms; /* of one try */
    int64_t service_timeout_ms;
    int64_t retry_delay_ms;
};
extern const struct google_timing google_timing_default;

struct google_fetch_ask {
    struct http_client *http;
    const struct google_timing *timing; /* outlives the fetch */
    int64_t (*wall_ms)(void);
    const char *scope;  /* copied */
    const char *looked; /* copied: where no credentials were found, before the metadata server */
};

struct google_fetch;

/* Exactly once, from the loop, never before return; one of token and err is NULL, all are valid during the
 * call. */
typedef void (*google_fetch_done_fn)(void *data, const struct google_source *source,
                                     const struct google_token *token, const struct error *err);

/* source: of any kind but GOOGLE_ACCESS_TOKEN; taken over, emptied, when 0 is returned. ERROR_SYSTEM only is
 * returned directly. */
int google_fetch_start(uv_loop_t *loop, const struct google_fetch_ask *ask, struct google_source *source,
                       google_fetch_done_fn done, void *data, struct google_fetch **ret, struct error *err);
/* done runs from the loop with ERROR_CANCELLED. */
void google_fetch_cancel(struct google_fetch *fetch);
