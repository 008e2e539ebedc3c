#include "gunzip.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum { BLOCK = 128 * 1024 };

static int write_all(int fd, const unsigned char *data, size_t n, struct error *err)
{
    while (n > 0) {
        ssize_t done = write(fd, data, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return error_errno(err, errno, "the output can't be written");
        data += done;
        n -= (size_t)done;
    }
    return 0;
}

/* One block of input through the decoder; *at_end: between two members, where the file may end. */
static int decode(struct gunzip *g, z_stream *z, unsigned char *out, bool *at_end)
{
    while (z->avail_in > 0) {
        if (*at_end)
            inflateReset(z); /* gzip files may be concatenated */
        *at_end = false;
        z->next_out = out;
        z->avail_out = BLOCK;
        int rc = inflate(z, Z_NO_FLUSH);
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
            return error_set(&g->err, ERROR_CORRUPT, false, "the copy is not a whole gzip file: %s",
                             z->msg ? z->msg : "broken data");
        if (write_all(g->sink, out, BLOCK - z->avail_out, &g->err))
            return g->err.code;
        *at_end = rc == Z_STREAM_END;
    }
    return 0;
}

/* After an error the rest of the input is read and dropped, so that the writer never waits for us. */
static void run(void *data)
{
    struct gunzip *g = data;
    static _Thread_local unsigned char in[BLOCK];
    static _Thread_local unsigned char out[BLOCK];
    z_stream z = {0};
    bool at_end = false;
    bool failed = inflateInit2(&z, 15 + 16) != Z_OK;
    if (failed)
        error_set(&g->err, ERROR_SYSTEM, true, "out of memory");
    for (;;) {
        ssize_t n = read(g->from, in, sizeof in);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        z.next_in = in;
        z.avail_in = (unsigned)n;
        if (!failed)
            failed = decode(g, &z, out, &at_end) != 0;
    }
    if (!failed && !at_end)
        error_set(&g->err, ERROR_CORRUPT, false, "the copy is not a whole gzip file: it is cut off");
    inflateEnd(&z);
}

int gunzip_start(struct gunzip *g, int sink, struct error *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC))
        return error_errno(err, errno, "cannot make a pipe");
    *g = (struct gunzip){.in = ends[1], .from = ends[0], .sink = sink};
    if (uv_thread_create(&g->thread, run, g)) {
        close(ends[0]);
        close(ends[1]);
        return error_set(err, ERROR_SYSTEM, true, "cannot start a thread");
    }
    return 0;
}

int gunzip_finish(struct gunzip *g, struct error *err)
{
    close(g->in);
    uv_thread_join(&g->thread);
    close(g->from);
    if (g->err.code)
        *err = g->err;
    return g->err.code;
}
