/*
 * What stands below a base beneath a prefix: objects, or the temporary files of uploads. A walk in the thread
 * pool, some entries per work item, which the loop then gives on. Symbolic links are neither followed nor
 * told; what is no regular file can't be an object.
 *
 * An open upload is told by the path of its temporary file as key, and that file's name as upload_id.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/posix/op.h"
#include "storage/posix/path.h"

#define DEPTH_MAX 64
#define BATCH 256
#define KEY_MAX 4095

struct found {
    char *key;
    uint64_t size;
    int64_t time_ms;
};

struct level {
    DIR *dir;
    size_t path_size; /* of the directory's path below base, its '/' included */
};

struct posix_list {
    struct posix_op op; /* first */
    struct storage_list *request;
    const char *prefix;
    struct level levels[DEPTH_MAX];
    int depth;
    bool begun, ended;
    char path[KEY_MAX + 256 + 2];
    struct found batch[BATCH];
    int n;
};

static int push(struct posix_list *self, int dir_fd, size_t path_size, struct error *err)
{
    if (self->depth == DEPTH_MAX) {
        close(dir_fd);
        return error_set(err, ERROR_LIMIT, false, "'%.300s' holds directories nested deeper than %d",
                         self->request->location.base_path, DEPTH_MAX);
    }
    DIR *dir = fdopendir(dir_fd);
    if (dir == NULL) {
        int errnum = errno;
        close(dir_fd);
        return error_errno(err, errnum, "'%.300s' can't be listed", self->path);
    }
    self->levels[self->depth++] = (struct level){dir, path_size};
    return 0;
}

/* Opens the directory in which everything beneath the prefix begins; none = nothing to tell. */
static int begin(struct posix_list *self, struct error *err)
{
    const char *base = self->request->location.base_path;
    char probe[KEY_MAX + 2];
    int base_fd, dir_fd;
    const char *name;
    self->begun = true;
    snprintf(probe, sizeof probe, "%sx", self->prefix);
    int rc = posix_open_base(&self->request->location, &base_fd, err);
    if (rc < 0)
        return rc;
    rc = path_open_parent(base_fd, base, probe, false, &dir_fd, &name, err);
    close(base_fd);
    if (rc == ERROR_NOT_FOUND || rc == ERROR_CONFLICT) { /* a file where the prefix has a directory */
        self->ended = true;
        err->code = 0;
        return 0;
    }
    if (rc < 0)
        return rc;
    size_t size = (size_t)(name - probe);
    memcpy(self->path, self->prefix, size);
    self->path[size] = '\0';
    return push(self, dir_fd, size, err);
}

static bool beneath_prefix(const struct posix_list *self)
{
    return strncmp(self->path, self->prefix, strlen(self->prefix)) == 0;
}

static bool is_told(const struct posix_list *self, const char *name)
{
    int64_t row_id, fence;
    bool temporary = path_is_temp_name(name, &row_id, &fence);
    if (self->request->kind == STORAGE_LIST_UPLOADS)
        return temporary;
    return strncmp(name, ".bm-", 4) != 0 && strcmp(name, PATH_MARKER_NAME) != 0;
}

static int add(struct posix_list *self, const struct stat *st, struct error *err)
{
    char *key = strdup(self->path);
    if (key == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    self->batch[self->n++] =
        (struct found){.key = key,
                       .size = (uint64_t)st->st_size,
                       .time_ms = (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000};
    return 0;
}

/* What vanishes meanwhile, or isn't ours to read, is passed over. */
static int enter(struct posix_list *self, int dir_fd, const char *name, size_t path_size, struct error *err)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == EACCES || errno == ELOOP || errno == ENOTDIR))
        return 0;
    if (fd < 0)
        return error_errno(err, errno, "'%.300s' can't be listed", self->path);
    self->path[path_size] = '/';
    self->path[path_size + 1] = '\0';
    return push(self, fd, path_size + 1, err);
}

static int take(struct posix_list *self, const char *name, struct error *err)
{
    const struct level *level = &self->levels[self->depth - 1];
    size_t path_size = level->path_size + strlen(name);
    struct stat st;
    int dir_fd = dirfd(level->dir);
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || path_size >= KEY_MAX)
        return 0;
    memcpy(self->path + level->path_size, name, strlen(name) + 1);
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT || errno == EACCES
                   ? 0
                   : error_errno(err, errno, "'%.300s' can't be listed", self->path);
    if (S_ISDIR(st.st_mode))
        return beneath_prefix(self) ? enter(self, dir_fd, name, path_size, err) : 0;
    if (!S_ISREG(st.st_mode) || !is_told(self, name) || !beneath_prefix(self))
        return 0;
    return add(self, &st, err);
}

static void run_walk(struct posix_op *op, int lane, struct error *err)
{
    (void)lane;
    struct posix_list *self = (struct posix_list *)op;
    if (!self->begun && begin(self, err) < 0)
        return;
    while (self->depth > 0 && self->n < BATCH) {
        if (posix_op_check_cancel(op, err) < 0)
            return;
        errno = 0;
        const struct dirent *entry = readdir(self->levels[self->depth - 1].dir);
        if (entry == NULL && errno) {
            self->path[self->levels[self->depth - 1].path_size] = '\0';
            error_errno(err, errno, "'%.300s' can't be listed", self->path);
            return;
        }
        if (entry == NULL)
            closedir(self->levels[--self->depth].dir);
        else if (take(self, entry->d_name, err) < 0)
            return;
    }
    self->ended = self->depth == 0;
}

static void finish(struct posix_list *self)
{
    struct storage_list *request = self->request;
    struct error err = self->op.err;
    while (self->depth > 0)
        closedir(self->levels[--self->depth].dir);
    for (int i = 0; i < self->n; i++)
        free(self->batch[i].key);
    free(self);
    request->done(request, err.code ? &err : NULL);
}

/* False: the caller has had enough. */
static bool tell(struct posix_list *self)
{
    bool uploads = self->request->kind == STORAGE_LIST_UPLOADS;
    for (int i = 0; i < self->n; i++) {
        const struct found *found = &self->batch[i];
        const char *slash = strrchr(found->key, '/');
        const struct storage_entry entry = {.key = found->key,
                                            .size = found->size,
                                            .time_ms = found->time_ms,
                                            .upload_id = !uploads ? NULL
                                                         : slash  ? slash + 1
                                                                  : found->key};
        if (!self->request->on_entry(self->request, &entry) || atomic_load(&self->op.cancelled))
            return false;
    }
    for (int i = 0; i < self->n; i++)
        free(self->batch[i].key);
    self->n = 0;
    return true;
}

static void step_list(struct posix_op *op, int lane)
{
    struct posix_list *self = (struct posix_list *)op;
    if (op->err.code || !tell(self) || self->ended) {
        if (!op->err.code)
            posix_op_check_cancel(op, &op->err);
        finish(self);
    } else {
        posix_op_submit(op, lane, run_walk);
    }
}

int posix_list_start(struct storage_list *list, struct storage_op **ret_op, struct error *err)
{
    const char *prefix = list->prefix ? list->prefix : "";
    char probe[KEY_MAX + 2];
    snprintf(probe, sizeof probe, "%sx", prefix); /* a prefix may end in '/' */
    int rc = posix_check(&list->location, strlen(prefix) < KEY_MAX ? probe : prefix, err);
    if (rc < 0)
        return rc;
    struct posix_list *self = calloc(1, sizeof *self);
    if (self == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    self->request = list;
    self->prefix = prefix;
    posix_op_init(&self->op, list->loop, step_list);
    posix_op_submit(&self->op, 0, run_walk);
    *ret_op = &self->op.base;
    return 0;
}
