#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/core_dump.h"
#include "base/settings.h"
#include "scheduler.h"

static void help(void)
{
    printf("backup-scheduler: makes the backups of the schedules that are due\n\n"
           "Usage: backup-scheduler [--once] [OPTIONS]\n\n"
           "  --once     run what is due now, bring the queue up to date, and end (for timers)\n"
           "  --help     this text\n"
           "  --version\n\n"
           "Without --once it stays, wakes when the next schedule is due, and ends on SIGTERM or SIGINT.\n"
           "Exit status: 0 done, 1 failed, 2 usage.\n\n");
    settings_help(stdout, SETTINGS_SCHEDULER);
}

/* Takes a flag without value out of argv; true when it was there. */
static bool take_flag(int *argc, char **argv, const char *flag)
{
    int kept = 1;
    for (int i = 1; i < *argc; i++)
        if (strcmp(argv[i], flag) != 0)
            argv[kept++] = argv[i];
    bool found = kept < *argc;
    *argc = kept;
    return found;
}

static int fail(const struct error *err)
{
    fprintf(stderr, "backup-scheduler: %s\n", err->message);
    return error_exit_status(err);
}

static int run(const struct settings *settings, bool once)
{
    struct error err = {0};
    int status = 1;
    if (settings->database_url[0] == '\0') {
        error_set(&err, ERROR_INPUT, false,
                  "BM_DATABASE_URL is not set; say where PostgreSQL is, as in "
                  "postgresql://user@host/backupmanager");
        return fail(&err);
    }
    log_init("backup-scheduler", settings->log_level, settings->log_format);
    return scheduler_main(settings, once, &status, &err) ? fail(&err) : status;
}

int main(int argc, char **argv)
{
    core_dump_forbid();
    if (take_flag(&argc, argv, "--help") || take_flag(&argc, argv, "-h")) {
        help();
        return 0;
    }
    if (take_flag(&argc, argv, "--version")) {
        printf("backup-scheduler %s\n", BM_VERSION);
        return 0;
    }
    bool once = take_flag(&argc, argv, "--once");
    signal(SIGPIPE, SIG_IGN);

    struct settings settings = {0};
    struct error err = {0};
    int next, status;
    if (settings_load(&settings, SETTINGS_SCHEDULER, argc, argv, &next, &err)) {
        status = fail(&err);
    } else if (next < argc) {
        error_set(&err, ERROR_INPUT, false, "'%.100s' is not an option here; see backup-scheduler --help",
                  argv[next]);
        status = fail(&err);
    } else {
        status = run(&settings, once);
    }
    settings_deinit(&settings);
    return status;
}
