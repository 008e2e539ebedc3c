#include "store/users.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "store/json_rows.h"
#include "store/roles.h"

extern const char bm_sql_users_select[];

enum { NAME_MAX_BYTES = 100, EMAIL_MAX_BYTES = 254, MAX_SQL = 2048 };

/* Changes of users wait for each other: who is the last admin, which names are taken. */
#define LOCK "SELECT pg_advisory_xact_lock(hashtextextended('backupmanager.users', 0))"
#define IS_PERSON "NOT (u.username = 'system' AND u.hashed_password = '!')"
#define IS_ADMIN "u.role = 'admin' AND u.is_active IS TRUE"
#define OTHER_ADMIN                                                                                          \
    "EXISTS (SELECT FROM users o WHERE o.id <> u.id AND o.role = 'admin' AND o.is_active IS TRUE)"

static int add(struct pg_request *request, const char *sql, int n_params, const char *const *values)
{
    struct pg_statement statement = {.sql = sql, .n_params = n_params};
    return pg_request_add(request, &statement, values);
}

int user_add_select(struct pg_request *request, const char *reference)
{
    char sql[MAX_SQL];
    snprintf(sql, sizeof sql,
             "%s WHERE " IS_PERSON
             " AND ($1::text IS NULL OR u.id::text = $1 OR (u.username = $1 AND NOT EXISTS"
             " (SELECT FROM users i WHERE i.id::text = $1))) ORDER BY u.username, u.id",
             bm_sql_users_select);
    return add(request, sql, 1, (const char *const[]){reference});
}

int user_add_page(struct pg_request *request, int64_t after, int64_t limit)
{
    char sql[MAX_SQL], numbers[2][24];
    snprintf(numbers[0], sizeof numbers[0], "%lld", (long long)after);
    snprintf(numbers[1], sizeof numbers[1], "%lld", (long long)limit);
    snprintf(sql, sizeof sql, "%s WHERE " IS_PERSON " AND u.id > $1::bigint ORDER BY u.id LIMIT $2::bigint",
             bm_sql_users_select);
    return add(request, sql, 2, (const char *const[]){numbers[0], numbers[1]});
}

json_t *user_read_rows(const PGresult *result)
{
    return json_rows(result);
}

int user_read_one(const PGresult *result, const char *reference, json_t **ret_user, struct error *err)
{
    if (PQntuples(result) == 0)
        return error_set(err, ERROR_NOT_FOUND, false, "no user is called '%s'", reference);
    json_t *row = json_row(result, 0);
    if (row == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    *ret_user = row;
    return 0;
}

/* --- checks --- */

static int check_username(const char *name, struct error *err)
{
    size_t n = name ? strlen(name) : 0;
    bool odd = n == 0 || n > NAME_MAX_BYTES || strspn(name, "0123456789") == n || name[0] == '-';
    for (size_t i = 0; i < n; i++)
        odd |= iscntrl((unsigned char)name[i]) || isspace((unsigned char)name[i]) || name[i] == ':';
    if (odd)
        return error_set(
            err, ERROR_INPUT, false,
            "username: use 1 to %d bytes without white space and ':', that neither begin with '-' nor are "
            "a number (that would be an id)",
            NAME_MAX_BYTES);
    return 0;
}

static int check_email(const char *email, struct error *err)
{
    size_t n = email ? strlen(email) : 0;
    const char *at = n ? strchr(email, '@') : NULL;
    bool odd = n > EMAIL_MAX_BYTES || at == NULL || at == email || at[1] == '\0' || strchr(at + 1, '@');
    for (size_t i = 0; i < n; i++)
        odd |= iscntrl((unsigned char)email[i]) || isspace((unsigned char)email[i]);
    if (odd)
        return error_set(err, ERROR_INPUT, false, "email: write one address, for example name@example.org");
    return 0;
}

int user_check(const json_t *changes, const char **ret_field, struct error *err)
{
    const json_t *name = json_object_get(changes, "username"), *email = json_object_get(changes, "email"),
                 *role = json_object_get(changes, "role"), *active = json_object_get(changes, "is_active");
    const char *field = NULL;
    enum role parsed;
    if (name && check_username(json_string_value(name), err))
        field = "username";
    else if (email && check_email(json_string_value(email), err))
        field = "email";
    else if (role && !role_parse(json_string_value(role), &parsed) &&
             error_set(err, ERROR_INPUT, false, "role: use viewer, operator or admin"))
        field = "role";
    else if (active && !json_is_boolean(active) &&
             error_set(err, ERROR_INPUT, false, "is_active: use true or false"))
        field = "is_active";
    if (field && ret_field)
        *ret_field = field;
    return field ? ERROR_INPUT : 0;
}

/* --- changes --- */

int user_add_insert(struct pg_request *request, const char *username, const char *email, const char *role,
                    const char *password_hash)
{
    if (add(request, LOCK, 0, NULL))
        return -1;
    return add(
        request,
        "INSERT INTO users (username, email, role, hashed_password, is_active, created_at)"
        " SELECT $1::text, coalesce($2::text, $1::text || '@localhost'), $3::text, $4::text, true, now()"
        " WHERE NOT EXISTS (SELECT FROM users u WHERE u.username = $1::text) RETURNING id",
        4, (const char *const[]){username, email, role, password_hash});
}

int user_read_inserted(const PGresult *result, const char *username, int64_t *ret_id, struct error *err)
{
    if (PQntuples(result) == 0)
        return error_set(err, ERROR_EXISTS, false, "a user called '%s' exists already", username);
    *ret_id = pg_int(result, 0, 0, 0);
    return 0;
}

static int add_why_not(struct pg_request *request, const char *id, const char *username)
{
    return add(request,
               "SELECT u.id, " IS_ADMIN " AND NOT " OTHER_ADMIN ","
               " EXISTS (SELECT FROM users o WHERE o.id <> u.id AND o.username = $2::text),"
               " (SELECT string_agg(kind, ', ') FROM ("
               "  SELECT 'groups' AS kind WHERE EXISTS (SELECT FROM groups WHERE created_by = u.id) UNION ALL"
               "  SELECT 'databases' WHERE EXISTS (SELECT FROM databases WHERE created_by = u.id) UNION ALL"
               "  SELECT 'schedules' WHERE EXISTS (SELECT FROM schedules WHERE created_by = u.id) UNION ALL"
               "  SELECT 'backups' WHERE EXISTS (SELECT FROM backups WHERE created_by = u.id)) made)"
               " FROM users u WHERE u.id = $1::bigint AND " IS_PERSON,
               2, (const char *const[]){id, username});
}

static const char *text_of(const json_t *changes, const char *key)
{
    return json_string_value(json_object_get(changes, key));
}

int user_add_update(struct pg_request *request, int64_t id, const json_t *changes)
{
    char number[24];
    snprintf(number, sizeof number, "%lld", (long long)id);
    const json_t *active = json_object_get(changes, "is_active");
    const char *const values[] = {number,
                                  text_of(changes, "username"),
                                  text_of(changes, "email"),
                                  text_of(changes, "role"),
                                  active ? (json_is_true(active) ? "true" : "false") : NULL,
                                  text_of(changes, "hashed_password")};
    if (add(request, LOCK, 0, NULL) ||
        add(request,
            "UPDATE users u SET username = coalesce($2::text, u.username), email = coalesce($3::text, u.email),"
            " role = coalesce($4::text, u.role), is_active = coalesce($5::boolean, u.is_active),"
            " hashed_password = coalesce($6::text, u.hashed_password), updated_at = now()"
            " WHERE u.id = $1::bigint AND " IS_PERSON
            " AND (coalesce($4::text, u.role) = 'admin' AND coalesce($5::boolean, u.is_active) IS TRUE"
            "      OR NOT (" IS_ADMIN ") OR " OTHER_ADMIN ")"
            " AND NOT EXISTS (SELECT FROM users o WHERE o.id <> u.id AND o.username = $2::text) RETURNING u.id",
            6, values))
        return -1;
    if (add_why_not(request, number, values[1]))
        return -1;
    /* Only where the row is as it was to become: nobody is logged out by a change that was refused. */
    return add(request,
               "WITH changed AS (SELECT id FROM users WHERE id = $1::bigint"
               "  AND (hashed_password = $2::text OR ($3::text = 'false' AND is_active IS NOT TRUE))),"
               " forgotten AS (DELETE FROM legacy_passwords"
               "  WHERE $2::text IS NOT NULL AND user_id IN (SELECT id FROM changed))"
               " DELETE FROM sessions WHERE user_id IN (SELECT id FROM changed)",
               3, (const char *const[]){number, values[5], values[4]});
}

int user_add_remove(struct pg_request *request, int64_t id)
{
    char number[24];
    snprintf(number, sizeof number, "%lld", (long long)id);
    const char *const values[] = {number};
    if (add(request, LOCK, 0, NULL) ||
        add(request,
            "DELETE FROM users u WHERE u.id = $1::bigint AND " IS_PERSON " AND (NOT (" IS_ADMIN
            ") OR " OTHER_ADMIN ")"
            " AND NOT EXISTS (SELECT FROM groups WHERE created_by = u.id)"
            " AND NOT EXISTS (SELECT FROM databases WHERE created_by = u.id)"
            " AND NOT EXISTS (SELECT FROM schedules WHERE created_by = u.id)"
            " AND NOT EXISTS (SELECT FROM backups WHERE created_by = u.id) RETURNING u.id",
            1, values))
        return -1;
    return add_why_not(request, number, NULL);
}

int user_read_changed(PGresult *const *results, int first, const char *username, struct error *err)
{
    const PGresult *why = results[first + USER_WHY_NOT];
    if (PQntuples(results[first + USER_CHANGED]) > 0)
        return 0;
    if (PQntuples(why) == 0)
        return error_set(err, ERROR_NOT_FOUND, false, "user '%s' is gone already", username);
    if (pg_bool(why, 0, 1, 0))
        return error_set(err, ERROR_CONFLICT, false,
                         "'%s' is the last active admin; make another user an admin first", username);
    if (pg_bool(why, 0, 2, 0))
        return error_set(err, ERROR_EXISTS, false, "another user has that name already");
    return error_set(err, ERROR_CONFLICT, false,
                     "user '%s' stands in %s as the one who made them; disable the user instead", username,
                     pg_text(why, 0, 3) ? pg_text(why, 0, 3) : "other rows");
}

/* --- logins --- */

int user_add_login(struct pg_request *request, const char *username)
{
    return add(request,
               "SELECT u.id, u.hashed_password, u.role, u.username FROM users u"
               " WHERE u.username = $1::text AND u.is_active IS TRUE",
               1, (const char *const[]){username});
}

int user_add_logged_in(struct pg_request *request, int64_t id, const char *old_hash, const char *new_hash)
{
    char number[24];
    snprintf(number, sizeof number, "%lld", (long long)id);
    const char *const values[] = {number, old_hash, new_hash};
    if (add(request, "UPDATE users SET last_login_at = now() WHERE id = $1::bigint", 1, values))
        return -1;
    return add(request,
               "WITH renewed AS (UPDATE users SET hashed_password = $3::text WHERE id = $1::bigint"
               "  AND hashed_password = $2::text AND $3::text IS NOT NULL RETURNING id)"
               " INSERT INTO legacy_passwords (user_id, hashed_password)"
               " SELECT id, $2::text FROM renewed WHERE $2::text LIKE '$2%'"
               " ON CONFLICT (user_id) DO UPDATE SET hashed_password = excluded.hashed_password",
               3, values);
}

int user_add_own_password(struct pg_request *request, int64_t id, const char *old_hash, const char *new_hash,
                          int64_t session_id, const char *session_secret_hash)
{
    char user[24], session[24];
    snprintf(user, sizeof user, "%lld", (long long)id);
    snprintf(session, sizeof session, "%lld", (long long)session_id);
    /* of its own: sessions of logins that it had to wait for are seen, and ended */
    if (add(request, "SELECT id FROM users WHERE id = $1::bigint FOR NO KEY UPDATE", 1,
            (const char *const[]){user}))
        return -1;
    return add(
        request,
        "WITH changed AS (UPDATE users SET hashed_password = $3::text, updated_at = now()"
        "  WHERE id = $1::bigint AND hashed_password = $2::text AND is_active IS TRUE RETURNING id),"
        " forgotten AS (DELETE FROM legacy_passwords WHERE user_id IN (SELECT id FROM changed)),"
        " ended AS (DELETE FROM sessions WHERE user_id IN (SELECT id FROM changed) AND id <> $4::bigint),"
        " renewed AS (UPDATE sessions SET secret_hash = $5::text"
        "  WHERE id = $4::bigint AND user_id IN (SELECT id FROM changed))"
        " SELECT id FROM changed",
        5, (const char *const[]){user, old_hash, new_hash, session, session_secret_hash});
}
