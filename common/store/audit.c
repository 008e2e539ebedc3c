#include "store/audit.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/json_rows.h"

static int add(struct pg_request *request, const char *sql, int n_params, const char *const *values)
{
    struct pg_statement statement = {.sql = sql, .n_params = n_params};
    return pg_request_add(request, &statement, values);
}

int audit_add_actor(struct pg_request *request, const struct audit_actor *actor)
{
    json_t *object = json_pack("{s:s*, s:s*, s:s*}", "username", actor->username, "token", actor->token_name,
                               "address", actor->remote_address);
    if (object && actor->user_id)
        json_object_set_new(object, "user_id", json_integer(actor->user_id));
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (text == NULL)
        return -1;
    int rc = add(request, "SELECT set_config('bm.actor', $1::text, true)", 1, (const char *const[]){text});
    free(text);
    return rc;
}

int audit_add_event(struct pg_request *request, const char *action, const char *kind, int64_t id,
                    const char *name, const json_t *detail)
{
    char number[24];
    snprintf(number, sizeof number, "%lld", (long long)id);
    char *text = detail ? json_dumps(detail, JSON_COMPACT) : NULL;
    if (detail && text == NULL)
        return -1;
    int rc =
        add(request, AUDIT_INSERT "$1::text, $2::text, nullif($3::bigint, 0), $4::text, $5::jsonb" AUDIT_FROM,
            5, (const char *const[]){action, kind, number, name, text});
    free(text);
    return rc;
}

/*
 * By ids, which are given in the order of time: no index on `at` is needed, and the oldest AUDIT_PRUNE_MAX
 * rows are all that is read, also when there is nothing to remove. A row that somebody else holds is passed
 * over, not waited for.
 */
int audit_add_prune(struct pg_request *request, int64_t days)
{
    char number[24], limit[24];
    snprintf(number, sizeof number, "%lld", (long long)days);
    snprintf(limit, sizeof limit, "%d", AUDIT_PRUNE_MAX);
    return add(request,
               "WITH gone AS (DELETE FROM audit_log WHERE id = ANY (ARRAY(SELECT l.id FROM audit_log l"
               "  WHERE l.id = ANY (ARRAY(SELECT o.id FROM"
               "    (SELECT id, at FROM audit_log ORDER BY id LIMIT $2::int) AS o"
               "    WHERE o.at < now() - make_interval(days => $1::int)))"
               "  FOR UPDATE SKIP LOCKED)) RETURNING 1) SELECT count(*) FROM gone",
               2, (const char *const[]){number, limit});
}

int audit_add_select(struct pg_request *request, const struct audit_filter *filter)
{
    char before[24], limit[24], id[24];
    snprintf(before, sizeof before, "%lld", (long long)filter->before);
    snprintf(limit, sizeof limit, "%lld", (long long)filter->limit);
    snprintf(id, sizeof id, "%lld", (long long)filter->object_id);
    return add(
        request,
        "SELECT id, " SQL_ISO(
            "at") " AS at, user_id, username, token_name, program, remote_address, action,"
                  " object_kind, object_id, object_name, changes FROM audit_log"
                  " WHERE ($1::bigint = 0 OR id < $1::bigint) AND ($3::text IS NULL OR object_kind = $3::text)"
                  " AND ($4::bigint = 0 OR object_id = $4::bigint) AND ($5::text IS NULL OR username = $5::text)"
                  " AND ($6::text IS NULL OR action = $6::text) ORDER BY id DESC LIMIT $2::bigint",
        6, (const char *const[]){before, limit, filter->kind, id, filter->username, filter->action});
}
