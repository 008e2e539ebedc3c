/*
 * What a backup is made from, as its row in `databases` says. Strings belong to the caller.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

struct source {
    const char *db_type; /* postgresql, file, directory, command (any case); mysql, mongodb, redis:
                            ERROR_UNSUPPORTED */
    const char *host;    /* postgresql; a directory means a unix socket; NULL or "" = libpq's default */
    int port;            /* 0 = default */
    const char *username;
    const char *database_name;
    const char *password_ref; /* see auth/secret.h; may be NULL */
    const char *
        password_encrypted; /* the older system's Fernet token, where there is no password_ref; may be NULL */
    const char *source_path; /* file, directory: absolute */
    const char *source_argv; /* command: JSON array of strings, run without a shell */
};

enum source_kind { SOURCE_POSTGRESQL, SOURCE_FILE, SOURCE_DIRECTORY, SOURCE_COMMAND };

/* ERROR_INPUT (what is missing or wrong, and the way out) or ERROR_UNSUPPORTED; never retryable. No disk, no
 * network. password_ref is not looked at: see secret_reference_check. */
int source_check(const struct source *source, struct error *err);

/* Of a source that source_check accepted. */
enum source_kind source_kind(const struct source *source);

/* A password is to be fetched for it. */
bool source_has_password(const struct source *source);

/* The file name extension of its artifact: "sql.gz", "tar.gz", "bin.gz". */
const char *source_extension(const char *db_type);
