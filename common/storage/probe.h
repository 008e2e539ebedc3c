/*
 * Would a worker be able to use this place? Tried with a probe of a few bytes through the driver: settings,
 * place, write, see, read and compare, delete. The first failure ends the test; a probe that was written is
 * deleted in every case. What a failure means for people stands beside it.
 */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "base/error.h"
#include "storage/place.h"

enum { PROBE_ADVICE_SIZE = 256, PROBE_KEY_SIZE = 1100 };

enum probe_step {
    PROBE_SETTINGS,
    PROBE_PLACE,
    PROBE_WRITE,
    PROBE_SEE,
    PROBE_READ,
    PROBE_DELETE,
    PROBE_STEPS,
};

const char *probe_step_name(enum probe_step step); /* "write a probe" */

/* What to do about an error in this step; driver NULL: the settings could not be read. */
void probe_advice(enum probe_step step, const struct error *err, const struct storage_driver *driver,
                  char ret_advice[PROBE_ADVICE_SIZE]);

/* What copies get and a probe must not: retention would keep it there, an archive can't be read back. Takes
 * it out of place's settings and gives static sentences for people, at most two (NULL = nothing to say). */
void probe_unlock(struct storage_place *place, const char *ret_notes[2]);

/* Embedded in its owner. Set the first part, the rest is private. */
struct probe {
    uv_loop_t *loop;
    const struct storage_place *place; /* open, and outlives the probe */
    /* After each step, err NULL: fine. From the loop, the first one too. */
    void (*on_step)(struct probe *probe, enum probe_step step, const struct error *err);
    /* Once, from the loop, after the last step. ok: all steps were fine. */
    void (*done)(struct probe *probe, bool ok);
    void *data;

    enum probe_step step;
    bool failed;
    bool written;
    bool cancelled;
    int fd;
    char key[PROBE_KEY_SIZE];
    struct storage_op *op; /* NULL: none under way */
    struct storage_put put;
    struct storage_stat stat;
    struct storage_get get;
    struct storage_delete del;
    uv_timer_t begin;
};

/* done runs exactly once, never before return. */
void probe_start(struct probe *probe);
/* The step under way ends soon with ERROR_CANCELLED, the probe is still deleted. */
void probe_cancel(struct probe *probe);
