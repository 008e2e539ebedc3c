/* Small local files with secrets in them, read whole and anew at each use. */
#pragma once

#include <stddef.h>

#include "base/error.h"

/* *ret: malloc'ed, NUL-terminated, free with small_file_free (overwrites). The path may be any; what isn't a
 * regular file is ERROR_INPUT, longer than max ERROR_LIMIT, the rest as error_errno says. Messages name the
 * path. */
int small_file_read(const char *path, size_t max, char **ret, size_t *ret_size, struct error *err);
void small_file_free(char *bytes, size_t size); /* NULL is fine */

/* A token: the file's content without blanks at its ends. Empty or with control characters inside:
 * ERROR_INPUT, retryable. Free with small_file_free(token, strlen(token)). */
int small_file_read_token(const char *path, char **ret, struct error *err);
