#include "auth/secret_local.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/regular_file.h"

int secret_read_variable(const char *name, const char *what, char **ret_secret, struct error *err)
{
    const char *value = getenv(name);
    if (value == NULL || value[0] == '\0')
        return error_set(err, ERROR_NOT_FOUND, true, "%s: the variable is %s in this program's environment",
                         what, value ? "empty" : "not set");
    if (strlen(value) > SECRET_MAX_BYTES)
        return error_set(err, ERROR_LIMIT, true, "%s: longer than %d bytes", what, SECRET_MAX_BYTES);
    char *copy = strdup(value);
    if (copy == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    *ret_secret = copy;
    return 0;
}

static int secret_from_bytes(const char *what, const char *bytes, size_t n, char **ret_secret,
                             struct error *err)
{
    if (n > SECRET_MAX_BYTES)
        return error_set(err, ERROR_LIMIT, true, "%s: longer than %d bytes", what, SECRET_MAX_BYTES);
    if (memchr(bytes, '\0', n))
        return error_set(err, ERROR_INPUT, true, "%s: holds a zero byte, so it is not text", what);
    if (n > 0 && bytes[n - 1] == '\n')
        n--;
    if (n > 0 && bytes[n - 1] == '\r')
        n--;
    if (n == 0)
        return error_set(err, ERROR_NOT_FOUND, true, "%s: the file is empty", what);
    char *copy = malloc(n + 1);
    if (copy == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    memcpy(copy, bytes, n);
    copy[n] = '\0';
    *ret_secret = copy;
    return 0;
}

int secret_read_file(const char *path, const char *what, char **ret_secret, struct error *err)
{
    int fd = -1;
    struct stat st;
    int rc = regular_file_open(path, what, &fd, &st, err);
    if (rc)
        return rc;
    char *bytes = malloc(SECRET_MAX_BYTES + 2);
    if (bytes == NULL) {
        close(fd);
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    ssize_t n = regular_file_read(fd, bytes, SECRET_MAX_BYTES + 2);
    rc = n < 0 ? error_errno(err, errno, "%s", what)
               : secret_from_bytes(what, bytes, (size_t)n, ret_secret, err);
    explicit_bzero(bytes, SECRET_MAX_BYTES + 2);
    free(bytes);
    close(fd);
    return rc;
}
