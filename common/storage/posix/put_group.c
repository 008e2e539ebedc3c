/*
 * Small files that are written at the same time become durable together. Two fsyncs each (file, directory)
 * would be two journal commits each; here one syncfs per cycle serves all of a file system:
 *
 *   cycle n     names those whose bytes cycle n-1 made durable, then syncfs, which makes those names durable
 *               and the bytes of all that were written since
 *
 * A file thus passes two cycles: bytes before name, as fsync, rename, fsync of the directory would have it.
 * syncfs alone does not tell which file failed (nor, before Linux 5.8, that one did): each file's own
 * write-back errors are asked for afterwards, which costs no disk access. Used on known disks only; a network
 * or FUSE file system may take syncfs for a no-op. Cycles of few files fsync one by one, so that a lone
 * upload never waits for what others have dirtied.
 *
 * Groups belong to the loop thread; only run_cycle is in the pool, and then the two lists of the cycle are
 * its.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "storage/posix/put.h"

#define SYNCFS_MIN 3

struct put_group {
    struct put_group *next;
    uv_loop_t *loop;
    dev_t device;
    uv_work_t work;
    struct posix_put *waiting, **waiting_end; /* written, for the next cycle */
    struct posix_put *syncing;                /* the cycle under way */
    struct posix_put *naming;
};

/* Of this thread's loops: few, one per file system with small uploads under way. */
static _Thread_local struct put_group *groups;

static void fail_all(struct posix_put *list, int errnum)
{
    for (struct posix_put *put = list; put; put = put->group_next) {
        if (put->op.err.code)
            continue;
        errno = errnum;
        put_fail_errno(put, &put->op.err, "making durable");
    }
}

static void sync_each(struct posix_put *list, bool directories)
{
    for (struct posix_put *put = list; put; put = put->group_next)
        if (!put->op.err.code && (!directories || put->published) &&
            fsync(directories ? put->dir_fd : put->temp_fd) < 0)
            put_fail_errno(put, &put->op.err, "making durable");
}

static void sync_all(struct put_group *group)
{
    const struct posix_put *any = group->syncing ? group->syncing : group->naming;
    if (syncfs(any->dir_fd) < 0) {
        int errnum = errno;
        fail_all(group->syncing, errnum);
        fail_all(group->naming, errnum);
    }
    for (struct posix_put *put = group->syncing; put; put = put->group_next)
        if (!put->op.err.code && sync_file_range(put->temp_fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE) < 0)
            put_fail_errno(put, &put->op.err, "making durable");
}

static void end_those_done(struct posix_put *list)
{
    for (struct posix_put *put = list; put; put = put->group_next) {
        if (!put->op.err.code && put->published)
            put_check_published(put, &put->op.err);
        if (put->op.err.code || put->published) {
            put_run_end(put);
            put->state = PUT_DONE;
        } else if (put->standing_fd >= 0) {
            put->state = PUT_COMPARE;
        }
    }
}

static void run_cycle(uv_work_t *work)
{
    struct put_group *group = work->data;
    int n = 0;
    for (struct posix_put *put = group->naming; put; put = put->group_next, n++)
        if (posix_op_check_cancel(&put->op, &put->op.err) == 0)
            put_give_name(put, &put->op.err);
    for (struct posix_put *put = group->syncing; put; put = put->group_next, n++)
        posix_op_check_cancel(&put->op, &put->op.err);
    if (n >= SYNCFS_MIN) {
        sync_all(group);
    } else {
        sync_each(group->syncing, false);
        sync_each(group->naming, true);
    }
    end_those_done(group->naming);
    end_those_done(group->syncing);
}

static void forget(struct put_group *group)
{
    struct put_group **at = &groups;
    while (*at != group)
        at = &(*at)->next;
    *at = group->next;
    free(group);
}

static void on_cycle_done(uv_work_t *work, int status);

static void start_cycle(struct put_group *group)
{
    group->syncing = group->waiting;
    group->waiting = NULL;
    group->waiting_end = &group->waiting;
    group->work.data = group;
    int rc = uv_queue_work(group->loop, &group->work, run_cycle, on_cycle_done);
    assert(rc == 0);
    (void)rc;
}

/* Moves those that leave the group from *list to *leaving. */
static void part(struct posix_put **list, struct posix_put **leaving)
{
    while (*list) {
        struct posix_put *put = *list;
        if (put->state == PUT_SYNC) {
            list = &put->group_next;
            continue;
        }
        *list = put->group_next;
        put->group_next = *leaving;
        *leaving = put;
    }
}

static void on_cycle_done(uv_work_t *work, int status)
{
    (void)status; /* never cancelled */
    struct put_group *group = work->data;
    struct posix_put *leaving = NULL;
    part(&group->naming, &leaving);
    assert(group->naming == NULL);
    part(&group->syncing, &leaving);
    group->naming = group->syncing;
    if (group->naming || group->waiting)
        start_cycle(group);
    else
        forget(group);

    while (leaving) {
        struct posix_put *put = leaving;
        leaving = put->group_next;
        if (put->state == PUT_DONE)
            put_finish(put);
        else
            put_continue_alone(put);
    }
}

static struct put_group *find_group(uv_loop_t *loop, dev_t device)
{
    for (struct put_group *group = groups; group; group = group->next)
        if (group->loop == loop && group->device == device)
            return group;
    return NULL;
}

void put_group_join(struct posix_put *self)
{
    struct put_group *group = find_group(self->op.loop, self->device);
    bool first = group == NULL;
    if (first) {
        group = calloc(1, sizeof *group);
        if (group == NULL) {
            put_continue_alone(self);
            return;
        }
        group->loop = self->op.loop;
        group->device = self->device;
        group->waiting_end = &group->waiting;
        group->next = groups;
        groups = group;
    }
    self->group_next = NULL;
    *group->waiting_end = self;
    group->waiting_end = &self->group_next;
    if (first)
        start_cycle(group);
}
