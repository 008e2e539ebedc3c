#include "storage/stream_write.h"

#include <errno.h>
#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#define POLL_MS 200 /* how late a cancel may be seen while the reader stalls */

/* As much as the stream takes without waiting; 0 = nothing now. */
static ssize_t write_some(int fd, const char *data, size_t size, struct error *err)
{
    struct iovec piece = {.iov_base = (char *)data, .iov_len = size};
    ssize_t n = pwritev2(fd, &piece, 1, -1, RWF_NOWAIT);
    if (n < 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL))
        n = write(fd, data, size);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n < 0)
        return error_errno(err, errno, "writing to the reader");
    return n;
}

int stream_write(int fd, const char *data, size_t size, const atomic_bool *cancelled, struct error *err)
{
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    while (size > 0) {
        int n = poll(&ready, 1, POLL_MS);
        if (atomic_load(cancelled))
            return error_set(err, ERROR_CANCELLED, true, "cancelled");
        ssize_t written = n > 0 ? write_some(fd, data, size, err) : 0;
        if (written < 0)
            return (int)written;
        data += written;
        size -= (size_t)written;
    }
    return 0;
}
