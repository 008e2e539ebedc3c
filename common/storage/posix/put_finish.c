/* SYNC, READ_BACK, PUBLISH, COMPARE and END: from a written temporary file to a durable object. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/posix/publish.h"
#include "storage/posix/put.h"

static void begin_hash(struct posix_put *self, uint64_t size)
{
    digest_reset(self->digest);
    self->hashed = 0;
    self->to_hash = size;
}

int put_check_digest(struct posix_put *self, struct error *err)
{
    const struct storage_put *put = self->request;
    if (self->digest_checked)
        return 0;
    digest_final(self->digest, self->result.sha256);
    if (strcmp(self->result.sha256, put->sha256) != 0)
        return error_set(err, ERROR_CORRUPT, true,
                         "the artifact's bytes have SHA-256 %s, but %.64s was recorded when it was made",
                         self->result.sha256, put->sha256);
    self->digest_checked = true;
    return 0;
}

int put_run_sync(struct posix_put *self, struct error *err)
{
    int rc = put_check_digest(self, err);
    if (rc < 0)
        return rc;
    if (fsync(self->temp_fd) < 0)
        return put_fail_errno(self, err, "making durable");
    if (self->read_back) {
        /* Where that isn't supported the page cache answers. */
        rc = posix_fadvise(self->temp_fd, 0, 0, POSIX_FADV_DONTNEED);
        (void)rc;
        begin_hash(self, self->request->size);
    }
    return 0;
}

/* The file behind fd, from its beginning to to_hash, a buffer at a time. */
static int hash_chunk(struct posix_put *self, int fd, struct error *err)
{
    uint64_t rest = self->to_hash - self->hashed;
    uint64_t size = rest < self->buffer_size ? rest : self->buffer_size;
    int rc = put_read_full(fd, self->buffers[0], size, self->hashed);
    if (rc == -ENODATA)
        return error_set(err, ERROR_CORRUPT, true,
                         "'%.300s' below '%.200s' ends before its %" PRIu64 " bytes", self->request->key,
                         self->request->location.base_path, self->to_hash);
    if (rc < 0) {
        errno = -rc;
        return put_fail_errno(self, err, "reading back");
    }
    digest_update(self->digest, self->buffers[0], size);
    self->hashed += size;
    return 0;
}

int put_run_read_back(struct posix_put *self, struct error *err)
{
    int rc = hash_chunk(self, self->temp_fd, err);
    if (rc < 0 || self->hashed < self->to_hash)
        return rc;
    char found[STORAGE_SHA256_SIZE];
    digest_final(self->digest, found);
    if (strcmp(found, self->result.sha256) != 0)
        return error_set(err, ERROR_CORRUPT, true,
                         "'%.300s' below '%.200s' reads back as SHA-256 %s, written was %s: check the disk",
                         self->request->key, self->request->location.base_path, found, self->result.sha256);
    return 0;
}

static int conflict(struct posix_put *self, uint64_t standing_size, const char *standing, struct error *err)
{
    char path[400];
    path_join(self->request->location.base_path, self->request->key, path, sizeof path);
    return error_set(err, ERROR_CONFLICT, false,
                     "'%s' holds another object already and was left alone: it has %" PRIu64
                     " bytes with SHA-256 %s, this one %" PRIu64 " bytes with SHA-256 %s",
                     path, standing_size, standing, self->request->size, self->result.sha256);
}

int put_open_standing(struct posix_put *self, struct error *err)
{
    const struct storage_put *put = self->request;
    int rc = path_open_object(self->base_fd, put->location.base_path, put->key, &self->standing_fd, err);
    if (rc == ERROR_NOT_FOUND && err) /* taken away this moment */
        err->retryable = true;
    if (rc < 0)
        return rc;
    struct stat st;
    if (fstat(self->standing_fd, &st) < 0)
        return put_fail_errno(self, err, "reading");
    rc = put_make_buffers(self, err);
    if (rc == 0)
        begin_hash(self, (uint64_t)st.st_size);
    return rc;
}

int put_check_published(struct posix_put *self, struct error *err)
{
    struct stat st;
    if (fstatat(self->dir_fd, self->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return put_fail_errno(self, err, "checking");
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != self->request->size)
        return error_set(err, ERROR_CORRUPT, true,
                         "'%.300s' below '%.200s' has %lld bytes instead of %" PRIu64, self->request->key,
                         self->request->location.base_path, (long long)st.st_size, self->request->size);
    self->result.size = self->request->size;
    return 0;
}

int put_give_name(struct posix_put *self, struct error *err)
{
    int rc = publish_rename(self->dir_fd, self->temp, self->name, PUBLISH_ANY);
    if (rc == -EEXIST)
        return put_open_standing(self, err);
    if (rc == -ENOENT) {
        self->temp_exists = false;
        return error_set(err, ERROR_CANCELLED, true,
                         "the temporary file of '%.300s' is gone: a later attempt took over",
                         self->request->key);
    }
    if (rc < 0) {
        errno = -rc;
        return put_fail_errno(self, err, "publishing");
    }
    self->temp_exists = false;
    self->published = true;
    return 0;
}

int put_run_publish(struct posix_put *self, struct error *err)
{
    int rc = put_give_name(self, err);
    if (rc < 0 || !self->published)
        return rc;
    if (fsync(self->dir_fd) < 0)
        return put_fail_errno(self, err, "making the directory durable for");
    return put_check_published(self, err);
}

int put_run_compare(struct posix_put *self, struct error *err)
{
    int rc = hash_chunk(self, self->standing_fd, err);
    if (rc < 0 || self->hashed < self->to_hash)
        return rc;
    char found[STORAGE_SHA256_SIZE];
    digest_final(self->digest, found);
    if (self->to_hash != self->request->size || strcmp(found, self->result.sha256) != 0)
        return conflict(self, self->to_hash, found, err);
    /* Whoever put it there may have died before this. */
    if (fsync(self->standing_fd) < 0 || fsync(self->dir_fd) < 0)
        return put_fail_errno(self, err, "making durable");
    self->published = true;
    self->result.existed = true;
    atomic_store(&self->request->bytes_done, self->request->size);
    return put_check_published(self, err);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Removing and closing a big file takes time too: in the pool like the rest. */
void put_run_end(struct posix_put *self)
{
    if (self->temp_exists)
        unlinkat(self->dir_fd, self->temp, 0);
    self->temp_exists = false;
    close_fd(&self->standing_fd);
    close_fd(&self->temp_fd);
    close_fd(&self->dir_fd);
    close_fd(&self->base_fd);
    put_release_buffers(self);
}
