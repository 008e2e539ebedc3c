#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/core_dump.h"
#include "base/log.h"
#include "cli.h"

static const struct group *const groups[] = {&group_database,
                                             &group_group,
                                             &group_destination,
                                             &group_schedule,
                                             &group_backup,
                                             &group_queue,
                                             &group_user,
                                             &group_token,
                                             &group_secret,
                                             &group_migrate,
                                             &group_status,
                                             &group_doctor,
                                             NULL};

static void print_command_line(FILE *out, const struct group *group, const struct command *command)
{
    fprintf(out, "backupctl %s", group->name);
    if (command->name)
        fprintf(out, " %s", command->name);
    if (*command->operands)
        fprintf(out, " %s", command->operands);
}

static void help_all(FILE *out)
{
    fputs("backupctl: configure, start, watch and repair multi-destination backups.\n\n"
          "Usage: backupctl [SETTING...] COMMAND [WORD...]\n"
          "       backupctl COMMAND --help | --help | --version\n\n",
          out);
    for (int g = 0; groups[g]; g++) {
        fprintf(out, "%s:\n", groups[g]->summary);
        for (const struct command *c = groups[g]->commands; c->run; c++) {
            char line[160];
            snprintf(line, sizeof line, "%s%s%s%s%s", groups[g]->name, c->name ? " " : "",
                     c->name ? c->name : "", *c->operands ? " " : "", c->operands);
            fprintf(out, "  %-44s %s\n", line, c->summary);
        }
        fputc('\n', out);
    }
    fputs("Names or ids are accepted wherever something is named. --json on every command that prints data.\n"
          "Exit status: 0 done, 1 failed, 2 usage or bad input.\n\n",
          out);
    settings_help(out, SETTINGS_CLI);
}

static void help_group(FILE *out, const struct group *group)
{
    fprintf(out, "%s:\n", group->summary);
    for (const struct command *c = group->commands; c->run; c++) {
        fputs("  ", out);
        print_command_line(out, group, c);
        fprintf(out, "\n      %s\n", c->summary);
    }
    fprintf(out, "\nFlags of each: backupctl %s COMMAND --help\n", group->name);
}

static void help_command(const struct group *group, const struct command *command)
{
    fputs("Usage: ", stdout);
    print_command_line(stdout, group, command);
    if (command->flags || command->prints_data)
        fputs(" [FLAG...]", stdout);
    printf("\n\n%s.\n", command->summary);
    if (command->details)
        printf("%s\n", command->details);
    fputs("\nFlags:\n", stdout);
    for (const struct flag *f = command->flags; f && f->name; f++) {
        char line[64];
        snprintf(line, sizeof line, "--%s%s%s", f->name, f->value ? " " : "", f->value ? f->value : "");
        printf("  %-28s %s\n", line, f->help);
    }
    if (command->prints_data)
        printf("  %-28s %s\n", "--json", "print JSON");
    printf("  %-28s %s\n", "--help", "this text");
}

static int usage_error(const char *format, const char *word)
{
    fputs("backupctl: ", stderr);
    fprintf(stderr, "%s", format);
    if (word)
        fprintf(stderr, " '%s'", word);
    fputs("; see backupctl --help\n", stderr);
    return 2;
}

static int report(const struct cli *cli, const struct error *err)
{
    /* undefined table, column, function */
    bool schema = strcmp(err->native, "42P01") == 0 || strcmp(err->native, "42703") == 0 ||
                  strcmp(err->native, "42883") == 0;
    const char *way_out = "";
    if (schema)
        way_out = "; the schema is missing or of another version: backupctl migrate up";
    else if (err->code == ERROR_UNREACHABLE && cli->redis && !redis_client_connected(cli->redis))
        way_out = "; start it, or say by BM_REDIS_URL where it is";
    else if (err->code == ERROR_UNREACHABLE && cli->pg && !pg_client_connected(cli->pg))
        way_out = "; start it, or say by BM_DATABASE_URL where it is";
    fprintf(stderr, "backupctl: %s%s\n", err->message, way_out);
    return cli_exit_status(err);
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* Runs the command behind the settings: argv[0] is its first word. */
static int run_words(struct cli *cli, int argc, char **argv)
{
    const struct group *group = NULL;
    for (int g = 0; groups[g] && group == NULL; g++)
        if (strcmp(groups[g]->name, argv[0]) == 0)
            group = groups[g];
    if (group == NULL)
        return usage_error(argv[0][0] == '-' ? "unknown option" : "unknown command", argv[0]);

    const struct command *command = group->commands;
    if (command->name) {
        if (argc < 2) {
            help_group(stderr, group);
            return 2;
        }
        if (is_help(argv[1])) {
            help_group(stdout, group);
            return 0;
        }
        while (command->run && strcmp(command->name, argv[1]) != 0)
            command++;
        if (command->run == NULL) {
            fprintf(stderr, "backupctl: unknown command '%s %s'; see backupctl %s --help\n", argv[0], argv[1],
                    argv[0]);
            return 2;
        }
        argv++;
        argc--;
    }
    struct error err = {0};
    struct arguments args;
    if (arguments_parse(&args, group, command, argc, argv, &err))
        return report(cli, &err);
    if (args.help) {
        help_command(group, command);
        return 0;
    }
    int rc = command->run(cli, &args, &err);
    return rc < 0 ? report(cli, &err) : rc;
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct error err = {0};
    int next;
    if (settings_load(&cli->settings, SETTINGS_CLI, argc, argv, &next, &err))
        return report(cli, &err);
    log_init("backupctl", cli->settings.log_level == LOG_INFO ? LOG_WARN : cli->settings.log_level,
             cli->settings.log_format);
    if (next == argc) {
        help_all(stderr);
        return 2;
    }
    if (is_help(argv[next])) {
        help_all(stdout);
        return 0;
    }
    if (strcmp(argv[next], "--version") == 0) {
        puts("backupctl " BM_VERSION);
        return 0;
    }
    return run_words(cli, argc - next, argv + next);
}

int main(int argc, char **argv)
{
    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
        setlocale(LC_CTYPE, "");
    core_dump_forbid();
    signal(SIGPIPE, SIG_IGN); /* a lost connection is an error code; a closed stdout too */
    struct cli cli = {0};
    if (uv_loop_init(&cli.loop)) {
        fputs("backupctl: cannot make an event loop\n", stderr);
        return 1;
    }
    int status = run(&cli, argc, argv);
    pg_client_close(cli.pg, NULL, NULL);
    redis_client_close(cli.redis, NULL, NULL);
    access_close(cli.access, NULL, NULL);
    uv_run(&cli.loop, UV_RUN_DEFAULT);
    uv_loop_close(&cli.loop);
    settings_deinit(&cli.settings);
    if ((fflush(stdout) || ferror(stdout)) && status == 0) {
        fputs("backupctl: cannot write to standard output\n", stderr);
        status = 1;
    }
    return status;
}
