#include "store/idempotency.h"

#include <string.h>

#define OVER "created_at < now() - interval '24 hours'"

bool idempotency_key_acceptable(const char *key)
{
    size_t n = strlen(key);
    for (size_t i = 0; i < n; i++)
        if (key[i] < 0x21 || key[i] > 0x7e)
            return false;
    return n >= 1 && n <= IDEMPOTENCY_KEY_MAX;
}

static int add(struct pg_request *request, const char *sql, const char *scope, const char *key)
{
    struct pg_statement statement = {.sql = sql, .n_params = 2};
    return pg_request_add(request, &statement, (const char *const[]){scope, key});
}

int idempotency_add_lookup(struct pg_request *request, const char *scope, const char *key)
{
    if (add(request,
            "DELETE FROM idempotency_keys WHERE " OVER " AND ((scope = $1::text AND key = $2::text)"
            " OR (scope, key) IN (SELECT scope, key FROM idempotency_keys WHERE " OVER
            " ORDER BY created_at LIMIT 100 FOR UPDATE SKIP LOCKED))",
            scope, key))
        return -1;
    return add(request,
               "SELECT request, backup_id FROM idempotency_keys WHERE scope = $1::text AND key = $2::text",
               scope, key);
}
