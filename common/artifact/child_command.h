/*
 * What is executed for a source: argument vector, environment, and the password file of pg_dump.
 *
 * No secret stands in either. pg_dump reads its password from PGPASSFILE, an anonymous memory file that the
 * child inherits as descriptor CHILD_PASSFILE_FD. What is in the environment: child_environment.h.
 */
#pragma once

#include <stdbool.h>

#include "artifact/source.h"
#include "base/error.h"

enum { CHILD_PASSFILE_FD = 3 };

struct child_command {
    char **argv; /* argv[0] is the program to run, by name or path */
    char **env;
    char name[64]; /* of the program, for messages */
};

/* Not for SOURCE_FILE. The source has passed source_check. On error command needs no deinit. */
int child_command_init(struct child_command *command, const struct source *source, const char *pg_dump,
                       const char *tar, const char *command_environment, struct error *err);
void child_command_deinit(struct child_command *command);

/* A close-on-exec memory file that libpq takes as a password file for any server. ERROR_INPUT for a password
 * that such a file can't hold (a line break in it). */
int child_passfile_open(const char *password, int *ret_fd, struct error *err);
