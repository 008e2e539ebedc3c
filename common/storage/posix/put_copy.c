/* PREPARE and COPY: everything up to the last byte in the temporary file. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "storage/posix/disk.h"
#include "storage/posix/put.h"

#define ALIGNMENT ((uint64_t)4096)
#define FILE_MODE 0640
#define XFS_MAGIC 0x58465342

uint64_t put_chunk_count(const struct posix_put *self)
{
    return (self->request->size + self->chunk_size - 1) / self->chunk_size;
}

uint64_t put_chunk_bytes(const struct posix_put *self, uint64_t chunk)
{
    uint64_t rest = self->request->size - chunk * self->chunk_size;
    return rest < self->chunk_size ? rest : self->chunk_size;
}

int put_fail_errno(struct posix_put *self, struct error *err, const char *what)
{
    return error_errno(err, errno, "%s '%.300s' below '%.200s'", what, self->request->key,
                       self->request->location.base_path);
}

/* ext4 and xfs take O_DIRECT at the disk's full speed and for half the CPU time; others may emulate it, or
 * send one request at a time over a network. */
static void know_disk(struct posix_put *self)
{
    struct statfs fs;
    struct stat st;
    if (fstatfs(self->temp_fd, &fs) < 0 || fstat(self->temp_fd, &st) < 0)
        return;
    self->device = st.st_dev;
    self->known_disk = fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_MAGIC;
    if (self->known_disk && !self->small)
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
        return put_fail_errno(self, err, "no space can be reserved for");
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
        return put_fail_errno(self, err, "no temporary file can be made for");
    self->temp_exists = true;
    return 0;
}

/* Large ones past malloc, whose arenas (one per thread) would keep them. */
static char *make_buffer(const struct posix_put *self)
{
    if (self->small)
        return aligned_alloc(ALIGNMENT, self->buffer_size);
    void *buffer = mmap(NULL, self->buffer_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return buffer == MAP_FAILED ? NULL : buffer;
}

int put_make_buffers(struct posix_put *self, struct error *err)
{
    int n = self->small ? 1 : PUT_BUFFERS;
    self->buffer_size = (put_chunk_bytes(self, 0) + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    if (self->buffer_size == 0)
        self->buffer_size = ALIGNMENT;
    for (int i = 0; i < n && self->buffers[i] == NULL; i++) {
        self->buffers[i] = make_buffer(self);
        if (self->buffers[i] == NULL)
            return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    if (self->digest == NULL)
        self->digest = digest_new();
    if (self->digest == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    return 0;
}

void put_release_buffers(struct posix_put *self)
{
    for (int i = 0; i < PUT_BUFFERS; i++) {
        if (self->small)
            free(self->buffers[i]);
        else if (self->buffers[i])
            munmap(self->buffers[i], self->buffer_size);
        self->buffers[i] = NULL;
    }
    digest_free(self->digest);
    self->digest = NULL;
}

/* A retry after a crash finds its own finished work: no second copy then, and no room needed for one. */
static int look_for_standing(struct posix_put *self, struct error *err)
{
    struct stat st;
    if (fstatat(self->dir_fd, self->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    return put_open_standing(self, err);
}

static int make_room(struct posix_put *self, struct error *err)
{
    const struct storage_put *put = self->request;
    int rc = disk_check_space(self->dir_fd, put->location.base_path, put->size, err);
    if (rc == 0)
        rc = make_temp(self, err);
    if (rc == 0) {
        know_disk(self);
        rc = reserve_space(self, err);
    }
    return rc;
}

int put_run_prepare(struct posix_put *self, struct error *err)
{
    struct storage_put *put = self->request;
    int rc = posix_open_base(&put->location, &self->base_fd, err);
    if (rc == 0)
        rc = path_open_parent(self->base_fd, put->location.base_path, put->key, true, &self->dir_fd,
                              &self->name, err);
    if (rc == 0)
        rc = put_make_buffers(self, err);
    if (rc == 0) {
        posix_remove_temps(self->dir_fd, put->row_id, put->fence - 1); /* they may hold the space we need */
        rc = look_for_standing(self, err);
    }
    if (rc == 0 && self->standing_fd < 0)
        rc = make_room(self, err);
    return rc;
}

int put_read_full(int fd, char *buffer, uint64_t size, uint64_t offset)
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

int put_run_read(struct posix_put *self, struct error *err)
{
    uint64_t chunk = self->chunks_read;
    char *buffer = self->buffers[chunk % PUT_BUFFERS];
    uint64_t size = put_chunk_bytes(self, chunk);
    int rc = put_read_full(self->request->source_fd, buffer, size, chunk * self->chunk_size);
    if (rc == -ENODATA)
        return error_set(err, ERROR_CORRUPT, true, "the artifact is shorter than its %" PRIu64 " bytes",
                         self->request->size);
    if (rc < 0)
        return error_errno(err, -rc, "reading the artifact");
    digest_update(self->digest, buffer, size);
    return 0;
}

static void no_direct(struct posix_put *self)
{
    fcntl(self->temp_fd, F_SETFL, O_RDWR);
    self->direct = false;
}

int put_run_write(struct posix_put *self, uint64_t chunk, struct error *err)
{
    const char *buffer = self->buffers[chunk % PUT_BUFFERS];
    uint64_t size = put_chunk_bytes(self, chunk);
    uint64_t start = chunk * self->chunk_size;
    for (uint64_t n = 0; n < size;) {
        uint64_t want = size - n;
        bool direct = self->direct; /* another lane may turn it off */
        if (direct &&
            (want < ALIGNMENT || n % ALIGNMENT != 0)) { /* the file's tail, or after a short write */
            no_direct(self);
            continue;
        }
        if (direct)
            want &= ~(ALIGNMENT - 1);
        ssize_t k = pwrite(self->temp_fd, buffer + n, want, (off_t)(start + n));
        if (k < 0 && direct && (errno == EINVAL || errno == EOPNOTSUPP))
            no_direct(self);
        else if (k < 0 && errno != EINTR)
            return put_fail_errno(self, err, "writing");
        else if (k > 0)
            n += (uint64_t)k;
    }
    if (!self->direct && !self->small)
        sync_file_range(self->temp_fd, (off_t)start, (off_t)size, SYNC_FILE_RANGE_WRITE);
    return 0;
}

void put_count_read(struct posix_put *self)
{
    self->chunks_read++;
}

void put_count_write(struct posix_put *self, uint64_t chunk)
{
    uint64_t bytes = put_chunk_bytes(self, chunk);
    self->buffer_busy[chunk % PUT_BUFFERS] = false;
    self->chunks_written++;
    atomic_fetch_add(&self->request->bytes_done, bytes);
}
