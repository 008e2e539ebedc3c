/*
 * One artifact to one disk.
 *
 *   PREPARE --> COPY --> SYNC --+------------> PUBLISH --+------------> END
 *      |                        +-> READ_BACK -^         +-> COMPARE ---^     any error --> END
 *      +-- something stands there already ---------------------^
 *
 * - PREPARE: right disk, room, directories, older temporary files away, a new temporary file
 * - COPY: chunks; lane 0 reads one from the source and hashes it, the others write those before it
 * - SYNC: digest as expected, fsync
 * - READ_BACK (storage_config "read_back"): the file is hashed as the disk holds it, not the page cache
 * - PUBLISH: final name, never over another object; fsync of the directory
 * - COMPARE: something stands at the final name; is it the same bytes?
 * - END: what is ours and temporary goes away, on success and failure alike
 *
 * Each is one work item of the thread pool, each chunk of COPY, READ_BACK and COMPARE too: cancel and
 * progress act between them and uploads share the pool. A small file takes all its steps in a single item;
 * when several small ones are under way, they share SYNC and PUBLISH (put_group.c).
 *
 * Disks are written with O_DIRECT into space reserved beforehand where the file system is known to like that;
 * elsewhere through the page cache, with write-back begun early. The digest covers the very buffers that are
 * written. copy_file_range is not used: hashing needs the bytes in memory anyhow, and on
 * file systems with reflinks the "copy" would share the artifact's blocks and their fate. Two writers keep
 * the disk busy while a busy machine is late with the next chunk.
 */
#include <stdlib.h>
#include <string.h>

#include "storage/posix/put.h"

#define SMALL_MAX ((uint64_t)1 << 20)
#define CHUNK_MAX ((uint64_t)2 << 20)
#define CHUNK_MIN ((uint64_t)128 << 10)
#define BUFFERS_MAX ((uint64_t)16 << 20) /* bytes of all copies together, while CHUNK_MIN allows */
#define BUFFERS_SHARE 2                  /* a new copy takes at most this part of what is left */
#define GROUP_MIN 3                      /* small files under way that make a group worth it */

static _Atomic uint64_t buffers_in_use; /* bytes, by all large copies */
static atomic_uint small_under_way;

static enum put_state next_state(const struct posix_put *self, bool failed)
{
    bool empty = self->request->size == 0;
    switch (self->state) {
    case PUT_PREPARE:
        return failed ? PUT_END : self->standing_fd >= 0 ? PUT_COMPARE : empty ? PUT_SYNC : PUT_COPY;
    case PUT_COPY:
        return failed ? PUT_END : self->chunks_written < put_chunk_count(self) ? PUT_COPY : PUT_SYNC;
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
        return put_run_prepare(self, err);
    case PUT_SYNC:
        return put_run_sync(self, err);
    case PUT_READ_BACK:
        return put_run_read_back(self, err);
    case PUT_PUBLISH:
        return put_run_publish(self, err);
    case PUT_COMPARE:
        return put_run_compare(self, err);
    case PUT_END:
        put_run_end(self);
        return 0;
    case PUT_COPY:
    case PUT_DONE:
        break;
    }
    return error_set(err, ERROR_SYSTEM, false, "bug: state %d of a copy", (int)self->state);
}

static void on_run_state(struct posix_op *op, int lane, struct error *err)
{
    (void)lane;
    run_state((struct posix_put *)op, err);
}

static void on_run_read(struct posix_op *op, int lane, struct error *err)
{
    (void)lane;
    if (posix_op_check_cancel(op, err) == 0)
        put_run_read((struct posix_put *)op, err);
}

static void on_run_write(struct posix_op *op, int lane, struct error *err)
{
    struct posix_put *self = (struct posix_put *)op;
    if (posix_op_check_cancel(op, err) == 0)
        put_run_write(self, self->writing[lane - 1], err);
}

static bool wants_group(const struct posix_put *self)
{
    return self->state == PUT_SYNC && self->known_disk && !self->read_back &&
           atomic_load(&small_under_way) >= GROUP_MIN;
}

/* All states of a small file in one item, or those before a group takes it over. The first error is kept, END
 * runs in any case. */
static void run_small(struct posix_put *self, bool alone, struct error *err)
{
    while (self->state != PUT_DONE) {
        struct error ignored;
        struct error *first = err->code ? &ignored : err;
        if (!alone && wants_group(self)) {
            if (put_check_digest(self, err) == 0) {
                put_release_buffers(self);
                return;
            }
        } else if (self->state != PUT_COPY) {
            run_state(self, first);
        } else if (put_run_read(self, first) == 0) {
            put_count_read(self);
            if (put_run_write(self, 0, first) == 0)
                put_count_write(self, 0);
        }
        self->state = next_state(self, err->code != 0);
    }
}

void put_finish(struct posix_put *self)
{
    struct storage_put *put = self->request;
    struct storage_put_result result = self->result;
    struct error err = self->op.err;
    if (self->small)
        atomic_fetch_sub(&small_under_way, 1);
    else
        atomic_fetch_sub(&buffers_in_use, PUT_BUFFERS * self->chunk_size);
    free(self);
    put->done(put, err.code ? NULL : &result, err.code ? &err : NULL);
}

static void on_run_small(struct posix_op *op, int lane, struct error *err)
{
    (void)lane;
    run_small((struct posix_put *)op, false, err);
}

static void on_run_alone(struct posix_op *op, int lane, struct error *err)
{
    (void)lane;
    run_small((struct posix_put *)op, true, err);
}

void put_continue_alone(struct posix_put *self)
{
    posix_op_submit(&self->op, 0, on_run_alone);
}

static void step_small(struct posix_op *op, int lane)
{
    (void)lane;
    struct posix_put *self = (struct posix_put *)op;
    if (self->state == PUT_DONE)
        put_finish(self);
    else
        put_group_join(self);
}

/* COPY keeps all lanes going; the buffers stand between them. */
static void submit_copy(struct posix_put *self)
{
    struct posix_op *op = &self->op;
    if (op->err.code)
        return;
    if (!op->lanes[0].busy && self->chunks_read < put_chunk_count(self) &&
        !self->buffer_busy[self->chunks_read % PUT_BUFFERS]) {
        self->buffer_busy[self->chunks_read % PUT_BUFFERS] = true;
        posix_op_submit(op, 0, on_run_read);
    }
    for (int lane = 1; lane <= PUT_WRITERS; lane++) {
        if (op->lanes[lane].busy || self->write_next == self->chunks_read)
            continue;
        self->writing[lane - 1] = self->write_next++;
        posix_op_submit(op, lane, on_run_write);
    }
}

static void count_copied(struct posix_put *self, int lane)
{
    if (lane == 0)
        put_count_read(self);
    else
        put_count_write(self, self->writing[lane - 1]);
}

static void step_large(struct posix_op *op, int lane)
{
    struct posix_put *self = (struct posix_put *)op;
    if (self->state == PUT_COPY) {
        if (!op->lanes[lane].err.code)
            count_copied(self, lane);
        submit_copy(self);
        if (posix_op_busy(op))
            return;
    }
    self->state = next_state(self, op->err.code != 0);
    if (self->state == PUT_DONE)
        put_finish(self);
    else if (self->state == PUT_COPY)
        submit_copy(self);
    else
        posix_op_submit(op, 0, on_run_state);
}

/* Big chunks for few copies, small ones for many: memory stays bounded whatever runs at once. */
static uint64_t take_chunk_size(void)
{
    uint64_t used = atomic_load(&buffers_in_use);
    uint64_t share = used < BUFFERS_MAX ? (BUFFERS_MAX - used) / BUFFERS_SHARE / PUT_BUFFERS : 0;
    uint64_t size = CHUNK_MAX;
    while (size > CHUNK_MIN && size > share)
        size /= 2;
    atomic_fetch_add(&buffers_in_use, PUT_BUFFERS * size);
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
    if (self->small)
        atomic_fetch_add(&small_under_way, 1);
    memcpy(self->result.sha256, put->sha256, STORAGE_SHA256_SIZE);
    atomic_store(&put->bytes_done, 0);
    posix_op_init(&self->op, put->loop, self->small ? step_small : step_large);
    posix_op_submit(&self->op, 0, self->small ? on_run_small : on_run_state);
    *ret_op = &self->op.base;
    return 0;
}
