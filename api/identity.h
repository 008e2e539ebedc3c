/*
 * Who asks: a session's cookie or an API token, looked up in PostgreSQL and remembered for a moment.
 *
 *   Authorization: Bearer bm_...                           scripts
 *   Cookie: bm_session=...; X-CSRF-Token: ...              pages; the header with everything but GET and HEAD
 *
 * What is remembered is at most IDENTITY_CACHE_MS old: a token that was revoked elsewhere is refused after
 * that at the latest, one that was revoked here at once.
 */
#pragma once

#include "base/digest.h"
#include "loop/pg.h"
#include "route.h"

#define IDENTITY_COOKIE "bm_session"
#define IDENTITY_CSRF_PURPOSE "backupmanager csrf" /* bearer_derive */

enum { IDENTITY_CACHE_MS = 3000 };

struct identities;

int identities_new(uv_loop_t *loop, struct identities **ret_identities, struct error *err);
/* After the PostgreSQL client was closed. NULL does nothing. */
void identities_free(struct identities *identities);

/* Somebody was logged out, revoked or changed: whoever comes next is looked up. */
void identities_forget(struct identities *identities);

/* route_identify */
void identity_find(struct api *api, struct http_request *request);

/* The same user, by session or token; a token without a user is its own. What one may hold is counted by
 * this. */
bool identity_is_same(const struct identity *a, const struct identity *b);

/* The CSRF token that goes with the request's cookie; false: there is no such cookie. */
bool identity_csrf_token(const struct http_request *request, char ret_token[DIGEST_SHA256_SIZE]);

/* Says in question who acts: before the statements of a change. Its only statement. 0 or -1. */
int identity_add_actor(struct api *api, struct pg_request *question, const struct http_request *request);
