#include "auth/small_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/regular_file.h"

enum { TOKEN_MAX = 32 * 1024 };

int small_file_read(const char *path, size_t max, char **ret, size_t *ret_size, struct error *err)
{
    struct stat st;
    int fd = -1;
    int rc = regular_file_open(path, path, &fd, &st, err);
    if (rc)
        return rc;
    /* one byte more than it had, to see it grow; files of /proc and the like say 0 and are read up to max */
    size_t size = st.st_size > 0 && (size_t)st.st_size < max ? (size_t)st.st_size + 1 : max + 1;
    char *bytes = malloc(size + 1);
    if (bytes == NULL) {
        close(fd);
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    ssize_t n = regular_file_read(fd, bytes, size);
    if (n < 0)
        rc = error_errno(err, errno, "%.300s", path);
    else if ((size_t)n > max)
        rc = error_set(err, ERROR_LIMIT, true, "%.300s: longer than %zu bytes", path, max);
    else if ((size_t)n == size)
        rc = error_set(err, ERROR_IO, true, "%.300s: grew while it was read", path);
    close(fd);
    if (rc) {
        small_file_free(bytes, size);
        return rc;
    }
    bytes[n] = '\0';
    *ret = bytes;
    *ret_size = (size_t)n;
    return 0;
}

void small_file_free(char *bytes, size_t size)
{
    if (bytes == NULL)
        return;
    explicit_bzero(bytes, size);
    free(bytes);
}

int small_file_read_token(const char *path, char **ret, struct error *err)
{
    char *bytes;
    size_t size;
    int rc = small_file_read(path, TOKEN_MAX, &bytes, &size, err);
    if (rc)
        return rc;
    size_t from = 0, end = size;
    while (end > 0 && strchr(" \t\r\n", bytes[end - 1]))
        end--;
    while (from < end && strchr(" \t\r\n", bytes[from]))
        from++;
    for (size_t i = from; rc == 0 && i < end; i++) {
        if ((unsigned char)bytes[i] < ' ' || bytes[i] == 0x7f)
            rc = error_set(err, ERROR_INPUT, true, "%.300s: a control character in the token", path);
    }
    if (rc == 0 && from == end)
        rc = error_set(err, ERROR_INPUT, true, "%.300s: no token in it", path);
    if (rc) {
        small_file_free(bytes, size);
        return rc;
    }
    memmove(bytes, bytes + from, end - from);
    explicit_bzero(bytes + (end - from), size - (end - from));
    *ret = bytes;
    return 0;
}
