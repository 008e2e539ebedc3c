#include "storage/posix/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/random.h"
#include "storage/posix/path.h"
#include "storage/posix/publish.h"

#define MARKER_BYTES 16
#define MARKER_MIN 16 /* hex digits */
#define MARKER_MAX 64
#define IDENTITY_SIZE 96

static bool is_hex(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
            return false;
    return true;
}

static bool is_marker(const char *text)
{
    size_t n = strlen(text);
    return n >= MARKER_MIN && n <= MARKER_MAX && is_hex(text, n);
}

int disk_check_shape(const char *identity, struct error *err)
{
    if (strncmp(identity, "marker:", 7) == 0 && is_marker(identity + 7))
        return 0;
    if (strncmp(identity, "fs:", 3) == 0 && identity[3] != '\0')
        return 0;
    return error_set(err, ERROR_INPUT, false,
                     "disk identity '%.100s' is neither marker:<hex id> nor fs:<type>:<id>", identity);
}

/* The marker's text without white space at its end; a negative errno otherwise (EINVAL: no valid marker). */
static int read_marker(int base_fd, char out[MARKER_MAX + 1])
{
    int fd = openat(base_fd, PATH_MARKER_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    char text[2 * MARKER_MAX];
    ssize_t n = read(fd, text, sizeof text - 1);
    int errnum = errno;
    close(fd);
    if (n < 0)
        return -errnum;
    while (n > 0 && strchr(" \t\r\n", text[n - 1]))
        n--;
    text[n] = '\0';
    if (strlen(text) != (size_t)n || !is_marker(text))
        return -EINVAL;
    memcpy(out, text, (size_t)n + 1);
    return 0;
}

static int fs_identity(int base_fd, char out[IDENTITY_SIZE])
{
    struct statfs fs;
    if (fstatfs(base_fd, &fs) < 0)
        return -errno;
    snprintf(out, IDENTITY_SIZE, "fs:%lx:%08x%08x", (unsigned long)fs.f_type, (unsigned)fs.f_fsid.__val[0],
             (unsigned)fs.f_fsid.__val[1]);
    return fs.f_fsid.__val[0] == 0 && fs.f_fsid.__val[1] == 0 ? -ENODATA : 0;
}

static int wrong_disk(const struct storage_location *location, const char *found, struct error *err)
{
    return error_set(
        err, ERROR_UNREACHABLE, true,
        "base_path '%.300s' is not the disk that was configured: expected %s, found %s; perhaps it "
        "is not mounted and only its empty mount point is there. Mount it; if another disk replaces "
        "it on purpose, add that one as a destination of its own",
        location->base_path, location->disk_identity, found);
}

int disk_check_identity(int base_fd, const struct storage_location *location, struct error *err)
{
    const char *expected = location->disk_identity;
    if (expected == NULL || *expected == '\0')
        return 0;
    char found[IDENTITY_SIZE + 32];
    if (strncmp(expected, "marker:", 7) == 0) {
        char marker[MARKER_MAX + 1];
        int rc = read_marker(base_fd, marker);
        if (rc == 0 && strcmp(marker, expected + 7) == 0)
            return 0;
        if (rc == 0)
            snprintf(found, sizeof found, "marker:%s", marker);
        else if (rc == -ENOENT)
            snprintf(found, sizeof found, "no file " PATH_MARKER_NAME);
        else if (rc == -EINVAL || rc == -ELOOP)
            snprintf(found, sizeof found, "an unreadable file " PATH_MARKER_NAME);
        else
            return error_errno(err, -rc, "'%.300s/" PATH_MARKER_NAME "' can't be read", location->base_path);
    } else {
        int rc = fs_identity(base_fd, found);
        if (rc < 0 && rc != -ENODATA)
            return error_errno(err, -rc, "the file system of '%.300s' doesn't answer", location->base_path);
        if (strcmp(found, expected) == 0)
            return 0;
    }
    return wrong_disk(location, found, err);
}

/* Under a temporary name first: a marker is whole or not there. Negative errno; -EEXIST when one stands. */
static int write_marker(int base_fd, const char *id)
{
    char temp[PATH_TEMP_NAME_SIZE];
    snprintf(temp, sizeof temp, ".bm-disk-%.32s.tmp", id);
    int fd = openat(base_fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    char line[MARKER_MAX + 2];
    int n = snprintf(line, sizeof line, "%.64s\n", id);
    ssize_t written = write(fd, line, (size_t)n);
    int rc = written == n ? 0 : written < 0 ? -errno : -ENOSPC;
    if (rc == 0 && fsync(fd) < 0)
        rc = -errno;
    if (close(fd) < 0 && rc == 0)
        rc = -errno;
    if (rc == 0)
        rc = publish_rename(base_fd, temp, PATH_MARKER_NAME, PUBLISH_ANY);
    if (rc < 0)
        unlinkat(base_fd, temp, 0);
    else if (fsync(base_fd) < 0)
        rc = -errno;
    return rc;
}

static int identify_by_marker(int base_fd, const char *base, char out[IDENTITY_SIZE], int *ret_errno,
                              struct error *err)
{
    char id[MARKER_MAX + 1];
    int rc = read_marker(base_fd, id);
    if (rc == -ENOENT) {
        random_hex(id, MARKER_BYTES);
        rc = write_marker(base_fd, id);
        if (rc == -EEXIST) /* someone else was faster */
            rc = read_marker(base_fd, id);
    }
    *ret_errno = -rc;
    if (rc == 0) {
        snprintf(out, IDENTITY_SIZE, "marker:%s", id);
        return 0;
    }
    if (rc == -EINVAL || rc == -ELOOP)
        return error_set(err, ERROR_CONFLICT, false,
                         "'%.300s/" PATH_MARKER_NAME "' is not a disk marker of this program: remove it",
                         base);
    return error_errno(err, -rc, "the disk marker '%.300s/" PATH_MARKER_NAME "' can't be written", base);
}

int disk_identify(int base_fd, const char *base, char **ret_identity, struct error *err)
{
    char identity[IDENTITY_SIZE];
    int errnum;
    int rc = identify_by_marker(base_fd, base, identity, &errnum, err);
    if (errnum == EACCES || errnum == EPERM || errnum == EROFS || errnum == ENOSPC || errnum == EDQUOT) {
        if (fs_identity(base_fd, identity) == 0)
            rc = 0;
    }
    if (rc < 0)
        return rc;
    char *copy = strdup(identity);
    if (copy == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    *ret_identity = copy;
    return 0;
}

int disk_check_space(int base_fd, const char *base, uint64_t size_bytes, struct error *err)
{
    struct statvfs fs;
    if (fstatvfs(base_fd, &fs) < 0)
        return error_errno(err, errno, "the file system of '%.300s' doesn't answer", base);
    if (fs.f_blocks == 0) /* some FUSE file systems don't say */
        return 0;
    uint64_t available = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (size_bytes <= available)
        return 0;
    return error_set(err, ERROR_NO_SPACE, true,
                     "'%.300s' has %" PRIu64 " bytes free, %" PRIu64 " are needed: free some space", base,
                     available, size_bytes);
}
