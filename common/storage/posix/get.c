/*
 * One object from one disk: a work item per some MiB, each read, hashed and written on in pieces that stay in
 * the CPU's cache. Most objects of a busy system are small and take a single item.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "storage/posix/op.h"
#include "storage/posix/path.h"
#include "storage/stream_write.h"

#define PIECE ((size_t)256 << 10)
#define ITEM_PIECES 16

struct posix_get {
    struct posix_op op; /* first */
    struct storage_get *request;
    int fd;
    bool ended;
    uint64_t done; /* bytes of the range */
    char *buffer;
    struct digest *digest;
};

static int open_object(struct posix_get *self, struct error *err)
{
    const struct storage_get *get = self->request;
    int base_fd;
    int rc = posix_open_base(&get->location, &base_fd, err);
    if (rc < 0)
        return rc;
    rc = path_open_object(base_fd, get->location.base_path, get->key, &self->fd, err);
    close(base_fd);
    if (rc < 0)
        return rc;
    /* Read for its digest only = a verification: ask the disk rather than the page cache. */
    int advice = get->target_fd < 0 ? POSIX_FADV_DONTNEED : POSIX_FADV_SEQUENTIAL;
    int ignored = posix_fadvise(self->fd, 0, 0, advice);
    (void)ignored;
    self->buffer = malloc(PIECE);
    self->digest = get->digest ? get->digest : digest_new();
    if (self->buffer == NULL || self->digest == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    return 0;
}

static int write_piece(struct posix_get *self, size_t size, struct error *err)
{
    const struct storage_get *get = self->request;
    if (get->target_fd >= 0 && get->target_is_stream) {
        int rc = stream_write(get->target_fd, self->buffer, size, &self->op.cancelled, err);
        if (rc < 0 && rc != ERROR_CANCELLED)
            error_context(err, "'%.300s'", get->key);
        return rc;
    }
    for (size_t n = 0; get->target_fd >= 0 && n < size;) {
        ssize_t k = pwrite(get->target_fd, self->buffer + n, size - n, (off_t)(self->done + n));
        if (k < 0 && errno != EINTR)
            return error_errno(err, errno, "writing what was read of '%.300s'", get->key);
        if (k > 0)
            n += (size_t)k;
    }
    return 0;
}

/* Bytes to read next: a piece, or what is left of the range. */
static size_t next_size(const struct posix_get *self)
{
    uint64_t length = self->request->length;
    if (length == 0 || length - self->done > PIECE)
        return PIECE;
    return (size_t)(length - self->done);
}

static void run_item(struct posix_op *op, int lane, struct error *err)
{
    (void)lane;
    struct posix_get *self = (struct posix_get *)op;
    if (self->fd < 0 && open_object(self, err) < 0)
        return;
    for (int i = 0; i < ITEM_PIECES; i++) {
        if (posix_op_check_cancel(op, err) < 0)
            return;
        size_t size = next_size(self);
        ssize_t n =
            size ? pread(self->fd, self->buffer, size, (off_t)(self->request->offset + self->done)) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            error_errno(err, errno, "reading '%.300s' below '%.200s'", self->request->key,
                        self->request->location.base_path);
            return;
        }
        if (n == 0) {
            self->ended = true;
            return;
        }
        digest_update(self->digest, self->buffer, (size_t)n);
        if (write_piece(self, (size_t)n, err) < 0)
            return;
        self->done += (uint64_t)n;
        atomic_store(&self->request->bytes_done, self->done);
    }
}

static void step_get(struct posix_op *op, int lane)
{
    struct posix_get *self = (struct posix_get *)op;
    if (!op->err.code && !self->ended) {
        posix_op_submit(op, lane, run_item);
        return;
    }
    struct storage_get *get = self->request;
    struct error err = op->err;
    uint64_t size = self->done;
    bool sums = get->digest == NULL;
    char sha256[STORAGE_SHA256_SIZE] = "";
    if (sums && !err.code)
        digest_final(self->digest, sha256);
    if (self->fd >= 0)
        close(self->fd);
    free(self->buffer);
    if (sums)
        digest_free(self->digest);
    free(self);
    get->done(get, err.code ? 0 : size, err.code || !sums ? NULL : sha256, err.code ? &err : NULL);
}

int posix_get_start(struct storage_get *get, struct storage_op **ret_op, struct error *err)
{
    int rc = posix_check(&get->location, get->key ? get->key : "", err);
    if (rc < 0)
        return rc;
    if (get->offset > INT64_MAX || get->length > INT64_MAX - get->offset)
        return error_set(err, ERROR_INPUT, false, "a range can't begin or end beyond 2^63 bytes");
    struct posix_get *self = calloc(1, sizeof *self);
    if (self == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    self->request = get;
    self->fd = -1;
    atomic_store(&get->bytes_done, 0);
    posix_op_init(&self->op, get->loop, step_get);
    posix_op_submit(&self->op, 0, run_item);
    *ret_op = &self->op.base;
    return 0;
}
