/*
 * Sessions of people who logged in: a cookie's value is handed out once (auth/bearer.h), rows hold its
 * SHA-256. A session ends twelve hours after its last use, seven days after its beginning, with a change of
 * the password, and when its user is switched off.
 */
#pragma once

#include <stdint.h>

#include "loop/pg.h"

enum { SESSION_MAX_SECONDS = 7 * 24 * 3600, SESSIONS_PER_USER = 20 };

/*
 * For somebody whose password was compared with password_hash. Also forgets sessions that have ended (a
 * bounded number) and a user's oldest ones beyond SESSIONS_PER_USER. Three statements.
 *
 * When the password is another one by now, or the user is switched off or gone, the whole request fails with
 * SESSION_REFUSED: no session outlives what ends a user's sessions, however long the comparison took.
 */
#define SESSION_REFUSED "23502" /* struct error: native */
int session_add_insert(struct pg_request *request, const char *secret_hash, int64_t user_id,
                       const char *password_hash, const char *remote_address);

/* Whose session that is: id, user_id, username, role; no row: nobody's, or ended. Notes the use, at most once
 * a minute. One statement. */
int session_add_lookup(struct pg_request *request, const char *secret_hash);

/* One statement. */
int session_add_remove(struct pg_request *request, const char *secret_hash);
