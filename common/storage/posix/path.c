#include "storage/posix/path.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KEY_MAX 4095
#define COMPONENT_MAX 255
#define DIR_MODE 0750
#define RACE_RETRIES 16

static atomic_bool openat2_missing;

void path_without_openat2(bool on)
{
    atomic_store(&openat2_missing, on);
}

int path_check_base(const char *base, struct error *err)
{
    if (base == NULL || *base == '\0')
        return error_set(err, ERROR_INPUT, false, "base_path is missing: name the directory to write to");
    if (*base != '/')
        return error_set(err, ERROR_INPUT, false, "base_path '%.300s' is not absolute: begin it with '/'",
                         base);
    if (strlen(base) > KEY_MAX)
        return error_set(err, ERROR_INPUT, false, "base_path is longer than %d bytes", KEY_MAX);
    return 0;
}

static int unsafe(struct error *err, const char *key, const char *why)
{
    return error_set(err, ERROR_UNSAFE_PATH, false, "file path '%.300s' %s", key, why);
}

int path_check_key(const char *key, struct error *err)
{
    if (key == NULL || *key == '\0')
        return error_set(err, ERROR_UNSAFE_PATH, false, "the file path is empty");
    if (*key == '/')
        return unsafe(err, key, "is absolute: it must be relative to base_path");
    size_t n = strlen(key);
    if (n > KEY_MAX)
        return unsafe(err, key, "is longer than 4095 bytes");
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)key[i] < 0x20 || key[i] == 0x7f)
            return error_set(err, ERROR_UNSAFE_PATH, false,
                             "the file path has a control character at byte %zu", i + 1);
    for (const char *component = key;;) {
        size_t size = strcspn(component, "/");
        if (size == 0)
            return unsafe(err, key, "has an empty component ('//' or a '/' at its end)");
        if ((size == 1 && component[0] == '.') || (size == 2 && component[0] == '.' && component[1] == '.'))
            return unsafe(err, key, "has a '.' or '..' component: write the path without it");
        if (size > COMPONENT_MAX)
            return unsafe(err, key, "has a component of more than 255 bytes");
        if (strncmp(component, ".bm-", 4) == 0 ||
            (size == sizeof PATH_MARKER_NAME - 1 && memcmp(component, PATH_MARKER_NAME, size) == 0))
            return unsafe(err, key, "uses a name kept for temporary files or the disk marker");
        if (component[size] == '\0')
            return 0;
        component += size + 1;
    }
}

bool path_join(const char *base, const char *key, char *out, size_t size)
{
    size_t n = strlen(base);
    while (n > 0 && base[n - 1] == '/')
        n--;
    int k = snprintf(out, size, "%.*s/%s", (int)n, base, key);
    return k >= 0 && (size_t)k < size;
}

void path_temp_name(int64_t row_id, int64_t fence, char out[PATH_TEMP_NAME_SIZE])
{
    snprintf(out, PATH_TEMP_NAME_SIZE, ".bm-%" PRId64 "-%" PRId64 ".tmp", row_id, fence);
}

bool path_is_temp_name(const char *name, int64_t *ret_row_id, int64_t *ret_fence)
{
    char same[PATH_TEMP_NAME_SIZE];
    int64_t row_id, fence;
    if (sscanf(name, ".bm-%" SCNd64 "-%" SCNd64 ".tmp", &row_id, &fence) != 2)
        return false;
    path_temp_name(row_id, fence, same);
    if (strcmp(name, same) != 0)
        return false;
    *ret_row_id = row_id;
    *ret_fence = fence;
    return true;
}

int path_open_base(const char *base, int *ret_fd, struct error *err)
{
    int fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        *ret_fd = fd;
        return 0;
    }
    /* Not ERROR_NOT_FOUND, which says that the object isn't there. */
    if (errno == ENOENT)
        return error_set(err, ERROR_UNREACHABLE, true,
                         "base_path '%.300s' is missing: mount the disk or make the directory", base);
    if (errno == ENOTDIR)
        return error_set(err, ERROR_UNREACHABLE, true, "base_path '%.300s' is not a directory", base);
    return error_errno(err, errno, "base_path '%.300s' can't be opened", base);
}

static int open_walking(int base_fd, const char *path, int flags)
{
    int dir_fd = base_fd;
    for (;;) {
        char component[COMPONENT_MAX + 1];
        size_t size = strcspn(path, "/");
        if (size > COMPONENT_MAX)
            return -ENAMETOOLONG;
        memcpy(component, path, size);
        component[size] = '\0';
        bool last = path[size] == '\0';
        int fd = openat(dir_fd, component, (last ? flags : O_PATH | O_DIRECTORY) | O_NOFOLLOW | O_CLOEXEC);
        int errnum = errno;
        struct stat st;
        if (fd < 0 && (errnum == ELOOP || errnum == ENOTDIR) &&
            fstatat(dir_fd, component, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))
            errnum = EXDEV;
        if (dir_fd != base_fd)
            close(dir_fd);
        if (fd >= 0 && (flags & O_PATH) && fstat(fd, &st) == 0 && S_ISLNK(st.st_mode)) {
            close(fd); /* O_PATH opens the link itself */
            return -EXDEV;
        }
        if (fd < 0)
            return -errnum;
        if (last)
            return fd;
        dir_fd = fd;
        path += size + 1;
    }
}

/* A descriptor, or a negative errno; EXDEV and ELOOP say that the path would leave base_fd. */
static int open_beneath(int base_fd, const char *path, int flags)
{
    if (!atomic_load(&openat2_missing)) {
        struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC),
                               .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
        /* EAGAIN: something was renamed meanwhile and the kernel can't vouch for the walk. */
        for (int i = 0; i < RACE_RETRIES; i++) {
            long fd = syscall(SYS_openat2, base_fd, path, &how, sizeof how);
            if (fd >= 0)
                return (int)fd;
            if (errno != EAGAIN && errno != EINTR)
                break;
        }
        if (errno == ENOSYS)
            atomic_store(&openat2_missing, true);
        else if (errno != EPERM) /* EPERM is how container filters refuse a call they don't know */
            return -errno;
    }
    return open_walking(base_fd, path, flags);
}

/* Turns a failed open of path below base into an error that names the component at fault. */
static int explain(int base_fd, const char *base, const char *path, int errnum, struct error *err)
{
    if (errnum != EXDEV && errnum != ELOOP && errnum != ENOTDIR)
        return error_errno(err, errnum, "'%.300s' below base_path '%.200s' can't be opened", path, base);

    char prefix[KEY_MAX + 1];
    size_t n = 0;
    do {
        n += strcspn(path + n, "/");
        memcpy(prefix, path, n);
        prefix[n] = '\0';
        int fd = open_beneath(base_fd, prefix, errnum == ENOTDIR ? O_PATH | O_DIRECTORY : O_PATH);
        if (fd < 0)
            break;
        close(fd);
    } while (path[n++] != '\0');

    if (errnum == ENOTDIR)
        return error_set(err, ERROR_CONFLICT, false,
                         "'%.300s' below base_path '%.200s' stands where a directory is needed", prefix,
                         base);
    return error_set(err, ERROR_UNSAFE_PATH, false,
                     "'%.300s' is a symbolic link that leads out of base_path '%.200s' (or can't be followed "
                     "safely): make it a real directory, or configure its target as base_path",
                     prefix, base);
}

/* The prefix path[0..n) is missing and everything before its last component is there: make it. */
static int make_directory(int base_fd, const char *base, const char *prefix, struct error *err)
{
    const char *slash = strrchr(prefix, '/');
    char parent[KEY_MAX + 1] = "";
    if (slash)
        memcpy(parent, prefix, (size_t)(slash - prefix));
    int parent_fd = slash ? open_beneath(base_fd, parent, O_RDONLY | O_DIRECTORY) : base_fd;
    if (parent_fd < 0)
        return explain(base_fd, base, parent, -parent_fd, err);

    int rc = 0;
    if (mkdirat(parent_fd, slash ? slash + 1 : prefix, DIR_MODE) == 0) {
        if (fsync(parent_fd) < 0)
            rc = error_errno(err, errno, "directory '%.300s' below '%.200s' can't be made durable", prefix,
                             base);
    } else if (errno != EEXIST) {
        rc = error_errno(err, errno, "directory '%.300s' can't be made below '%.200s'", prefix, base);
    }
    if (parent_fd != base_fd)
        close(parent_fd);
    return rc;
}

static int make_path(int base_fd, const char *base, const char *dir, struct error *err)
{
    char prefix[KEY_MAX + 1];
    size_t n = 0;
    do {
        n += strcspn(dir + n, "/");
        memcpy(prefix, dir, n);
        prefix[n] = '\0';
        int fd = open_beneath(base_fd, prefix, O_PATH | O_DIRECTORY);
        if (fd == -ENOENT) {
            int rc = make_directory(base_fd, base, prefix, err);
            if (rc < 0)
                return rc;
            fd = open_beneath(base_fd, prefix, O_PATH | O_DIRECTORY);
            if (fd == -ENOENT) /* mkdir said EEXIST */
                return error_set(err, ERROR_CONFLICT, false,
                                 "'%.300s' below base_path '%.200s' is a symbolic link to nothing: remove it",
                                 prefix, base);
        }
        if (fd < 0)
            return explain(base_fd, base, prefix, -fd, err);
        close(fd);
    } while (dir[n++] != '\0');
    return 0;
}

int path_open_parent(int base_fd, const char *base, const char *key, bool create, int *ret_fd,
                     const char **ret_name, struct error *err)
{
    char dir[KEY_MAX + 1] = ".";
    const char *name = key;
    const char *slash = strrchr(key, '/');
    if (slash) {
        memcpy(dir, key, (size_t)(slash - key));
        dir[slash - key] = '\0';
        name = slash + 1;
    }
    int fd = open_beneath(base_fd, dir, O_RDONLY | O_DIRECTORY);
    if (fd == -ENOENT && create) {
        int rc = make_path(base_fd, base, dir, err);
        if (rc < 0)
            return rc;
        fd = open_beneath(base_fd, dir, O_RDONLY | O_DIRECTORY);
    }
    if (fd < 0)
        return explain(base_fd, base, dir, -fd, err);
    *ret_fd = fd;
    *ret_name = name;
    return 0;
}

int64_t path_object_size(int base_fd, const char *key)
{
    struct stat st;
    int fd = open_beneath(base_fd, key, O_PATH);
    bool seen = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    if (fd >= 0)
        close(fd);
    return seen ? (int64_t)st.st_size : -1;
}

int path_open_object(int base_fd, const char *base, const char *key, int *ret_fd, struct error *err)
{
    /* O_NONBLOCK: a FIFO of that name must not hold us. */
    int fd = open_beneath(base_fd, key, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd == -ENOENT)
        return error_set(err, ERROR_NOT_FOUND, false, "'%.300s' is not there below base_path '%.200s'", key,
                         base);
    if (fd < 0)
        return explain(base_fd, base, key, -fd, err);
    struct stat st;
    int rc = 0;
    if (fstat(fd, &st) < 0)
        rc = error_errno(err, errno, "'%.300s' below '%.200s' can't be read", key, base);
    else if (!S_ISREG(st.st_mode))
        rc =
            error_set(err, ERROR_CONFLICT, false, "'%.300s' below '%.200s' is not a regular file", key, base);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}
