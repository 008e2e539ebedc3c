/*
 * Settings of the four programs: one table row per option in settings.c; parsing, --help and the redacted
 * dump derive from it. Each comes from the environment (BM_NAME) or the same-named long option (--name),
 * which wins. No getenv elsewhere.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "base/log.h"

enum settings_program {
    SETTINGS_SCHEDULER = 1,
    SETTINGS_WORKER = 2,
    SETTINGS_API = 4,
    SETTINGS_CLI = 8,
};

struct settings {
    char *database_url; /* BM_DATABASE_URL: libpq connection string or URI; secret */
    char *redis_url;    /* BM_REDIS_URL; secret */
    char *queues;       /* BM_QUEUES: comma-separated names */
    char *staging_dir;
    char *host; /* BM_HOST: this machine's name in rows and worker ids; default its host name */
    char *listen;
    char *trusted_proxies; /* addresses and "unix", comma-separated */
    char *cookie_secure;   /* auto, always, never */
    char *cors_origins;    /* BM_CORS_ORIGINS: comma-separated */
    char *docs_dir;        /* "": beside the program */
    char *legacy_base_path;
    char *credentials_default;
    char *encryption_key_ref;        /* references, comma-separated; the first key encrypts */
    char *legacy_encryption_key_ref; /* the older system's ENCRYPTION_KEY (Fernet) */
    char *command_environment;       /* names of variables, comma-separated */
    char *pg_dump;                   /* path or name of the dump programs */
    char *tar;
    enum log_level log_level;
    enum log_format log_format;
    int64_t concurrency;
    int64_t drain_seconds;
    int64_t retry_base_ms;
    int64_t retry_cap_ms;
    int64_t max_attempts;
    int64_t lease_seconds;
    int64_t reconcile_seconds;
    int64_t relay_seconds;
    int64_t handover_seconds;
    int64_t staging_keep_hours;
    int64_t starvation_seconds;
    int64_t misfire_grace_seconds;
    int64_t misfire_cap;
    int64_t audit_retention_days; /* 0 = for ever */
    int64_t dead_max;
    int64_t database_connections;
};

/*
 * Reads the environment and the leading long options of argv; stops at the first word that is none of them
 * (--help,
 * --version, a program's own flag, a sub-command), whose index becomes *ret_next (argc when none is left).
 * ERROR_INPUT names the option, the value and what is allowed. *s must be zeroed; free it with
 * settings_deinit.
 */
int settings_load(struct settings *s, enum settings_program program, int argc, char **argv, int *ret_next,
                  struct error *err);
void settings_deinit(struct settings *s);

/* One line per option of this program: names, default, help. */
void settings_help(FILE *out, enum settings_program program);
