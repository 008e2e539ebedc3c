/*
 * One artifact to one disk.
 *
 *   PREPARE --> COPY --> SYNC --+------------> PUBLISH --+------------> END
 *      |                        +-> READ_BACK -^         +-> COMPARE ---^     any error --> END
 *      +-- something stands there already ---------------------^
 *
 * PREPARE    right disk, room, directories, older temporary files away, a new temporary file
 * COPY       chunks: lane 0 reads one from the source and hashes it, lane 1 writes the one before it
 * SYNC       digest as expected, fsync
 * READ_BACK  (storage_config "read_back") the page cache is dropped and the file is hashed as the disk holds
 * it PUBLISH    final name, never over another object; fsync of the directory COMPARE    something stands at
 * the final name: is it the same bytes? END        what is ours and temporary goes away, on success and
 * failure alike
 *
 * Each is one work item of the thread pool, each chunk of COPY, READ_BACK and COMPARE too: cancel and
 * progress act between them and uploads share the pool. A small file takes all its steps in a single item.
 *
 * Disks are written with O_DIRECT into space reserved beforehand where the file system is known to like that;
 * elsewhere through the page cache, with write-back begun early. The digest covers the very buffers that are
 * written. copy_file_range is not used: hashing needs the bytes in memory anyhow, it was slower here, and on
 * file systems with reflinks the "copy" would share the artifact's blocks and their fate.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/digest.h"
#include "storage/posix/disk.h"
#include "storage/posix/op.h"
#include "storage/posix/path.h"
#include "storage/posix/publish.h"

#define SMALL_MAX ((uint64_t)1 << 20)
#define ALIGNMENT ((uint64_t)4096)
#define CHUNK_MAX ((uint64_t)4 << 20)
#define CHUNK_MIN ((uint64_t)256 << 10)
#define BUFFERS_MAX ((uint64_t)24 << 20) /* of all copies together, while CHUNK_MIN allows */
#define BUFFERS_SHARE 3                  /* a new copy takes at most this part of what is left */
#define BUFFERS 2
#define FILE_MODE 0640
#define XFS_MAGIC 0x58465342

enum put_state {
    PUT_PREPARE,
    PUT_COPY,
    PUT_SYNC,
    PUT_READ_BACK,
    PUT_PUBLISH,
    PUT_COMPARE,
    PUT_END,
    PUT_DONE
};

struct posix_put {
    struct posix_op op; /* first */
    struct storage_put *request;
    enum put_state state;
    bool small;
    bool read_back;

    int base_fd, dir_fd, temp_fd, standing_fd;
    const char *name; /* points into request->key */
    char temp[PATH_TEMP_NAME_SIZE];
    bool temp_exists;
    bool published;
    bool direct;

    uint64_t chunk_size;
    char *buffers[BUFFERS];
    uint64_t buffer_size; /* a whole chunk, or as much as a short file needs */
    uint64_t chunks_read, chunks_written;
    uint64_t hashed, to_hash; /* bytes of READ_BACK or COMPARE */
    struct digest *digest;
    struct storage_put_result result;
};

static _Atomic uint64_t buffers_in_use; /* bytes, by all large copies */

static uint64_t chunk_count(const struct posix_put *self)
{
    return (self->request->size + self->chunk_size - 1) / self->chunk_size;
}

static uint64_t chunk_bytes(const struct posix_put *self, uint64_t chunk)
{
    uint64_t rest = self->request->size - chunk * self->chunk_size;
    return rest < self->chunk_size ? rest : self->chunk_size;
}

static int fail_errno(struct posix_put *self, struct error *err, const char *what)
{
    return error_errno(err, errno, "%s '%.300s' below '%.200s'", what, self->request->key,
                       self->request->location.base_path);
}

/* Parts of PREPARE */

/* ext4 and xfs take O_DIRECT at the disk's full speed and for half the CPU time; others may emulate it, or
 * send one request at a time over a network. */
static void prefer_direct(struct posix_put *self)
{
    struct statfs fs;
    if (self->small || fstatfs(self->temp_fd, &fs) < 0)
        return;
    if (fs.f_type != EXT4_SUPER_MAGIC && fs.f_type != XFS_MAGIC)
        return;
    self->direct = fcntl(self->temp_fd, F_SETFL, O_RDWR | O_DIRECT) == 0;
}

static int reserve_space(struct posix_put *self, struct error *err)
{
    if (self->small || !self->direct) /* elsewhere the kernel may emulate it by writing zeros */
        return 0;
    int rc;
    while ((rc = fallocate(self->temp_fd, 0, 0, (off_t)self->request->size)) < 0 && errno == EINTR)
        if (posix_op_check_cancel(&self->op, err) < 0)
            return ERROR_CANCELLED;
    if (rc < 0 && errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL)
        return fail_errno(self, err, "no space can be reserved for");
    return 0;
}

static int make_temp(struct posix_put *self, struct error *err)
{
    struct storage_put *put = self->request;
    path_temp_name(put->row_id, put->fence, self->temp);
    int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    self->temp_fd = openat(self->dir_fd, self->temp, flags, FILE_MODE);
    if (self->temp_fd < 0 &&
        errno == EEXIST) { /* this very attempt was begun before, in a process that died */
        unlinkat(self->dir_fd, self->temp, 0);
        self->temp_fd = openat(self->dir_fd, self->temp, flags, FILE_MODE);
    }
    if (self->temp_fd < 0)
        return fail_errno(self, err, "no temporary file can be made for");
    self->temp_exists = true;
    return 0;
}

static int make_buffers(struct posix_put *self, struct error *err)
{
    int n = self->small ? 1 : BUFFERS;
    self->buffer_size = (chunk_bytes(self, 0) + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    if (self->buffer_size == 0)
        self->buffer_size = ALIGNMENT;
    for (int i = 0; i < n; i++) {
        self->buffers[i] = aligned_alloc(ALIGNMENT, self->buffer_size);
        if (self->buffers[i] == NULL)
            return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    self->digest = digest_new();
    if (self->digest == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    return 0;
}

/* COPY */

static int read_full(int fd, char *buffer, uint64_t size, uint64_t offset)
{
    for (uint64_t n = 0; n < size;) {
        ssize_t k = pread(fd, buffer + n, size - n, (off_t)(offset + n));
        if (k == 0)
            return -ENODATA;
        if (k < 0 && errno != EINTR)
            return -errno;
        if (k > 0)
            n += (uint64_t)k;
    }
    return 0;
}

static int run_read(struct posix_put *self, struct error *err)
{
    uint64_t chunk = self->chunks_read;
    char *buffer = self->buffers[chunk % BUFFERS];
    uint64_t size = chunk_bytes(self, chunk);
    int rc = read_full(self->request->source_fd, buffer, size, chunk * self->chunk_size);
    if (rc == -ENODATA)
        return error_set(err, ERROR_CORRUPT, true, "the artifact is shorter than its %" PRIu64 " bytes",
                         self->request->size);
    if (rc < 0)
        return error_errno(err, -rc, "reading the artifact");
    digest_update(self->digest, buffer, size);
    return 0;
}

static int run_write(struct posix_put *self, struct error *err)
{
    uint64_t chunk = self->chunks_written;
    const char *buffer = self->buffers[chunk % BUFFERS];
    uint64_t size = chunk_bytes(self, chunk);
    uint64_t start = chunk * self->chunk_size;
    for (uint64_t n = 0; n < size;) {
        uint64_t want = size - n;
        if (self->direct &&
            (want < ALIGNMENT || n % ALIGNMENT != 0)) { /* the file's tail, or after a short write */
            fcntl(self->temp_fd, F_SETFL, O_RDWR);
            self->direct = false;
        }
        if (self->direct)
            want &= ~(ALIGNMENT - 1);
        ssize_t k = pwrite(self->temp_fd, buffer + n, want, (off_t)(start + n));
        if (k < 0 && self->direct && (errno == EINVAL || errno == EOPNOTSUPP)) {
            fcntl(self->temp_fd, F_SETFL, O_RDWR);
            self->direct = false;
        } else if (k < 0 && errno != EINTR) {
            return fail_errno(self, err, "writing");
        } else if (k > 0) {
            n += (uint64_t)k;
        }
    }
    if (!self->direct && !self->small)
        sync_file_range(self->temp_fd, (off_t)start, (off_t)size, SYNC_FILE_RANGE_WRITE);
    return 0;
}

static void count_read(struct posix_put *self)
{
    self->chunks_read++;
}

static void count_write(struct posix_put *self)
{
    uint64_t bytes = chunk_bytes(self, self->chunks_written);
    self->chunks_written++;
    atomic_fetch_add(&self->request->bytes_done, bytes);
}

/* SYNC, READ_BACK, PUBLISH, COMPARE */

static void begin_hash(struct posix_put *self, uint64_t size)
{
    digest_reset(self->digest);
    self->hashed = 0;
    self->to_hash = size;
}

static int run_sync(struct posix_put *self, struct error *err)
{
    const struct storage_put *put = self->request;
    digest_final(self->digest, self->result.sha256);
    if (strcmp(self->result.sha256, put->sha256) != 0)
        return error_set(err, ERROR_CORRUPT, true,
                         "the artifact's bytes have SHA-256 %s, but %.64s was recorded when it was made",
                         self->result.sha256, put->sha256);
    if (fsync(self->temp_fd) < 0)
        return fail_errno(self, err, "making durable");
    if (self->read_back) {
        int rc = posix_fadvise(self->temp_fd, 0, 0, POSIX_FADV_DONTNEED);
        (void)rc; /* where it isn't supported, the page cache answers */
        begin_hash(self, put->size);
    }
    return 0;
}

/* The file behind fd, from its beginning to to_hash, a buffer at a time. */
static int hash_chunk(struct posix_put *self, int fd, struct error *err)
{
    uint64_t rest = self->to_hash - self->hashed;
    uint64_t size = rest < self->buffer_size ? rest : self->buffer_size;
    int rc = read_full(fd, self->buffers[0], size, self->hashed);
    if (rc == -ENODATA)
        return error_set(err, ERROR_CORRUPT, true,
                         "'%.300s' below '%.200s' ends before its %" PRIu64 " bytes", self->request->key,
                         self->request->location.base_path, self->to_hash);
    if (rc < 0) {
        errno = -rc;
        return fail_errno(self, err, "reading back");
    }
    digest_update(self->digest, self->buffers[0], size);
    self->hashed += size;
    return 0;
}

static int run_read_back(struct posix_put *self, struct error *err)
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

/* Something stands at the final name. Even when its size differs it is read: both digests are to be named. */
static int open_standing(struct posix_put *self, struct error *err)
{
    const struct storage_put *put = self->request;
    int rc = path_open_object(self->base_fd, put->location.base_path, put->key, &self->standing_fd, err);
    if (rc == ERROR_NOT_FOUND && err) /* taken away this moment */
        err->retryable = true;
    if (rc < 0)
        return rc;
    struct stat st;
    if (fstat(self->standing_fd, &st) < 0)
        return fail_errno(self, err, "reading");
    begin_hash(self, (uint64_t)st.st_size);
    return 0;
}

static int check_published(struct posix_put *self, struct error *err)
{
    struct stat st;
    if (fstatat(self->dir_fd, self->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return fail_errno(self, err, "checking");
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != self->request->size)
        return error_set(err, ERROR_CORRUPT, true,
                         "'%.300s' below '%.200s' has %lld bytes instead of %" PRIu64, self->request->key,
                         self->request->location.base_path, (long long)st.st_size, self->request->size);
    self->result.size = self->request->size;
    return 0;
}

static int run_publish(struct posix_put *self, struct error *err)
{
    int rc = publish_rename(self->dir_fd, self->temp, self->name, PUBLISH_ANY);
    if (rc == -EEXIST)
        return open_standing(self, err);
    if (rc == -ENOENT) {
        self->temp_exists = false;
        return error_set(err, ERROR_CANCELLED, true,
                         "the temporary file of '%.300s' is gone: a later attempt took over",
                         self->request->key);
    }
    if (rc < 0) {
        errno = -rc;
        return fail_errno(self, err, "publishing");
    }
    self->temp_exists = false;
    self->published = true;
    if (fsync(self->dir_fd) < 0)
        return fail_errno(self, err, "making the directory durable for");
    return check_published(self, err);
}

static int run_compare(struct posix_put *self, struct error *err)
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
        return fail_errno(self, err, "making durable");
    self->published = true;
    self->result.existed = true;
    atomic_store(&self->request->bytes_done, self->request->size);
    return check_published(self, err);
}

/* PREPARE */

/* A retry after a crash finds its own finished work: no second copy then, and no room needed for one. */
static int look_for_standing(struct posix_put *self, struct error *err)
{
    struct stat st;
    if (fstatat(self->dir_fd, self->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    return open_standing(self, err);
}

static int make_room(struct posix_put *self, struct error *err)
{
    const struct storage_put *put = self->request;
    int rc = disk_check_space(self->dir_fd, put->location.base_path, put->size, err);
    if (rc == 0)
        rc = make_temp(self, err);
    if (rc == 0) {
        prefer_direct(self);
        rc = reserve_space(self, err);
    }
    return rc;
}

static int run_prepare(struct posix_put *self, struct error *err)
{
    struct storage_put *put = self->request;
    int rc = posix_open_base(&put->location, &self->base_fd, err);
    if (rc == 0)
        rc = path_open_parent(self->base_fd, put->location.base_path, put->key, true, &self->dir_fd,
                              &self->name, err);
    if (rc == 0)
        rc = make_buffers(self, err);
    if (rc == 0) {
        posix_remove_temps(self->dir_fd, put->row_id, put->fence - 1); /* they may hold the space we need */
        rc = look_for_standing(self, err);
    }
    if (rc == 0 && self->standing_fd < 0)
        rc = make_room(self, err);
    return rc;
}

/* END */

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Removing and closing a big file takes time too: in the pool like the rest. */
static void run_end(struct posix_put *self)
{
    if (self->temp_exists)
        unlinkat(self->dir_fd, self->temp, 0);
    self->temp_exists = false;
    close_fd(&self->standing_fd);
    close_fd(&self->temp_fd);
    close_fd(&self->dir_fd);
    close_fd(&self->base_fd);
    for (int i = 0; i < BUFFERS; i++)
        free(self->buffers[i]);
    digest_free(self->digest);
}

/* The machine */

static enum put_state next_state(const struct posix_put *self, bool failed)
{
    bool empty = self->request->size == 0;
    switch (self->state) {
    case PUT_PREPARE:
        return failed ? PUT_END : self->standing_fd >= 0 ? PUT_COMPARE : empty ? PUT_SYNC : PUT_COPY;
    case PUT_COPY:
        return failed ? PUT_END : self->chunks_written < chunk_count(self) ? PUT_COPY : PUT_SYNC;
    case PUT_SYNC:
        return failed ? PUT_END : self->read_back ? PUT_READ_BACK : PUT_PUBLISH;
    case PUT_READ_BACK:
        return failed ? PUT_END : self->hashed < self->to_hash ? PUT_READ_BACK : PUT_PUBLISH;
    case PUT_PUBLISH:
        return failed || self->published ? PUT_END : PUT_COMPARE;
    case PUT_COMPARE:
        return failed || self->published ? PUT_END : PUT_COMPARE;
    case PUT_END:
    case PUT_DONE:
        break;
    }
    return PUT_DONE;
}

/* One step of every state but COPY, in the pool. */
static int run_state(struct posix_put *self, struct error *err)
{
    if (self->state != PUT_END && posix_op_check_cancel(&self->op, err) < 0)
        return ERROR_CANCELLED;
    switch (self->state) {
    case PUT_PREPARE:
        return run_prepare(self, err);
    case PUT_SYNC:
        return run_sync(self, err);
    case PUT_READ_BACK:
        return run_read_back(self, err);
    case PUT_PUBLISH:
        return run_publish(self, err);
    case PUT_COMPARE:
        return run_compare(self, err);
    case PUT_END:
        run_end(self);
        return 0;
    case PUT_COPY:
    case PUT_DONE:
        break;
    }
    return error_set(err, ERROR_SYSTEM, false, "bug: state %d of a copy", (int)self->state);
}

static void on_run_state(struct posix_op *op, struct error *err)
{
    run_state((struct posix_put *)op, err);
}

static void on_run_read(struct posix_op *op, struct error *err)
{
    if (posix_op_check_cancel(op, err) == 0)
        run_read((struct posix_put *)op, err);
}

static void on_run_write(struct posix_op *op, struct error *err)
{
    if (posix_op_check_cancel(op, err) == 0)
        run_write((struct posix_put *)op, err);
}

/* All states of a small file in one item; the first error is kept, END runs in any case. */
static void on_run_small(struct posix_op *op, struct error *err)
{
    struct posix_put *self = (struct posix_put *)op;
    while (self->state != PUT_DONE) {
        struct error ignored;
        struct error *first = err->code ? &ignored : err;
        if (self->state != PUT_COPY) {
            run_state(self, first);
        } else if (run_read(self, first) == 0) {
            count_read(self);
            if (run_write(self, first) == 0)
                count_write(self);
        }
        self->state = next_state(self, err->code != 0);
    }
}

static void finish(struct posix_put *self)
{
    struct storage_put *put = self->request;
    struct storage_put_result result = self->result;
    struct error err = self->op.err;
    if (!self->small)
        atomic_fetch_sub(&buffers_in_use, BUFFERS * self->chunk_size);
    free(self);
    put->done(put, err.code ? NULL : &result, err.code ? &err : NULL);
}

static void step_small(struct posix_op *op, int lane)
{
    (void)lane;
    finish((struct posix_put *)op);
}

/* COPY keeps both lanes going; two buffers stand between them. */
static void submit_copy(struct posix_put *self)
{
    struct posix_op *op = &self->op;
    if (op->err.code)
        return;
    if (!op->lanes[0].busy && self->chunks_read < chunk_count(self) &&
        self->chunks_read - self->chunks_written < BUFFERS)
        posix_op_submit(op, 0, on_run_read);
    if (!op->lanes[1].busy && self->chunks_written < self->chunks_read)
        posix_op_submit(op, 1, on_run_write);
}

static void step_large(struct posix_op *op, int lane)
{
    struct posix_put *self = (struct posix_put *)op;
    if (self->state == PUT_COPY) {
        if (!op->lanes[lane].err.code)
            lane == 0 ? count_read(self) : count_write(self);
        submit_copy(self);
        if (posix_op_busy(op))
            return;
    }
    self->state = next_state(self, op->err.code != 0);
    if (self->state == PUT_DONE)
        finish(self);
    else if (self->state == PUT_COPY)
        submit_copy(self);
    else
        posix_op_submit(op, 0, on_run_state);
}

/* Big chunks for few copies, small ones for many: memory stays bounded whatever runs at once. */
static uint64_t take_chunk_size(void)
{
    uint64_t used = atomic_load(&buffers_in_use);
    uint64_t share = used < BUFFERS_MAX ? (BUFFERS_MAX - used) / BUFFERS_SHARE / BUFFERS : 0;
    uint64_t size = CHUNK_MAX;
    while (size > CHUNK_MIN && size > share)
        size /= 2;
    atomic_fetch_add(&buffers_in_use, BUFFERS * size);
    return size;
}

int posix_put_start(struct storage_put *put, struct storage_op **ret_op, struct error *err)
{
    int rc = posix_check(&put->location, put->key ? put->key : "", err);
    if (rc < 0)
        return rc;
    if (put->sha256 == NULL || strlen(put->sha256) != STORAGE_SHA256_SIZE - 1)
        return error_set(err, ERROR_INPUT, false, "the artifact's SHA-256 is missing");
    struct posix_put *self = calloc(1, sizeof *self);
    if (self == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    self->request = put;
    self->base_fd = self->dir_fd = self->temp_fd = self->standing_fd = -1;
    self->read_back = json_is_true(json_object_get(put->location.config, "read_back"));
    self->small = put->size <= SMALL_MAX;
    self->chunk_size = self->small ? SMALL_MAX : take_chunk_size();
    memcpy(self->result.sha256, put->sha256, STORAGE_SHA256_SIZE);
    atomic_store(&put->bytes_done, 0);
    posix_op_init(&self->op, put->loop, self->small ? step_small : step_large);
    posix_op_submit(&self->op, 0, self->small ? on_run_small : on_run_state);
    *ret_op = &self->op.base;
    return 0;
}
