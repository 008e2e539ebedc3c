#include "cli.h"

#include <string.h>

struct pg_client *cli_pg(struct cli *cli, struct error *err)
{
    if (cli->pg)
        return cli->pg;
    if (cli->settings.database_url[0] == '\0') {
        error_set(err, ERROR_INPUT, false,
                  "no database given: set BM_DATABASE_URL, for example "
                  "BM_DATABASE_URL=postgresql://user@host:5432/backupmanager");
        return NULL;
    }
    struct pg_options options = {
        .url = cli->settings.database_url,
        .application_name = "backupctl",
        .connect_timeout_ms = 5000,
        .unreachable_after_ms = 3000,
        .request_timeout_ms = 120000,
    };
    if (pg_client_new(&cli->loop, &options, &cli->pg, err))
        error_context(err, "BM_DATABASE_URL");
    return cli->pg;
}

struct redis_client *cli_redis(struct cli *cli, struct error *err)
{
    if (cli->redis)
        return cli->redis;
    struct redis_options options = {
        .url = cli->settings.redis_url,
        .name = "backupctl",
        .connect_timeout_ms = 3000,
        .command_timeout_ms = 5000,
    };
    if (redis_client_new(&cli->loop, &options, &cli->redis, err))
        error_context(err, "BM_REDIS_URL");
    return cli->redis;
}

enum { STALL_MS = 10000 }; /* times the tries of a call; a worker waits for a minute each */

struct keys {
    uv_loop_t *loop;
    struct error err;
    bool ended;
};

static void on_keys(void *data, const struct error *err)
{
    struct keys *keys = data;
    keys->ended = true;
    uv_stop(keys->loop); /* it may come from a timer: don't wait for other events */
    if (err)
        keys->err = *err;
}

static int open_access(struct cli *cli, struct error *err)
{
    if (cli->access)
        return 0;
    int rc = access_new(&cli->loop, &cli->settings, &cli->access, err);
    if (rc == 0)
        http_client_set_stall_timeout(cli->access->http, STALL_MS);
    return rc;
}

struct access *cli_access(struct cli *cli, struct error *err)
{
    struct keys keys = {.loop = &cli->loop};
    if (open_access(cli, err))
        return NULL;
    if (cli->has_keys)
        return cli->access;
    if (access_load_keys(cli->access, on_keys, &keys, err))
        return NULL;
    while (!keys.ended)
        uv_run(&cli->loop, UV_RUN_ONCE);
    if (keys.err.code) {
        *err = keys.err;
        error_context(err, "BM_ENCRYPTION_KEY_REF");
        return NULL;
    }
    cli->has_keys = true;
    return cli->access;
}

int cli_query(struct cli *cli, const char *sql, int n_params, const char *const *values,
              PGresult **ret_result, struct error *err)
{
    struct pg_client *pg = cli_pg(cli, err);
    if (pg == NULL)
        return err->code;
    struct pg_statement statement = {.sql = sql, .n_params = n_params};
    struct pg_request *request = pg_request_new(pg);
    if (request == NULL || pg_request_add(request, &statement, values)) {
        pg_request_free(request);
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    struct pg_copy copy = {0};
    int rc = pg_run(request, &copy, err);
    if (rc)
        return rc;
    *ret_result = copy.results[0];
    return 0;
}

struct asked {
    uv_loop_t *loop;
    bool done;
    char *secret;
    struct error err;
};

static void on_secret(void *data, const char *secret, const struct error *err)
{
    struct asked *asked = data;
    asked->done = true;
    uv_stop(asked->loop); /* as above */
    if (err)
        asked->err = *err;
    else if ((asked->secret = strdup(secret)) == NULL)
        error_set(&asked->err, ERROR_SYSTEM, true, "out of memory");
}

int cli_secret(struct cli *cli, const char *reference, char **ret_secret, struct error *err)
{
    struct asked asked = {.loop = &cli->loop};
    struct secrets_wait *wait;
    if (open_access(cli, err))
        return err->code;
    int rc = secrets_get(cli->access->secrets, reference, on_secret, &asked, &wait, err);
    if (rc)
        return rc;
    while (!asked.done)
        uv_run(&cli->loop, UV_RUN_ONCE);
    if (asked.err.code) {
        *err = asked.err;
        return err->code;
    }
    *ret_secret = asked.secret;
    return 0;
}

const struct keyring *cli_keyring(struct cli *cli, struct error *err)
{
    const struct access *access = cli_access(cli, err);
    return access ? access->keyring : NULL;
}

int cli_exit_status(const struct error *err)
{
    switch (err->code) {
    case ERROR_INPUT:
    case ERROR_UNSAFE_PATH:
    case ERROR_UNSUPPORTED:
        return 2;
    default:
        return 1;
    }
}
