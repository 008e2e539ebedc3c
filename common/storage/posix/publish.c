#include "storage/posix/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int by_rename_noreplace(int dir_fd, const char *temp, const char *name)
{
    return renameat2(dir_fd, temp, dir_fd, name, RENAME_NOREPLACE) == 0 ? 0 : -errno;
}

static int by_link(int dir_fd, const char *temp, const char *name)
{
    if (linkat(dir_fd, temp, dir_fd, name, 0) < 0)
        return -errno;
    /* The object is published; a second name that stays is removed by a later attempt of its row. */
    unlinkat(dir_fd, temp, 0);
    return 0;
}

/*
 * For file systems with neither of the two (vfat by older kernels, some FUSE and network ones): look, then
 * rename, under a lock on the directory that dies with its holder and leaves no file behind. A program of
 * another machine could still slip in between on a shared file system.
 */
static int by_locked_rename(int dir_fd, const char *temp, const char *name)
{
    while (flock(dir_fd, LOCK_EX) < 0)
        if (errno != EINTR)
            return -errno;
    struct stat st;
    int rc = fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? -EEXIST : -errno;
    if (rc == -ENOENT)
        rc = renameat(dir_fd, temp, dir_fd, name) == 0 ? 0 : -errno;
    flock(dir_fd, LOCK_UN);
    return rc;
}

int publish_rename(int dir_fd, const char *temp, const char *name, unsigned methods)
{
    int rc = -ENOSYS;
    if (methods & PUBLISH_RENAME_NOREPLACE)
        rc = by_rename_noreplace(dir_fd, temp, name);
    if ((methods & PUBLISH_LINK) && (rc == -ENOSYS || rc == -EINVAL || rc == -EOPNOTSUPP))
        rc = by_link(dir_fd, temp, name);
    if ((methods & PUBLISH_LOCKED_RENAME) &&
        (rc == -ENOSYS || rc == -EINVAL || rc == -EOPNOTSUPP || rc == -EPERM || rc == -EMLINK))
        rc = by_locked_rename(dir_fd, temp, name);
    return rc;
}
