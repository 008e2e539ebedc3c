/* Regular files, opened by path and read to their end. Blocking. */
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include "base/error.h"

/* For reading, without being held by what else may stand there (a FIFO, a terminal). what: how messages call
 * it. Not a regular file: ERROR_INPUT, retryable; the rest as error_errno says. *ret_fd is the caller's. */
int regular_file_open(const char *path, const char *what, int *ret_fd, struct stat *ret_stat,
                      struct error *err);

/* Up to size bytes until the end of the file: how many came; -1 with errno on error. */
ssize_t regular_file_read(int fd, void *out, size_t size);
