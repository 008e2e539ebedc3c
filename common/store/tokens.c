#include "store/tokens.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "store/json_rows.h"

extern const char bm_sql_tokens_select[];

enum { NAME_MAX_BYTES = 100, MAX_SQL = 2048 };

static int add(struct pg_request *request, const char *sql, int n_params, const char *const *values)
{
    struct pg_statement statement = {.sql = sql, .n_params = n_params};
    return pg_request_add(request, &statement, values);
}

int token_add_select(struct pg_request *request, const char *reference, int64_t created_by)
{
    char sql[MAX_SQL], user[24];
    snprintf(user, sizeof user, "%lld", (long long)created_by);
    snprintf(sql, sizeof sql,
             "%s WHERE ($1::text IS NULL OR t.id::text = $1 OR (t.name = $1 AND t.revoked_at IS NULL"
             " AND NOT EXISTS (SELECT FROM api_tokens i WHERE i.id::text = $1)))"
             " AND ($2::bigint = 0 OR t.created_by = $2::bigint) ORDER BY t.name, t.id",
             bm_sql_tokens_select);
    return add(request, sql, 2, (const char *const[]){reference, user});
}

int token_add_page(struct pg_request *request, int64_t created_by, int64_t after, int64_t limit)
{
    char sql[MAX_SQL], numbers[3][24];
    snprintf(numbers[0], sizeof numbers[0], "%lld", (long long)created_by);
    snprintf(numbers[1], sizeof numbers[1], "%lld", (long long)after);
    snprintf(numbers[2], sizeof numbers[2], "%lld", (long long)limit);
    snprintf(sql, sizeof sql,
             "%s WHERE ($1::bigint = 0 OR t.created_by = $1::bigint) AND t.id > $2::bigint"
             " ORDER BY t.id LIMIT $3::bigint",
             bm_sql_tokens_select);
    return add(request, sql, 3, (const char *const[]){numbers[0], numbers[1], numbers[2]});
}

int token_read_one(const PGresult *result, const char *reference, json_t **ret_token, struct error *err)
{
    if (PQntuples(result) == 0)
        return error_set(err, ERROR_NOT_FOUND, false, "no token that is in use is called '%s'", reference);
    json_t *row = json_row(result, 0);
    if (row == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    *ret_token = row;
    return 0;
}

int token_check_name(const char *name, struct error *err)
{
    size_t n = strlen(name);
    bool odd = n == 0 || n > NAME_MAX_BYTES || strspn(name, "0123456789") == n || name[0] == '-';
    for (size_t i = 0; i < n; i++)
        odd |= iscntrl((unsigned char)name[i]) != 0;
    if (odd)
        return error_set(
            err, ERROR_INPUT, false,
            "name: use 1 to %d bytes without control characters, that neither begin with '-' nor are a "
            "number (that would be an id)",
            NAME_MAX_BYTES);
    return 0;
}

int token_add_insert(struct pg_request *request, const char *name, const char *secret_hash, const char *role,
                     int64_t created_by, int64_t days)
{
    char user[24], n[24];
    snprintf(user, sizeof user, "%lld", (long long)created_by);
    snprintf(n, sizeof n, "%lld", (long long)days);
    return add(request,
               "INSERT INTO api_tokens (name, secret_hash, role, created_by, expires_at)"
               " VALUES ($1::text, $2::text, $3::text, nullif($4::int, 0),"
               "         CASE WHEN $5::int > 0 THEN now() + $5::int * interval '1 day' END)"
               " ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING"
               " RETURNING id, name, role, " SQL_ISO("created_at") " AS created_at, " SQL_ISO(
                   "expires_at") " AS expires_at",
               5, (const char *const[]){name, secret_hash, role, user, n});
}

int token_read_inserted(const PGresult *result, const char *name, json_t **ret_token, struct error *err)
{
    if (PQntuples(result) == 0)
        return error_set(err, ERROR_EXISTS, false, "a token called '%s' is in use already; revoke it first",
                         name);
    return token_read_one(result, name, ret_token, err);
}

int token_add_revoke(struct pg_request *request, int64_t id)
{
    char number[24];
    snprintf(number, sizeof number, "%lld", (long long)id);
    return add(
        request,
        "UPDATE api_tokens SET revoked_at = now() WHERE id = $1::bigint AND revoked_at IS NULL RETURNING id",
        1, (const char *const[]){number});
}

int token_add_lookup(struct pg_request *request, const char *secret_hash)
{
    static const struct pg_statement statement = {
        "token_lookup",
        "WITH found AS (SELECT t.id, t.name, t.role, t.last_used_at, u.id AS user_id, u.username, u.role AS user_role"
        "  FROM api_tokens t LEFT JOIN users u ON u.id = t.created_by"
        "  WHERE t.secret_hash = $1::text AND t.revoked_at IS NULL AND coalesce(t.expires_at > now(), true)"
        "   AND (t.created_by IS NULL OR u.is_active IS TRUE)),"
        " noted AS (UPDATE api_tokens SET last_used_at = now() WHERE id IN (SELECT id FROM found"
        "  WHERE coalesce(last_used_at < now() - interval '1 minute', true)))"
        " SELECT id, name, role, user_id, username, user_role FROM found",
        1};
    return pg_request_add(request, &statement, (const char *const[]){secret_hash});
}
