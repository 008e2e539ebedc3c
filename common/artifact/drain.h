/*
 * The blocking middle of a production, run in a thread: reads the source's bytes from a pipe or a file,
 * compresses them into the staging file, digests what is written.
 *
 * A pipe ends when every process that holds its other end is gone, which need not be soon after the child: a
 * forgotten grandchild keeps it open. Therefore the loop tells of the child's end (drain_child_ended), and
 * what comes later than grace_ms after it, beyond what the pipe could still hold, ends the drain with `held`.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/error.h"
#include "storage/part_digests.h"

enum { DRAIN_TAIL = 512 };

struct drain {
    int in_fd;
    bool in_is_file;
    const char *in_name; /* for messages */
    int out_fd;
    struct part_digester *digester; /* new; the caller's: OpenSSL wants to be started in the first thread */
    const char *staging_dir;        /* for messages */
    int64_t grace_ms;
    _Atomic uint64_t *source_bytes; /* progress; may be NULL */
    _Atomic uint64_t *staged_bytes;

    int wake_fd; /* eventfd; only for a pipe */
    atomic_bool stop;
    atomic_bool child_ended;

    /* results */
    uint64_t in_bytes, out_bytes;
    char sha256[DIGEST_SHA256_SIZE];
    struct part_digests *parts; /* the caller's to free; NULL = none (memory, or too many parts) */
    char tail[DRAIN_TAIL];      /* the source's last bytes */
    size_t tail_n;
    bool stopped; /* by drain_stop */
    bool held;    /* the pipe stayed open after the child's end */
    struct error err;
};

/* Blocks until the source ends, a failure (err) or drain_stop. */
void drain_run(struct drain *drain);

/* From another thread, at any time. */
void drain_stop(struct drain *drain);
void drain_child_ended(struct drain *drain);
