/*
 * The end: SIGTERM -> http_server_drain (answers under way are given, for a while) -> release() closes the
 * clients, which ends every request still held with an error -> http_server_free -> the loop runs out of
 * handles. A thread that hangs in a dead disk is left behind after LAST_RESORT_MS.
 */
#include "api.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apply.h"
#include "auth/access.h"
#include "base/log.h"
#include "keys.h"
#include "login.h"
#include "loop/end_signals.h"

/* Looks at files. The pool's other threads (main.c) are for host names and the like. */
#define FILE_CHECK_MS 3000
#define FILE_FRESH_MS 10000
#define FILE_STALE_MS 60000
#define FILES_KEPT 4096
#define APPLY_MS 5000 /* of checks of a directory that somebody configures */
#define FILE_LOOKS_AT_ONCE 24
/* Of a store, times the tries of a call: a person waits. */
#define STORE_STALL_MS 10000
#define SEARCHES_QUEUED 32 /* behind those that two connections have in hand */
#define GRACE_MS 5000
#define OPERATIONS_GRACE_MS 3000 /* behind that */
#define LAST_RESORT_MS 10000

static void on_redis_state(void *data, bool connected, const struct error *why_not)
{
    (void)data;
    if (connected)
        log_info("Redis answers");
    else if (why_not)
        log_debug("Redis: %s", why_not->message);
}

static void on_last_resort(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void release(struct api *api)
{
    operations_free(api->operations);
    events_close(api->events);
    relays_close(api->relays);
    pg_client_close(api->pg, NULL, NULL);
    pg_client_close(api->search, NULL, NULL);
    pg_client_close(api->probe, NULL, NULL);
    redis_client_close(api->redis, NULL, NULL);
    access_close(api->access, NULL, NULL);
    password_checks_free(api->passwords);
    applies_free(api->applies);
    file_checks_free(api->files);
    downloads_end(api);
    docs_close(api->docs);
    http_server_free(api->http);
    docs_free(api->docs);
    identities_free(api->identities);
    login_limit_free(api->logins);
    openapi_free(api->openapi);
    listen_close(&api->listening);
    api->relays = NULL;
    api->pg = NULL;
    api->search = NULL;
    api->probe = NULL;
    api->redis = NULL;
    api->access = NULL;
    api->operations = NULL;
    api->applies = NULL;
    api->files = NULL;
    api->passwords = NULL;
    api->identities = NULL;
    api->events = NULL;
    api->logins = NULL;
    api->openapi = NULL;
    api->docs = NULL;
    api->http = NULL;
    cors_deinit(&api->cors);
}

static void on_stopped(void *data)
{
    release(data);
}

static void on_idle(void *data)
{
    struct router *router = data;
    operations_drain(router->api->operations, OPERATIONS_GRACE_MS, on_stopped, router->api);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct api *api = handle->data;
    if (api->ending)
        return;
    api->ending = true;
    log_info("signal %d: ending", number);
    uv_timer_start(&api->last_resort, on_last_resort, LAST_RESORT_MS, 0);
    uv_unref((uv_handle_t *)&api->last_resort);
    operations_stop(api->operations);
    http_server_drain(api->http, GRACE_MS, on_idle);
    api->listening.fd = -1;
}

static void find_legacy_base(struct api *api)
{
    const char *path = api->settings->legacy_base_path;
    char cwd[PATH_MAX / 2] = "";
    if (realpath(path, api->legacy_base))
        return;
    if (path[0] == '/' || getcwd(cwd, sizeof cwd) == NULL)
        snprintf(api->legacy_base, sizeof api->legacy_base, "%s", path);
    else
        snprintf(api->legacy_base, sizeof api->legacy_base, "%s/%.2000s", cwd, path);
}

static int connect_clients(struct api *api, struct error *err)
{
    struct pg_options pg = {.url = api->settings->database_url,
                            .application_name = "backup-api",
                            .max_connections = 4,
                            .connect_timeout_ms = 3000,
                            .unreachable_after_ms = 3000,
                            .request_timeout_ms = 15000};
    struct redis_options redis = {.url = api->settings->redis_url,
                                  .name = "backup-api",
                                  .connect_timeout_ms = 2000,
                                  .command_timeout_ms = 2000,
                                  .on_state = on_redis_state};
    struct pg_options probe = pg, search = pg;
    probe.max_connections = 1;
    search.max_connections = 2;
    search.max_queued = SEARCHES_QUEUED;
    int rc = pg_client_new(api->loop, &pg, &api->pg, err);
    if (rc == 0)
        rc = pg_client_new(api->loop, &search, &api->search, err);
    if (rc == 0)
        rc = pg_client_new(api->loop, &probe, &api->probe, err);
    if (rc) {
        error_context(err, "BM_DATABASE_URL");
        return rc;
    }
    rc = redis_client_new(api->loop, &redis, &api->redis, err);
    if (rc)
        error_context(err, "BM_REDIS_URL");
    return rc;
}

static int reach_stores(struct api *api, struct error *err)
{
    int rc = access_new(api->loop, api->settings, &api->access, err);
    if (rc == 0)
        http_client_set_stall_timeout(api->access->http, STORE_STALL_MS);
    return rc;
}

static int prepare_identity(struct api *api, struct error *err)
{
    int rc = login_check_settings(api->settings, err);
    if (rc == 0)
        rc = identities_new(api->loop, &api->identities, err);
    if (rc == 0)
        rc = password_checks_new(api->loop, &api->passwords, err);
    if (rc == 0 && (api->logins = login_limit_new()) == NULL)
        rc = error_set(err, ERROR_SYSTEM, false, "out of memory");
    return rc;
}

static int serve_http(struct api *api, uv_loop_t *loop, struct error *err)
{
    struct http_app app = {.begin = route_begin, .serve = route_serve, .data = &api->router};
    api->router = (struct router){.routes = api_routes,
                                  .n_routes = api_n_routes,
                                  .cors = &api->cors,
                                  .identify = identity_find,
                                  .api = api};
    return http_server_new(loop, api->listening.fd, &app, &http_limits_default, &api->http, err);
}

static int watch_files(struct api *api, struct error *err)
{
    struct file_check_options options = {.legacy_base = api->legacy_base,
                                         .timeout_ms = FILE_CHECK_MS,
                                         .fresh_ms = FILE_FRESH_MS,
                                         .stale_ms = FILE_STALE_MS,
                                         .most_files = FILES_KEPT,
                                         .most_looks = FILE_LOOKS_AT_ONCE};
    return file_checks_new(api->loop, &options, &api->files, err);
}

int api_init(struct api *api, uv_loop_t *loop, const struct settings *settings, struct error *err)
{
    *api = (struct api){.loop = loop, .settings = settings, .listening = {.fd = -1}};
    find_legacy_base(api);
    int rc = cors_init(settings->cors_origins, &api->cors, err);
    if (rc == 0)
        rc = connect_clients(api, err);
    if (rc == 0)
        rc = reach_stores(api, err);
    if (rc == 0)
        rc = operations_new(api, &api->operations, err);
    if (rc == 0)
        rc = relays_new(api, &api->relays, err);
    if (rc == 0)
        rc = prepare_identity(api, err);
    if (rc == 0)
        rc = applies_new(loop, settings, APPLY_MS, &api->applies, err);
    if (rc == 0)
        rc = watch_files(api, err);
    if (rc == 0)
        rc = openapi_new(&api->openapi, err);
    if (rc == 0)
        rc = docs_new(loop, settings->docs_dir, &api->docs, err);
    if (rc == 0)
        rc = events_new(api, &api->events, err);
    if (rc == 0)
        rc = listen_open(settings->listen, &api->listening, err);
    if (rc == 0) {
        rc = serve_http(api, loop, err);
        api->listening.fd = -1; /* the server's now */
    }
    if (rc) {
        release(api);
        return rc;
    }
    uv_signal_init(loop, &api->terminate);
    uv_signal_init(loop, &api->interrupt);
    uv_timer_init(loop, &api->last_resort);
    api->terminate.data = api->interrupt.data = api;
    uv_signal_start(&api->terminate, on_signal, SIGTERM);
    uv_signal_start(&api->interrupt, on_signal, SIGINT);
    end_signals_hold();
    /* Not referenced: they stay to the very end, so that an impatient second signal does not kill. */
    uv_unref((uv_handle_t *)&api->terminate);
    uv_unref((uv_handle_t *)&api->interrupt);
    keys_start(api);
    return 0;
}

static void close_handles(struct api *api)
{
    uv_close((uv_handle_t *)&api->terminate, NULL);
    uv_close((uv_handle_t *)&api->interrupt, NULL);
    uv_close((uv_handle_t *)&api->last_resort, NULL);
    keys_stop(api);
}

bool api_run(struct api *api)
{
    log_info("listening on %s", api->listening.address);
    if (api->listening.exposed)
        log_warn(
            "%s can be reached from other machines, and what passes is not encrypted: put a reverse proxy with "
            "TLS before it, or listen on 127.0.0.1",
            api->listening.address);
    if (uv_run(api->loop, UV_RUN_DEFAULT)) {
        log_warn("a disk still does not answer; ending without it");
        return false;
    }
    close_handles(api);
    uv_run(api->loop, UV_RUN_DEFAULT);
    log_info("ended");
    return true;
}

void api_reply_pg_error(struct http_request *request, const struct error *err)
{
    bool stranger = http_request_identity(request) == NULL;
    log_warn("%s; the request is answered with an error", err->message);
    if (strcmp(err->native, "42P01") == 0 || strcmp(err->native, "42703") == 0)
        problem_reply(request, 503,
                      "the tables are not there, or older than this program: run backupctl migrate up");
    else if (err->retryable)
        problem_reply(request, 503, "%s", stranger ? "PostgreSQL does not answer" : err->message);
    else
        problem_reply(request, 500, "%s", stranger ? "PostgreSQL refused; see the log" : err->message);
}
