/*
 * People: rows of `users`. Functions user_add_* put statements into a request of the caller; hashes never
 * leave a statement but user_add_login's.
 *
 * The built-in user `system` (without a password) is no person: it is neither listed nor found here.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "loop/pg.h"

/* All, or the one that `reference` (id, else name) means, as JSON objects: id, username, email, role,
 * is_active, created_at, updated_at, last_login_at. One statement. */
int user_add_select(struct pg_request *request, const char *reference);
/* Those with an id above `after`, at most `limit`, by id. One statement. */
int user_add_page(struct pg_request *request, int64_t after, int64_t limit);
json_t *user_read_rows(const PGresult *result);
/* ERROR_NOT_FOUND. New reference. */
int user_read_one(const PGresult *result, const char *reference, json_t **ret_user, struct error *err);

/* What a person wrote: username, email, role, is_active, of which those that are there are checked.
 * ERROR_INPUT; *ret_field (may be NULL) is the one that is wrong. */
int user_check(const json_t *changes, const char **ret_field, struct error *err);

/* A new one. email NULL: <username>@localhost, for the older system's column. Two statements; the second's
 * result has the id, or no row: the name is taken. An email that is taken where the older system's table
 * forbids it: the request fails with ERROR_EXISTS. */
int user_add_insert(struct pg_request *request, const char *username, const char *email, const char *role,
                    const char *password_hash);
int user_read_inserted(const PGresult *result, const char *username, int64_t *ret_id, struct error *err);

/*
 * Changes username, email, role, is_active and hashed_password, those that `changes` has (user_check first).
 * Who is switched off or gets another password is logged out everywhere. At most USER_CHANGE_STATEMENTS; the
 * result at USER_CHANGED has the id, or no row: user_read_changed says why. The last active admin can't be
 * switched off, demoted or removed, nor can be removed who stands in other rows as the one who made them.
 */
enum { USER_CHANGE_STATEMENTS = 4, USER_CHANGED = 1, USER_WHY_NOT = 2 };
int user_add_update(struct pg_request *request, int64_t id, const json_t *changes);
int user_add_remove(struct pg_request *request, int64_t id);
/* ERROR_NOT_FOUND, ERROR_CONFLICT, ERROR_EXISTS. results: of the whole request,
 * with the statements of the above beginning at `first`. */
int user_read_changed(PGresult *const *results, int first, const char *username, struct error *err);

/* For a login: id, hashed_password, role, username of an active user with that name; no row: nobody. */
int user_add_login(struct pg_request *request, const char *username);
/* Records the login; new_hash (may be NULL) replaces old_hash where that still stands, and the older system's
 * is kept for the way back. Two statements. */
int user_add_logged_in(struct pg_request *request, int64_t id, const char *old_hash, const char *new_hash);

/*
 * Somebody gives themselves another password, having proved the old one: new_hash replaces old_hash where
 * that still stands and the user is active. Their other sessions end, and the one with session_id goes on
 * under session_secret_hash. Two statements; the second has a row, or none: changed meanwhile.
 */
enum { USER_OWN_PASSWORD = 1 };
int user_add_own_password(struct pg_request *request, int64_t id, const char *old_hash, const char *new_hash,
                          int64_t session_id, const char *session_secret_hash);
