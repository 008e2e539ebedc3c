/*
 * Keys that clients choose for a request, so that sending it again after a lost answer makes nothing twice:
 * rows of `idempotency_keys`, written in the transaction of what they stand for (backup_create). A key counts
 * for a day.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "loop/pg.h"

#define IDEMPOTENCY_KEY_MAX 255

/* 1 to IDEMPOTENCY_KEY_MAX visible ASCII characters. */
bool idempotency_key_acceptable(const char *key);

/* What stands under a key, after keys that are over are forgotten (some of them; this one in any case):
 * request, backup_id; no row: it is free. Two statements, the second has the result. */
enum { IDEMPOTENCY_LOOKUP_STATEMENTS = 2 };
int idempotency_add_lookup(struct pg_request *request, const char *scope, const char *key);
