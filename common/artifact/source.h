/*
 * What a backup is made from, as its row in `databases` says. Strings belong to the caller.
 */
#pragma once

#include "base/error.h"

struct source {
    const char *db_type; /* postgresql, file, directory, command; mysql, mongodb, redis: ERROR_UNSUPPORTED */
    const char *host;    /* postgresql; a directory means a unix socket */
    int port;            /* 0 = default */
    const char *username;
    const char *database_name;
    const char *password_ref; /* see auth/secret.h; may be NULL */
    const char *source_path;  /* file, directory */
    const char *source_argv;  /* command: JSON array of strings, run without a shell */
};

/* ERROR_INPUT (what is missing or wrong, and the way out) or ERROR_UNSUPPORTED; never retryable. No disk, no
 * network. */
int source_check(const struct source *source, struct error *err);

/* The file name extension of its artifact: "sql.gz", "tar.gz", "bin.gz". */
const char *source_extension(const char *db_type);
