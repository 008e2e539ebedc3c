/* Secrets on this machine: variables and small files. Blocking. */
#pragma once

#include "base/error.h"

enum { SECRET_MAX_BYTES = 64 * 1024 };

/*
 * what: how messages call it (the reference). *ret_secret is malloc'ed: free it with secret_free. What is
 * missing, empty or can't be read is ERROR_NOT_FOUND, ERROR_DENIED, ...; longer than SECRET_MAX_BYTES
 * ERROR_LIMIT; no text or no regular file ERROR_INPUT: all retryable, people repair secrets.
 */
int secret_read_variable(const char *name, const char *what, char **ret_secret, struct error *err);
/* By path at each call (Docker and Kubernetes swap files); one trailing newline is dropped. */
int secret_read_file(const char *path, const char *what, char **ret_secret, struct error *err);
