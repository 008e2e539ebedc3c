/* gzip decoding beside the reading: bytes written to `in` come out decoded at the sink. */
#pragma once

#include <uv.h>

#include "base/error.h"

struct gunzip {
    int in;   /* write here; the caller closes nothing itself: gunzip_finish does */
    int from; /* the other end, the thread's */
    int sink;
    uv_thread_t thread;
    struct error err; /* the thread's, read after it has ended */
};

int gunzip_start(struct gunzip *g, int sink, struct error *err);

/* Closes `in` and waits for the last byte. ERROR_CORRUPT: not gzip, broken or cut off; or the sink's error.
 */
int gunzip_finish(struct gunzip *g, struct error *err);
