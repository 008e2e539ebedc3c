#include "artifact/drain.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "artifact/gzip_stream.h"
#include "base/clock.h"

enum {
    INPUT_SIZE = 256 * 1024,
    WRITEBACK_SIZE = 8 * 1024 * 1024, /* start writing to the disk in such steps: a short fsync at the end */
    BATCH_MS = 1,                     /* let a slow writer fill the pipe instead of waking for each piece */
};

static int write_block(void *data, const void *block, size_t n)
{
    struct drain *drain = data;
    const char *p = block;
    part_digester_update(drain->digester, block, n);
    for (size_t left = n; left > 0;) {
        ssize_t done = write(drain->out_fd, p, left);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0) {
            int rc = error_errno(&drain->err, errno, "writing the artifact to staging directory %.500s",
                                 drain->staging_dir);
            drain->err.retryable = true;
            return rc;
        }
        p += done;
        left -= (size_t)done;
    }
    uint64_t before = drain->out_bytes / WRITEBACK_SIZE;
    drain->out_bytes += n;
    if (drain->out_bytes / WRITEBACK_SIZE != before) /* a hint: errors show at the fsync */
        (void)sync_file_range(drain->out_fd, (off_t)(before * WRITEBACK_SIZE), WRITEBACK_SIZE,
                              SYNC_FILE_RANGE_WRITE);
    if (drain->staged_bytes)
        atomic_store_explicit(drain->staged_bytes, drain->out_bytes, memory_order_relaxed);
    return 0;
}

static void keep_tail(struct drain *drain, const char *data, size_t n)
{
    if (n >= sizeof drain->tail) {
        memcpy(drain->tail, data + n - sizeof drain->tail, sizeof drain->tail);
        drain->tail_n = sizeof drain->tail;
        return;
    }
    size_t keep = sizeof drain->tail - n;
    if (drain->tail_n < keep)
        keep = drain->tail_n;
    memmove(drain->tail, drain->tail + drain->tail_n - keep, keep);
    memcpy(drain->tail + keep, data, n);
    drain->tail_n = keep + n;
}

/* After the child's end: what the pipe could still hold is its own, more or later is a stranger's. */
struct ending {
    bool seen;
    int64_t deadline_ms;
    uint64_t in_bytes; /* when seen */
    uint64_t room;     /* of the pipe */
};

static void see_child_end(struct drain *drain, struct ending *ending)
{
    if (ending->seen || !atomic_load(&drain->child_ended))
        return;
    int room = fcntl(drain->in_fd, F_GETPIPE_SZ);
    *ending = (struct ending){true, clock_monotonic_ms() + drain->grace_ms, drain->in_bytes,
                              INPUT_SIZE + (room > 0 ? (uint64_t)room : 0)};
}

/* Whether to read on; if not, stopped, held or err says why. */
static bool may_read(struct drain *drain, struct ending *ending)
{
    see_child_end(drain, ending);
    drain->stopped = atomic_load(&drain->stop);
    drain->held = ending->seen && clock_monotonic_ms() >= ending->deadline_ms &&
                  drain->in_bytes - ending->in_bytes > ending->room;
    return !drain->stopped && !drain->held;
}

static bool wait_for_pipe(struct drain *drain, struct ending *ending)
{
    while (may_read(drain, ending)) {
        int64_t left_ms = ending->seen ? ending->deadline_ms - clock_monotonic_ms() : -1;
        if (ending->seen && left_ms < 0)
            left_ms = 0;
        struct pollfd fds[] = {{.fd = drain->in_fd, .events = POLLIN},
                               {.fd = drain->wake_fd, .events = POLLIN}};
        int n = poll(fds, 2, (int)left_ms);
        if (n < 0 && errno != EINTR) {
            error_errno(&drain->err, errno, "waiting for the output of %.200s", drain->in_name);
            return false;
        }
        if (n == 0) {
            drain->held = true;
            return false;
        }
        if (n > 0 && fds[1].revents) {
            uint64_t count;
            (void)!read(drain->wake_fd, &count, sizeof count);
        }
        if (n > 0 && fds[0].revents)
            return true;
    }
    return false;
}

/* Fills buffer, waiting for more until it is full or the source ends. *ret_end: no more. */
static size_t fill_from_pipe(struct drain *drain, struct ending *ending, char *buffer, bool *ret_end)
{
    size_t n = 0;
    *ret_end = !may_read(drain, ending);
    while (n < INPUT_SIZE && !*ret_end) {
        ssize_t got = read(drain->in_fd, buffer + n, INPUT_SIZE - n);
        if (got > 0) {
            n += (size_t)got;
            drain->in_bytes += (size_t)got;
        } else if (got == 0) {
            *ret_end = true;
        } else if (errno == EAGAIN) {
            if (n > 0)
                poll(NULL, 0, BATCH_MS);
            *ret_end = !wait_for_pipe(drain, ending);
        } else if (errno != EINTR) {
            error_errno(&drain->err, errno, "reading the output of %.200s", drain->in_name);
            *ret_end = true;
        }
    }
    return n;
}

static size_t fill_from_file(struct drain *drain, char *buffer, bool *ret_end)
{
    size_t n = 0;
    while (n < INPUT_SIZE && !*ret_end) {
        ssize_t got = read(drain->in_fd, buffer + n, INPUT_SIZE - n);
        if (got > 0) {
            n += (size_t)got;
        } else if (got == 0) {
            *ret_end = true;
        } else if (errno != EINTR) {
            int saved = errno;
            error_errno(&drain->err, saved, "reading %.600s", drain->in_name);
            drain->err.code = ERROR_SOURCE;
            drain->err.retryable = false;
            *ret_end = true;
        }
    }
    drain->in_bytes += n;
    if (atomic_load(&drain->stop)) {
        drain->stopped = true;
        *ret_end = true;
    }
    return n;
}

static void drain_stream(struct drain *drain, struct gzip_stream *gzip, char *buffer)
{
    struct ending ending = {0};
    bool end = false;
    while (!end) {
        size_t n = drain->in_is_file ? fill_from_file(drain, buffer, &end)
                                     : fill_from_pipe(drain, &ending, buffer, &end);
        if (drain->stopped || drain->held || drain->err.code)
            return;
        keep_tail(drain, buffer, n);
        if (drain->source_bytes)
            atomic_store_explicit(drain->source_bytes, drain->in_bytes, memory_order_relaxed);
        if (gzip_stream_write(gzip, buffer, n, end))
            return; /* write_block has said why */
    }
    drain->parts = part_digester_finish(drain->digester);
    part_digester_sha256(drain->digester, drain->sha256);
}

/* A file that somebody writes to while it is read is no backup of any moment. */
static void check_unchanged(struct drain *drain, const struct stat *before)
{
    struct stat after;
    if (drain->err.code || drain->stopped)
        return;
    if (fstat(drain->in_fd, &after) < 0)
        error_errno(&drain->err, errno, "examining %.600s", drain->in_name);
    else if ((uint64_t)before->st_size != drain->in_bytes || after.st_size != before->st_size ||
             after.st_mtim.tv_sec != before->st_mtim.tv_sec ||
             after.st_mtim.tv_nsec != before->st_mtim.tv_nsec)
        error_set(&drain->err, ERROR_SOURCE, false,
                  "%.600s changed while it was read (%" PRId64 " bytes at first, %" PRIu64
                  " read): back it up when nothing writes to it, or by a command that takes a snapshot",
                  drain->in_name, (int64_t)before->st_size, drain->in_bytes);
}

void drain_run(struct drain *drain)
{
    struct stat before = {0};
    if (drain->in_is_file) {
        if (fstat(drain->in_fd, &before) < 0) {
            error_errno(&drain->err, errno, "examining %.600s", drain->in_name);
            return;
        }
        posix_fadvise(drain->in_fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    }
    struct gzip_stream *gzip = gzip_stream_new(write_block, drain);
    char *buffer = malloc(INPUT_SIZE);
    if (gzip && buffer)
        drain_stream(drain, gzip, buffer);
    else
        error_set(&drain->err, ERROR_SYSTEM, true, "out of memory");
    if (drain->in_is_file)
        check_unchanged(drain, &before);
    free(buffer);
    gzip_stream_free(gzip);
}

static void wake(const struct drain *drain)
{
    uint64_t one = 1;
    if (drain->wake_fd >= 0)
        (void)!write(drain->wake_fd, &one, sizeof one);
}

void drain_stop(struct drain *drain)
{
    atomic_store(&drain->stop, true);
    wake(drain);
}

void drain_child_ended(struct drain *drain)
{
    atomic_store(&drain->child_ended, true);
    wake(drain);
}
