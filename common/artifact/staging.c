#include "artifact/staging.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The staging directory's trouble passes: people free space and mount disks. */
static int trouble(struct error *err, int errnum, const char *what, const char *dir)
{
    int rc = error_errno(err, errnum, "%s in staging directory %.500s", what, dir);
    if (err)
        err->retryable = true;
    return rc;
}

static void final_name(char *out, int64_t backup_id, int64_t fence)
{
    snprintf(out, STAGING_NAME_SIZE, "b%" PRId64 ".g%" PRId64, backup_id, fence);
}

static void temporary_name(char *out, int64_t backup_id, int64_t fence)
{
    snprintf(out, STAGING_NAME_SIZE, "b%" PRId64 ".g%" PRId64 ".tmp", backup_id, fence);
}

#define PARTS ".parts"
#define PARTS_TMP PARTS ".tmp" /* part_digests_write's, while it writes */

static void parts_name(char *out, int64_t backup_id, int64_t fence)
{
    snprintf(out, STAGING_NAME_SIZE, "b%" PRId64 ".g%" PRId64 PARTS, backup_id, fence);
}

static int open_dir(const char *dir)
{
    return open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int make_parents(const char *dir, struct error *err)
{
    char path[PATH_MAX];
    if (dir[0] == '\0' || strlen(dir) >= sizeof path)
        return error_set(err, ERROR_INPUT, false, "staging directory '%.200s': no such path can exist", dir);
    memcpy(path, dir, strlen(dir) + 1);
    for (char *p = path + 1;; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char kept = *p;
        *p = '\0';
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
            return error_errno(err, errno, "can't make staging directory %.600s", path);
        *p = kept;
        if (kept == '\0')
            return 0;
    }
}

int staging_prepare(const char *dir, struct error *err)
{
    struct stat st;
    if (stat(dir, &st) < 0) {
        int rc = make_parents(dir, err);
        if (rc)
            return rc;
    }
    int dirfd = open_dir(dir);
    if (dirfd < 0)
        return error_errno(err, errno, "staging directory %.600s", dir);
    char probe[64];
    snprintf(probe, sizeof probe, ".probe-%ld", (long)getpid());
    int fd = openat(dirfd, probe, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int rc = 0;
    if (fd < 0)
        rc = trouble(err, errno, "can't create files", dir);
    else
        close(fd);
    unlinkat(dirfd, probe, 0);
    close(dirfd);
    return rc;
}

int staging_open(const char *dir, int64_t backup_id, int64_t fence, uint64_t size, int *ret_fd,
                 struct error *err)
{
    char name[STAGING_NAME_SIZE], path[PATH_MAX];
    final_name(name, backup_id, fence);
    int fd = -1;
    if (snprintf(path, sizeof path, "%s/%s", dir, name) < (int)sizeof path)
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    else
        errno = ENAMETOOLONG;
    if (fd < 0) {
        int rc = error_errno(err, errno, "artifact %s in staging directory %.500s", name, dir);
        if (err && rc == ERROR_NOT_FOUND)
            err->retryable = false;
        return rc;
    }
    struct stat st;
    int rc = 0;
    if (fstat(fd, &st) < 0)
        rc = trouble(err, errno, "can't examine the artifact", dir);
    else if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != size)
        rc = error_set(err, ERROR_CORRUPT, false,
                       "artifact %s in staging directory %.500s has %" PRId64 " bytes instead of the %" PRIu64
                       " that were recorded",
                       name, dir, (int64_t)st.st_size, size);
    if (rc)
        close(fd);
    else
        *ret_fd = fd;
    return rc;
}

struct part_digests *staging_open_parts(const char *dir, int64_t backup_id, int64_t fence, uint64_t size,
                                        const char *sha256)
{
    char name[STAGING_NAME_SIZE];
    struct part_digests *digests = NULL;
    parts_name(name, backup_id, fence);
    int dirfd = open_dir(dir);
    if (dirfd < 0)
        return NULL;
    if (part_digests_read(dirfd, name, size, sha256, &digests, NULL))
        digests = NULL;
    close(dirfd);
    return digests;
}

static void remove_parts(int dirfd, int64_t backup_id, int64_t fence)
{
    char name[STAGING_NAME_SIZE];
    parts_name(name, backup_id, fence);
    unlinkat(dirfd, name, 0);
    strcat(name, ".tmp");
    unlinkat(dirfd, name, 0);
}

int staging_write_parts(const char *dir, int64_t backup_id, int64_t fence, const struct part_digests *digests,
                        const char *sha256, struct error *err)
{
    char name[STAGING_NAME_SIZE];
    parts_name(name, backup_id, fence);
    int dirfd = open_dir(dir);
    if (dirfd < 0)
        return trouble(err, errno, "can't look", dir);
    int rc = part_digests_write(dirfd, name, digests, sha256, err);
    close(dirfd);
    return rc;
}

int staging_create(const char *dir, int64_t backup_id, int64_t fence, int *ret_fd, struct error *err)
{
    char name[STAGING_NAME_SIZE];
    temporary_name(name, backup_id, fence);
    int dirfd = open_dir(dir);
    if (dirfd < 0)
        return trouble(err, errno, "can't look", dir);
    unlinkat(dirfd, name, 0);
    remove_parts(dirfd, backup_id, fence);
    int fd = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    int saved = errno;
    close(dirfd);
    if (fd < 0)
        return trouble(err, saved, "can't create the artifact", dir);
    *ret_fd = fd;
    return 0;
}

int staging_publish(const char *dir, int64_t backup_id, int64_t fence, int fd, struct error *err)
{
    char temporary[STAGING_NAME_SIZE], name[STAGING_NAME_SIZE];
    temporary_name(temporary, backup_id, fence);
    final_name(name, backup_id, fence);
    int rc = fsync(fd) < 0 ? trouble(err, errno, "can't write the artifact", dir) : 0;
    if (close(fd) < 0 && rc == 0 && errno != EINTR)
        rc = trouble(err, errno, "can't write the artifact", dir);
    int dirfd = open_dir(dir);
    if (dirfd < 0)
        return rc ? rc : trouble(err, errno, "can't look", dir);
    if (rc == 0 && renameat(dirfd, temporary, dirfd, name) < 0)
        rc = trouble(err, errno, "can't rename the artifact", dir);
    if (rc == 0 && fsync(dirfd) < 0)
        rc = trouble(err, errno, "can't write the directory", dir);
    if (rc) {
        unlinkat(dirfd, temporary, 0);
        unlinkat(dirfd, name, 0);
        remove_parts(dirfd, backup_id, fence);
    }
    close(dirfd);
    return rc;
}

/* What of the generation is named; the digests always go. */
static void remove_files(const char *dir, int64_t backup_id, int64_t fence, bool published)
{
    char name[STAGING_NAME_SIZE];
    int dirfd = open_dir(dir);
    if (dirfd < 0)
        return;
    temporary_name(name, backup_id, fence);
    unlinkat(dirfd, name, 0);
    final_name(name, backup_id, fence);
    if (published)
        unlinkat(dirfd, name, 0);
    remove_parts(dirfd, backup_id, fence);
    close(dirfd);
}

void staging_discard(const char *dir, int64_t backup_id, int64_t fence, int fd)
{
    remove_files(dir, backup_id, fence, false);
    if (fd >= 0)
        close(fd);
}

void staging_remove(const char *dir, int64_t backup_id, int64_t fence)
{
    remove_files(dir, backup_id, fence, true);
}

/* A number without sign or leading zeros; NULL if there is none. */
static const char *read_number(const char *p, int64_t *ret)
{
    int64_t value = 0;
    if (*p < '0' || *p > '9' || (*p == '0' && p[1] >= '0' && p[1] <= '9'))
        return NULL;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (value > (INT64_MAX - (*p - '0')) / 10)
            return NULL;
        value = value * 10 + (*p - '0');
    }
    *ret = value;
    return p;
}

/* *ret_parts: a file of digests. */
static bool read_name(const char *name, struct staging_entry *entry, bool *ret_parts)
{
    const char *p = name;
    if (*p != 'b' || (p = read_number(p + 1, &entry->backup_id)) == NULL)
        return false;
    if (strncmp(p, ".g", 2) != 0 || (p = read_number(p + 2, &entry->fence)) == NULL)
        return false;
    *ret_parts = strcmp(p, PARTS) == 0 || strcmp(p, PARTS_TMP) == 0;
    entry->unfinished = strcmp(p, ".tmp") == 0 || *ret_parts;
    return *p == '\0' || entry->unfinished;
}

/* Digests are listed on their own only when the artifact they stood beside is gone. */
static bool stands_alone(int dirfd, const struct staging_entry *entry)
{
    char name[STAGING_NAME_SIZE];
    temporary_name(name, entry->backup_id, entry->fence); /* first: it may be published just now */
    if (faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return false;
    final_name(name, entry->backup_id, entry->fence);
    return faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0;
}

int staging_list(const char *dir, struct staging_entry *entries, int max, int *ret_n, struct error *err)
{
    DIR *d = opendir(dir);
    if (d == NULL)
        return trouble(err, errno, "can't look", dir);
    int n = 0;
    const struct dirent *found;
    while (n < max && (found = readdir(d)) != NULL) {
        struct staging_entry entry;
        struct stat st;
        bool parts;
        if (!read_name(found->d_name, &entry, &parts) || (parts && !stands_alone(dirfd(d), &entry)) ||
            fstatat(dirfd(d), found->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
            continue;
        entry.size = (uint64_t)st.st_size;
        entry.modified_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
        entries[n++] = entry;
    }
    closedir(d);
    *ret_n = n;
    return 0;
}
