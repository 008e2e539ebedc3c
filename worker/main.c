#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core_dump.h"
#include "base/log.h"
#include "base/settings.h"
#include "worker.h"

static void usage(FILE *out)
{
    fprintf(out, "backup-worker: takes jobs from the queue and brings backups to their destinations.\n"
                 "\n"
                 "Usage: backup-worker [--SETTING VALUE ...]\n"
                 "       backup-worker --help | --version\n"
                 "\n"
                 "Runs until SIGTERM or SIGINT; then finishes what it holds within BM_DRAIN_SECONDS and "
                 "gives the rest back.\n"
                 "Start as many as you like, anywhere, against the same PostgreSQL and Redis.\n"
                 "Exit status: 0 done, 1 failed or work left behind, 2 usage.\n"
                 "\n");
    settings_help(out, SETTINGS_WORKER);
}

/* Copies run in libuv's thread pool: one thread per job, and some for name lookups while all of them wait for
 * a disk. */
static void size_thread_pool(const struct settings *s)
{
    char threads[24];
    int64_t n = s->concurrency < 60 ? s->concurrency + 4 : 64;
    snprintf(threads, sizeof threads, "%lld", (long long)n);
    setenv("UV_THREADPOOL_SIZE", threads, 0);
}

int main(int argc, char **argv)
{
    struct settings settings = {0};
    struct error err = {0};
    struct worker worker;
    uv_loop_t loop;
    int next;
    core_dump_forbid();
    int rc = settings_load(&settings, SETTINGS_WORKER, argc, argv, &next, &err);
    if (rc == 0 && next < argc) {
        if (strcmp(argv[next], "--help") == 0) {
            usage(stdout);
            settings_deinit(&settings);
            return 0;
        }
        if (strcmp(argv[next], "--version") == 0) {
            printf("backup-worker %s\n", BM_VERSION);
            settings_deinit(&settings);
            return 0;
        }
        rc = error_set(&err, ERROR_INPUT, false, "unknown option '%s'; see backup-worker --help", argv[next]);
    }
    log_init("backup-worker", settings.log_level, settings.log_format);
    if (rc == 0 && settings.database_url[0] == '\0')
        rc = error_set(
            &err, ERROR_INPUT, false,
            "BM_DATABASE_URL is not set: say which PostgreSQL, e.g. postgresql://user@host/backupmanager");
    if (rc) {
        fprintf(stderr, "backup-worker: %s\n", err.message);
        settings_deinit(&settings);
        return error_exit_status(&err);
    }
    signal(SIGPIPE, SIG_IGN);
    size_thread_pool(&settings);
    uv_loop_init(&loop);
    rc = worker_init(&worker, &loop, &settings, &err);
    int status = 0;
    if (rc) {
        fprintf(stderr, "backup-worker: %s\n", err.message);
        status = error_exit_status(&err);
    } else
        status = worker_run(&worker);
    if (rc == 0 && status != 0)
        _exit(status); /* something hangs, a disk perhaps: waiting for it would hang too */
    worker_deinit(&worker);
    if (uv_loop_close(&loop))
        log_error("handles left open at the end");
    settings_deinit(&settings);
    return status;
}
