/*
 * catalog_apply beside the requests: what looks at directories runs in the thread pool, with a time limit, so
 * that a dead mount holds one answer for a while and never the loop.
 */
#pragma once

#include <jansson.h>
#include <uv.h>

#include "base/error.h"
#include "base/settings.h"
#include "store/catalog.h"

#define APPLIES_AT_ONCE 4 /* of each mount one */
#define APPLIES_WAITING 64

struct applies;

/* timeout_ms: of one, from apply_start on, its turn included. settings outlive it. */
int applies_new(uv_loop_t *loop, const struct settings *settings, int64_t timeout_ms,
                struct applies **ret_applies, struct error *err);

/* Those under way get ERROR_CANCELLED before this returns. The memory goes when the last thread has come
 * back: one that hangs keeps the loop alive. NULL does nothing. */
void applies_free(struct applies *applies);

/* row: taken over; NULL with err, and field as in catalog_apply. */
typedef void (*apply_fn)(void *data, json_t *row, const char *field, const struct error *err);

/*
 * current (NULL: a new row) and changes are taken over in every case; nobody else may hold any part of them.
 * done runs once, from the loop or from applies_free, never before return. Besides what catalog_apply says:
 * ERROR_TIMEOUT (retryable) a disk does not answer. Returned at once, without done: ERROR_LIMIT (retryable)
 * too many wait.
 */
int apply_start(struct applies *applies, enum catalog_kind kind, json_t *current, json_t *changes,
                apply_fn done, void *data, struct error *err);
