/* What the operations of this driver share: blocking work in the thread pool, a few items at a time. */
#pragma once

#include <stdatomic.h>

#include "storage/driver.h"

#define POSIX_LANES 3

struct posix_op;

struct posix_lane {
    uv_work_t work;
    struct posix_op *op;
    int index;
    bool busy;
    void (*run)(struct posix_op *op, int lane, struct error *err); /* in the pool */
    struct error err;
};

struct posix_op {
    struct storage_op base; /* first */
    uv_loop_t *loop;
    atomic_bool cancelled;
    struct error err; /* the first error; loop thread, or the pool while one lane runs alone */
    struct posix_lane lanes[POSIX_LANES];
    void (*step)(struct posix_op *op, int lane); /* loop thread: that lane has become idle */
};

void posix_op_init(struct posix_op *op, uv_loop_t *loop, void (*step)(struct posix_op *op, int lane));
void posix_op_submit(struct posix_op *op, int lane,
                     void (*run)(struct posix_op *op, int lane, struct error *err));
bool posix_op_busy(const struct posix_op *op);
void posix_op_cancel(struct storage_op *op);

/* Fills err and returns ERROR_CANCELLED once cancel was asked for. Any thread. */
int posix_op_check_cancel(struct posix_op *op, struct error *err);

/* check() of the driver: what every _start begins with. */
int posix_check(const struct storage_location *location, const char *key, struct error *err);

/* Opens the base of the location and makes sure that it is the right disk. */
int posix_open_base(const struct storage_location *location, int *ret_fd, struct error *err);

/* Removes the temporary files of a row up to a fence (at most the last 64 fences: names are enumerable, no
 * directory is ever scanned). Returns how many there were. */
int posix_remove_temps(int dir_fd, int64_t row_id, int64_t last_fence);

int posix_put_start(struct storage_put *put, struct storage_op **ret_op, struct error *err);
int posix_get_start(struct storage_get *get, struct storage_op **ret_op, struct error *err);
int posix_list_start(struct storage_list *list, struct storage_op **ret_op, struct error *err);
