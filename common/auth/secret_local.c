#include "auth/secret_local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* Up to size bytes until the end of the file; -1 with errno on error. */
static ssize_t read_all(int fd, char *out, size_t size)
{
    size_t n = 0;
    while (n < size) {
        ssize_t got = read(fd, out + n, size - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        n += (size_t)got;
    }
    return (ssize_t)n;
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
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        int rc = error_errno(err, errno, "%s", what);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return error_set(err, ERROR_INPUT, true, "%s: not a regular file", what);
    }
    char *bytes = malloc(SECRET_MAX_BYTES + 2);
    if (bytes == NULL) {
        close(fd);
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    ssize_t n = read_all(fd, bytes, SECRET_MAX_BYTES + 2);
    int rc = n < 0 ? error_errno(err, errno, "%s", what)
                   : secret_from_bytes(what, bytes, (size_t)n, ret_secret, err);
    explicit_bzero(bytes, SECRET_MAX_BYTES + 2);
    free(bytes);
    close(fd);
    return rc;
}
