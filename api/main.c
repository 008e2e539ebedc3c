#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "base/core_dump.h"
#include "base/log.h"

/* Looks at files (24 at once), downloads from disks (32) and operations (4) run in libuv's thread pool; a
 * dead mount may hold many of its threads, and others still need some: host names, compression, passwords. */
#define THREADS "72"

static void usage(FILE *out)
{
    fprintf(
        out,
        "backup-api: answers over HTTP what became of backups.\n"
        "\n"
        "Usage: backup-api [--SETTING VALUE ...]\n"
        "       backup-api --help | --version\n"
        "\n"
        "  GET /docs                                   a page to read the whole API and to try it\n"
        "  GET /openapi.json                           what it reads\n"
        "  GET /api/databases/{id}/details[?limit=N]   the latest backups and all their copies\n"
        "  POST /api/login, /api/logout, GET /api/me   people: a session's cookie\n"
        "  GET /healthz                                this process lives\n"
        "  GET /readyz                                 PostgreSQL and Redis answer (503 when not)\n"
        "\n"
        "Everything under /api but the login wants to know who asks: a session, or Authorization: Bearer TOKEN.\n"
        "The first admin comes from `backupctl user add NAME --role admin`, tokens from `backupctl token create`.\n"
        "BM_LISTEN (HOST:PORT, [IPV6]:PORT or unix:/PATH) is on loopback unless you say otherwise: others should\n"
        "come through a reverse proxy with TLS (BM_TRUSTED_PROXIES names it).\n"
        "Runs until SIGTERM or SIGINT. Exit status: 0 done, 1 failed, 2 usage.\n"
        "\n");
    settings_help(out, SETTINGS_API);
}

static int serve(const struct settings *settings)
{
    struct error err = {0};
    struct api api;
    uv_loop_t loop;
    uv_loop_init(&loop);
    int rc = api_init(&api, &loop, settings, &err);
    if (rc) {
        fprintf(stderr, "backup-api: %s\n", err.message);
        uv_run(&loop, UV_RUN_DEFAULT);
        uv_loop_close(&loop);
        return error_exit_status(&err);
    }
    if (!api_run(&api))
        _exit(0); /* leaving by exit() would wait for the thread that hangs */
    if (uv_loop_close(&loop))
        log_error("handles left open at the end");
    return 0;
}

int main(int argc, char **argv)
{
    struct settings settings = {0};
    struct error err = {0};
    int next;
    core_dump_forbid();
    int rc = settings_load(&settings, SETTINGS_API, argc, argv, &next, &err);
    if (rc == 0 && next < argc) {
        bool help = strcmp(argv[next], "--help") == 0;
        if (help || strcmp(argv[next], "--version") == 0) {
            if (help)
                usage(stdout);
            else
                printf("backup-api %s\n", BM_VERSION);
            settings_deinit(&settings);
            return 0;
        }
        rc = error_set(&err, ERROR_INPUT, false, "unknown option '%s'; see backup-api --help", argv[next]);
    }
    log_init("backup-api", settings.log_level, settings.log_format);
    if (rc == 0 && settings.database_url[0] == '\0')
        rc = error_set(
            &err, ERROR_INPUT, false,
            "BM_DATABASE_URL is not set: say which PostgreSQL, e.g. postgresql://user@host/backupmanager");
    if (rc) {
        fprintf(stderr, "backup-api: %s\n", err.message);
        settings_deinit(&settings);
        return error_exit_status(&err);
    }
    signal(SIGPIPE, SIG_IGN);
    setenv("UV_THREADPOOL_SIZE", THREADS, 0);
    int status = serve(&settings);
    settings_deinit(&settings);
    return status;
}
