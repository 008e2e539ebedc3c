/*
 * API tokens for scripts: a name, a role, and perhaps a day on which they end. The token itself is handed out
 * once, when it is made (auth/bearer.h); rows hold its SHA-256. A token that a person made may never do more
 * than that person may now, and nothing once they are switched off; one made on the command line stands
 * alone.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "base/error.h"
#include "loop/pg.h"
#include "store/roles.h"

enum { TOKEN_MAX_DAYS = 3650 };

/* All (revoked ones too), or the one that `reference` (id, else name of one not revoked) means; created_by 0
 * = anybody's. JSON objects: id, name, role, created_by_id, created_by (NULL = command line), created_at,
 * expires_at, last_used_at, revoked_at, is_active. One statement. */
int token_add_select(struct pg_request *request, const char *reference, int64_t created_by);
/* Those with an id above `after`, at most `limit`, by id; created_by 0 = anybody's. One statement. */
int token_add_page(struct pg_request *request, int64_t created_by, int64_t after, int64_t limit);
/* ERROR_NOT_FOUND. New reference. */
int token_read_one(const PGresult *result, const char *reference, json_t **ret_token, struct error *err);

/* ERROR_INPUT. */
int token_check_name(const char *name, struct error *err);

/* secret_hash: bearer_hash's. created_by 0: the command line; days 0: no end. One statement; its result has
 * id and expires_at, or no row: ERROR_EXISTS by token_read_inserted. */
int token_add_insert(struct pg_request *request, const char *name, const char *secret_hash, const char *role,
                     int64_t created_by, int64_t days);
/* *ret_token: as token_add_select has it, without who and when. New reference. */
int token_read_inserted(const PGresult *result, const char *name, json_t **ret_token, struct error *err);

/* One statement; its result has the id, or no row: revoked already. */
int token_add_revoke(struct pg_request *request, int64_t id);

/* Whose token that is: id, name, role, user_id, username, user_role; no row: nobody's, or ended, revoked, its
 * maker switched off. Notes the use, at most once a minute. One statement. */
int token_add_lookup(struct pg_request *request, const char *secret_hash);
