/* An upload to a disk, shared by the files that make it up; begin with put.c. */
#pragma once

#include <inttypes.h>

#include "base/digest.h"
#include "storage/posix/op.h"
#include "storage/posix/path.h"

#define PUT_BUFFERS 3
#define PUT_WRITERS 2 /* lanes 1..PUT_WRITERS */

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
    bool small;     /* all steps in one item, or in a group */
    bool read_back; /* storage_config */

    int base_fd, dir_fd, temp_fd, standing_fd;
    const char *name; /* points into request->key */
    char temp[PATH_TEMP_NAME_SIZE];
    bool temp_exists;
    bool published;
    bool known_disk;    /* a file system whose O_DIRECT, fallocate and syncfs are as good as they promise */
    atomic_bool direct; /* O_DIRECT is on */

    uint64_t chunk_size;
    char *buffers[PUT_BUFFERS];
    uint64_t buffer_size;          /* a whole chunk, or as much as a short file needs */
    bool buffer_busy[PUT_BUFFERS]; /* from the start of its read to the end of its write */
    uint64_t chunks_read, write_next, chunks_written;
    uint64_t writing[PUT_WRITERS]; /* chunk of each writer */
    uint64_t hashed, to_hash;      /* bytes of READ_BACK or COMPARE */
    struct digest *digest;
    bool digest_checked;
    struct storage_put_result result;

    struct posix_put *group_next; /* put_group.c */
    dev_t device;
};

/* The steps, in the pool: 0 or a negative code with err filled. */
int put_run_prepare(struct posix_put *self, struct error *err);
int put_run_read(struct posix_put *self, struct error *err);
int put_run_write(struct posix_put *self, uint64_t chunk, struct error *err);
int put_run_sync(struct posix_put *self, struct error *err);
int put_run_read_back(struct posix_put *self, struct error *err);
int put_run_publish(struct posix_put *self, struct error *err);
int put_run_compare(struct posix_put *self, struct error *err);
void put_run_end(struct posix_put *self);

/* Parts of SYNC and PUBLISH, for groups. */
int put_check_digest(struct posix_put *self, struct error *err); /* once: later calls answer 0 */
int put_give_name(struct posix_put *self, struct error *err);    /* published, or standing_fd is open */
int put_check_published(struct posix_put *self, struct error *err);

/* After put_run_read and put_run_write; loop thread, or the pool for a small file. */
void put_count_read(struct posix_put *self);
void put_count_write(struct posix_put *self, uint64_t chunk);

/* Buffers and digest: made when they aren't there, given back while a file only waits. */
int put_make_buffers(struct posix_put *self, struct error *err);
void put_release_buffers(struct posix_put *self);

uint64_t put_chunk_count(const struct posix_put *self);
uint64_t put_chunk_bytes(const struct posix_put *self, uint64_t chunk);

/* Something stands at the final name: opens it for PUT_COMPARE. Even when its size differs it is read, since
 * both digests are to be named. */
int put_open_standing(struct posix_put *self, struct error *err);

/* The whole range or a negative errno; ENODATA when the file ends before. */
int put_read_full(int fd, char *buffer, uint64_t size, uint64_t offset);

/* "<what> '<key>' below '<base>': <errno>" */
int put_fail_errno(struct posix_put *self, struct error *err, const char *what);

/* Loop thread: the request's callback; self is gone afterwards. */
void put_finish(struct posix_put *self);

/* Loop thread: runs the remaining states in one item of its own. */
void put_continue_alone(struct posix_put *self);

/* Loop thread: takes over a written small file whose state is PUT_SYNC. See put_group.c. */
void put_group_join(struct posix_put *self);
