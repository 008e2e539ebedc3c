/*
 * Who did what: audit_log. Changes of configured things are written by triggers (sql/003_api.up.sql), in the
 * transaction of the change and whoever makes it; a program only says first who is acting. What is no change
 * of such a row (a login, a retry) is written by audit_add_event.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "loop/pg.h"

struct audit_actor {
    int64_t user_id;      /* 0 = none */
    const char *username; /* may be NULL, as those below */
    const char *token_name;
    const char *remote_address;
};

/* Before the statements of the change, in the same request; also who created_by of new rows is. One
 * statement. */
int audit_add_actor(struct pg_request *request, const struct audit_actor *actor);

/* action: "login", "backup_retry", ...; kind: "user", "backup", ...; id 0 = none; name and detail (a JSON
 * object without secrets) may be NULL. After audit_add_actor. One statement. */
int audit_add_event(struct pg_request *request, const char *action, const char *kind, int64_t id,
                    const char *name, const json_t *detail);

/* The same within a statement that makes the change: AUDIT_INSERT, then action, kind, id, name and detail as
 * SQL, then AUDIT_FROM and what else they are taken from. Also outside of any actor. */
#define AUDIT_INSERT                                                                                         \
    "INSERT INTO audit_log (user_id, username, token_name, program, remote_address, action, object_kind,"    \
    " object_id, object_name, changes) SELECT (a.actor ->> 'user_id')::int, a.actor ->> 'username',"         \
    " a.actor ->> 'token', current_setting('application_name'), a.actor ->> 'address', "
#define AUDIT_FROM " FROM (SELECT nullif(current_setting('bm.actor', true), '')::jsonb AS actor) AS a"

/* Removes what is older than days (>= 1), the oldest AUDIT_PRUNE_MAX rows at most: the result's one row has
 * their count. One statement. */
#define AUDIT_PRUNE_MAX 1000
int audit_add_prune(struct pg_request *request, int64_t days);

/* A page, newest first: id < before (0 = from the end); each filter may be NULL (kind, username, action) or 0
 * (object id). One statement; rows by json_rows. */
struct audit_filter {
    int64_t before;
    int64_t limit;
    const char *kind;
    int64_t object_id;
    const char *username;
    const char *action;
};
int audit_add_select(struct pg_request *request, const struct audit_filter *filter);
