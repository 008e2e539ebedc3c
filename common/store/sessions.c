#include "store/sessions.h"

#include <stdio.h>

/* From its beginning, or from now. */
#define EXPIRY(begun) "least(" begun " + interval '7 days', now() + interval '12 hours')"

static int add(struct pg_request *request, const char *sql, int n_params, const char *const *values)
{
    struct pg_statement statement = {.sql = sql, .n_params = n_params};
    return pg_request_add(request, &statement, values);
}

/* The first statement waits for a change of the user that is under way: the last one sees what became of it.
 * A password that another login has just hashed anew is still the same one. */
int session_add_insert(struct pg_request *request, const char *secret_hash, int64_t user_id,
                       const char *password_hash, const char *remote_address)
{
    char user[24], kept[24];
    snprintf(user, sizeof user, "%lld", (long long)user_id);
    snprintf(kept, sizeof kept, "%d", SESSIONS_PER_USER - 1);
    if (add(request, "SELECT id FROM users WHERE id = $1::int FOR NO KEY UPDATE", 1,
            (const char *const[]){user}) ||
        add(request,
            "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at < now() LIMIT 100) OR id IN"
            " (SELECT id FROM sessions WHERE user_id = $1::int ORDER BY last_seen_at DESC, id DESC OFFSET $2::int)",
            2, (const char *const[]){user, kept}))
        return -1;
    return add(request,
               "INSERT INTO sessions (secret_hash, user_id, expires_at, remote_address)"
               " VALUES ($1::text, (SELECT u.id FROM users u WHERE u.id = $2::int AND u.is_active IS TRUE"
               "  AND (u.hashed_password = $3::text OR EXISTS (SELECT FROM legacy_passwords l"
               "   WHERE l.user_id = u.id AND l.hashed_password = $3::text))),"
               " " EXPIRY("now()") ", $4::text)",
               4, (const char *const[]){secret_hash, user, password_hash, remote_address});
}

int session_add_lookup(struct pg_request *request, const char *secret_hash)
{
    static const struct pg_statement statement = {
        "session_lookup",
        "WITH found AS (SELECT s.id, s.last_seen_at, s.user_id, u.username, u.role"
        "  FROM sessions s JOIN users u ON u.id = s.user_id"
        "  WHERE s.secret_hash = $1::text AND s.expires_at > now() AND u.is_active IS TRUE),"
        " noted AS (UPDATE sessions SET last_seen_at = now(), expires_at = " EXPIRY(
            "created_at") "  WHERE id IN (SELECT id FROM found WHERE last_seen_at < now() - interval '1 minute'))"
                          " SELECT id, user_id, username, role FROM found",
        1};
    return pg_request_add(request, &statement, (const char *const[]){secret_hash});
}

int session_add_remove(struct pg_request *request, const char *secret_hash)
{
    return add(request, "DELETE FROM sessions WHERE secret_hash = $1::text", 1,
               (const char *const[]){secret_hash});
}
