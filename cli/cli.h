/*
 * What every command of backupctl sees: the settings, the two servers (connected on first use), its parsed
 * words. Commands are rows of tables (groups in main.c, commands in the file of their group); parsing, --help
 * and the checks of flags derive from the rows.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "auth/access.h"
#include "base/error.h"
#include "base/settings.h"
#include "loop/pg.h"
#include "loop/redis.h"

enum { CLI_MAX_FLAGS = 24 };

struct cli {
    struct settings settings;
    uv_loop_t loop;
    struct pg_client *pg; /* use cli_pg, cli_redis and cli_access */
    struct redis_client *redis;
    struct access *access;
    bool has_keys; /* those of BM_ENCRYPTION_KEY_REF are loaded */
};

/* --name, or --name VALUE. column: where catalog commands put it in the row, NULL = the command asks for it.
 */
struct flag {
    const char *name;
    const char *value; /* how --help calls the value; NULL = none is taken */
    const char *help;
    const char *column;
    bool number;
};

struct arguments;

struct command {
    const char *name;     /* NULL: the group is the command */
    const char *operands; /* for --help: "NAME" */
    const char *summary;
    const char *details; /* more lines for --help, or NULL */
    int min_operands, max_operands;
    bool takes_rest;          /* words after `--` are kept apart */
    bool prints_data;         /* has --json */
    int kind;                 /* free for the group's use */
    const struct flag *flags; /* ends with name NULL; may be NULL */
    /* 0 = done; negative = failed, err says why (main prints it); positive = exit status, already reported */
    int (*run)(struct cli *cli, const struct arguments *args, struct error *err);
};

struct group {
    const char *name;
    const char *summary;
    const struct command *commands; /* ends with run NULL */
};

extern const struct group group_migrate, group_database, group_group, group_destination, group_schedule,
    group_backup, group_queue, group_secret, group_user, group_token, group_status, group_doctor;

struct arguments {
    const struct group *group;
    const struct command *command;
    const char *values[CLI_MAX_FLAGS]; /* by flag; "" for a flag without value that was given */
    int n_operands;
    char **operands;
    int n_rest;
    char **rest;
    bool json;
    bool help;
};

/* Flags and operands behind the command's words, which argv no longer holds (argv[0] stays). ERROR_INPUT. */
int arguments_parse(struct arguments *args, const struct group *group, const struct command *command,
                    int argc, char **argv, struct error *err);
const char *arguments_get(const struct arguments *args, const char *flag); /* NULL = not given */
bool arguments_has(const struct arguments *args, const char *flag);
int arguments_number(const struct arguments *args, const char *flag, int64_t min, int64_t max,
                     int64_t *ret_number, struct error *err); /* not given: *ret_number is left alone */
/* A new object of the flags given that have a column; an empty value is null. */
int arguments_columns(const struct arguments *args, json_t **ret_columns, struct error *err);

/* NULL with err filled when the URL is wrong or missing; connecting happens at the first request. */
struct pg_client *cli_pg(struct cli *cli, struct error *err);
struct redis_client *cli_redis(struct cli *cli, struct error *err);

/* Network and secrets for object stores, with the keys of what is encrypted at rest; made on first use. */
struct access *cli_access(struct cli *cli, struct error *err);

/* A request of one statement, run to its end. *ret_result: PQclear it. */
int cli_query(struct cli *cli, const char *sql, int n_params, const char *const *values,
              PGresult **ret_result, struct error *err);

/* Fetches a secret, waiting for it. *ret_secret: free it with secret_free. Errors as secrets.h says. */
int cli_secret(struct cli *cli, const char *reference, char **ret_secret, struct error *err);

/* The keys of BM_ENCRYPTION_KEY_REF, fetched at the first call. NULL with err; without the setting an empty
 * ring. */
const struct keyring *cli_keyring(struct cli *cli, struct error *err);

/* Exit status for an error: 2 for what a person must say differently, else 1. */
int cli_exit_status(const struct error *err);
