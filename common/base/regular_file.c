#include "base/regular_file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int regular_file_open(const char *path, const char *what, int *ret_fd, struct stat *ret_stat,
                      struct error *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return error_errno(err, errno, "%.300s", what);
    int rc = 0;
    if (fstat(fd, &st) < 0)
        rc = error_errno(err, errno, "%.300s", what);
    else if (!S_ISREG(st.st_mode))
        rc = error_set(err, ERROR_INPUT, true, "%.300s: not a regular file", what);
    if (rc) {
        close(fd);
        return rc;
    }
    *ret_fd = fd;
    *ret_stat = st;
    return 0;
}

ssize_t regular_file_read(int fd, void *out, size_t size)
{
    char *to = out;
    size_t n = 0;
    while (n < size) {
        ssize_t got = read(fd, to + n, size - n);
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
