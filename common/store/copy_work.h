/*
 * What is done with one copy at its place: it is looked at (is it there, with the size on record), read whole
 * and compared with what is on record, or removed. One operation each, over the copy's storage driver.
 */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "store/copies.h"

enum copy_work_kind {
    COPY_LOOK,   /* there, and of the recorded size */
    COPY_READ,   /* the same, then every byte: SHA-256 and size */
    COPY_REMOVE, /* a completed copy's object; of another one only what its own attempts left: the final name
                    may be someone else's */
};

enum copy_work_state { COPY_WORK_NEW, COPY_WORK_LOOKS, COPY_WORK_READS, COPY_WORK_REMOVES };

/* Embedded in its owner. Set the first part, the rest is private. */
struct copy_work {
    uv_loop_t *loop;
    const struct copy *copy; /* outlives the work */
    enum copy_work_kind kind;
    /* Once, from the loop, never before copy_work_start returns. err NULL: as it should be. ERROR_NOT_FOUND:
     * the copy is not there; ERROR_CORRUPT: another size or SHA-256 than on record; else what the driver
     * says. existed: COPY_REMOVE found something to remove. */
    void (*done)(struct copy_work *work, bool existed, const struct error *err);
    void *data;

    enum copy_work_state state;
    struct storage_op *op;
    struct storage_stat stat;
    struct storage_get get;
    struct storage_delete del;
    bool existed;
    struct error err;
};

/* Or a negative code (the copy's own err when its place could not be opened), and done never runs. */
int copy_work_start(struct copy_work *work, struct error *err);
/* done runs soon with ERROR_CANCELLED, or with success; a disk that hangs delays it. */
void copy_work_cancel(struct copy_work *work);
/* Bytes read until now. */
uint64_t copy_work_bytes(struct copy_work *work);
