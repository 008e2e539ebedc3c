#include "storage/posix/posix.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/posix/disk.h"
#include "storage/posix/op.h"
#include "storage/posix/path.h"

#define TEMP_FENCES_MAX 64

void posix_op_init(struct posix_op *op, uv_loop_t *loop, void (*step)(struct posix_op *op, int lane))
{
    op->base.driver = &storage_posix;
    op->loop = loop;
    op->step = step;
    for (int i = 0; i < POSIX_LANES; i++) {
        op->lanes[i].op = op;
        op->lanes[i].index = i;
    }
}

static void on_work(uv_work_t *work)
{
    struct posix_lane *lane = work->data;
    lane->run(lane->op, lane->index, &lane->err);
}

static void on_after_work(uv_work_t *work, int status)
{
    struct posix_lane *lane = work->data;
    struct posix_op *op = lane->op;
    lane->busy = false;
    if (status == UV_ECANCELED)
        error_set(&lane->err, ERROR_CANCELLED, true, "cancelled");
    if (lane->err.code && !op->err.code)
        op->err = lane->err;
    op->step(op, lane->index);
}

void posix_op_submit(struct posix_op *op, int lane_index,
                     void (*run)(struct posix_op *op, int lane, struct error *err))
{
    struct posix_lane *lane = &op->lanes[lane_index];
    assert(!lane->busy);
    lane->busy = true;
    lane->run = run;
    lane->err.code = 0;
    lane->work.data = lane;
    int rc = uv_queue_work(op->loop, &lane->work, on_work, on_after_work);
    assert(rc == 0);
    (void)rc;
}

bool posix_op_busy(const struct posix_op *op)
{
    for (int i = 0; i < POSIX_LANES; i++)
        if (op->lanes[i].busy)
            return true;
    return false;
}

void posix_op_cancel(struct storage_op *base)
{
    struct posix_op *op = (struct posix_op *)base;
    atomic_store(&op->cancelled, true);
}

int posix_op_check_cancel(struct posix_op *op, struct error *err)
{
    if (!atomic_load(&op->cancelled))
        return 0;
    return error_set(err, ERROR_CANCELLED, true, "cancelled");
}

int posix_check(const struct storage_location *location, const char *key, struct error *err)
{
    int rc = path_check_base(location->base_path, err);
    if (rc == 0 && key)
        rc = path_check_key(key, err);
    if (rc == 0 && location->disk_identity && *location->disk_identity)
        rc = disk_check_shape(location->disk_identity, err);
    if (rc == 0 && location->config) {
        const json_t *read_back = json_object_get(location->config, "read_back");
        if (read_back && !json_is_boolean(read_back))
            rc = error_set(err, ERROR_INPUT, false, "storage_config: \"read_back\" must be true or false");
    }
    return rc;
}

int posix_open_base(const struct storage_location *location, int *ret_fd, struct error *err)
{
    int fd;
    int rc = path_open_base(location->base_path, &fd, err);
    if (rc < 0)
        return rc;
    rc = disk_check_identity(fd, location, err);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}

static int posix_identify(const struct storage_location *location, char **ret_identity, struct error *err)
{
    int rc = posix_check(location, NULL, err);
    if (rc < 0)
        return rc;
    int base_fd;
    rc = path_open_base(location->base_path, &base_fd, err);
    if (rc < 0)
        return rc;
    if (strcmp(location->storage_type, "local_external") == 0)
        rc = disk_identify(base_fd, location->base_path, ret_identity, err);
    else
        *ret_identity = NULL;
    close(base_fd);
    return rc;
}

/* stat and delete: one work item each. */

struct posix_stat {
    struct posix_op op; /* first */
    struct storage_stat *request;
    struct storage_stat_result result;
    int64_t unreadable_size;
};

static void run_stat(struct posix_op *op, int lane, struct error *err)
{
    (void)lane;
    struct posix_stat *self = (struct posix_stat *)op;
    const struct storage_location *location = &self->request->location;
    const char *key = self->request->key;
    int base_fd;
    if (posix_op_check_cancel(op, err) < 0 || posix_open_base(location, &base_fd, err) < 0)
        return;
    if (!path_join(location->base_path, key, self->result.absolute_path, sizeof self->result.absolute_path)) {
        error_set(err, ERROR_UNSAFE_PATH, false, "base_path and file path are longer than %zu bytes together",
                  sizeof self->result.absolute_path - 1);
    } else {
        struct stat st;
        int fd;
        int rc = path_open_object(base_fd, location->base_path, key, &fd, err);
        if (rc == 0) {
            if (fstat(fd, &st) < 0)
                error_errno(err, errno, "'%.300s' can't be read", self->result.absolute_path);
            self->result.exists = true;
            self->result.size = (uint64_t)st.st_size;
            close(fd);
        } else if (rc == ERROR_NOT_FOUND) {
            err->code = 0;
        } else {
            self->unreadable_size = path_object_size(base_fd, key);
        }
    }
    close(base_fd);
}

static void step_stat(struct posix_op *op, int lane)
{
    (void)lane;
    struct posix_stat *self = (struct posix_stat *)op;
    struct storage_stat *request = self->request;
    struct storage_stat_result result = self->result;
    struct error err = op->err;
    request->unreadable_size = self->unreadable_size;
    free(self);
    request->done(request, err.code ? NULL : &result, err.code ? &err : NULL);
}

static int posix_stat_start(struct storage_stat *request, struct storage_op **ret_op, struct error *err)
{
    int rc = posix_check(&request->location, request->key ? request->key : "", err);
    if (rc < 0)
        return rc;
    struct posix_stat *self = calloc(1, sizeof *self);
    if (self == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    self->request = request;
    self->unreadable_size = -1;
    posix_op_init(&self->op, request->loop, step_stat);
    posix_op_submit(&self->op, 0, run_stat);
    *ret_op = &self->op.base;
    return 0;
}

struct posix_delete {
    struct posix_op op; /* first */
    struct storage_delete *request;
    bool existed;
};

int posix_remove_temps(int dir_fd, int64_t row_id, int64_t last_fence)
{
    int removed = 0;
    int64_t first = last_fence > TEMP_FENCES_MAX ? last_fence - TEMP_FENCES_MAX + 1 : 1;
    for (int64_t fence = first; fence <= last_fence; fence++) {
        char temp[PATH_TEMP_NAME_SIZE];
        path_temp_name(row_id, fence, temp);
        if (unlinkat(dir_fd, temp, 0) == 0)
            removed++;
    }
    return removed;
}

/* Beside request->key: only the temporary file of this name. */
static void delete_upload(struct posix_delete *self, int dir_fd, struct error *err)
{
    const struct storage_delete *request = self->request;
    if (unlinkat(dir_fd, request->upload_id, 0) == 0)
        self->existed = true;
    else if (errno != ENOENT)
        error_errno(err, errno, "the temporary file '%.100s' below '%.200s' can't be removed",
                    request->upload_id, request->location.base_path);
}

static void delete_object(struct posix_delete *self, int dir_fd, const char *name, struct error *err)
{
    const struct storage_delete *request = self->request;
    if (request->key && request->upload_id) {
        delete_upload(self, dir_fd, err);
        return;
    }
    if (request->key == NULL) {
        self->existed = posix_remove_temps(dir_fd, request->row_id, request->fence) > 0;
        return;
    }
    if (unlinkat(dir_fd, name, 0) == 0) {
        self->existed = true;
        if (fsync(dir_fd) < 0)
            error_errno(err, errno, "the removal of '%.300s' below '%.200s' can't be made durable",
                        request->key, request->location.base_path);
    } else if (errno != ENOENT) {
        error_errno(err, errno, "'%.300s' below '%.200s' can't be removed", request->key,
                    request->location.base_path);
    }
}

static void run_delete(struct posix_op *op, int lane, struct error *err)
{
    (void)lane;
    struct posix_delete *self = (struct posix_delete *)op;
    const struct storage_delete *request = self->request;
    const char *key = request->key ? request->key : request->near_key;
    int base_fd;
    if (posix_op_check_cancel(op, err) < 0 || posix_open_base(&request->location, &base_fd, err) < 0)
        return;
    int dir_fd;
    const char *name;
    int rc = path_open_parent(base_fd, request->location.base_path, key, false, &dir_fd, &name, err);
    if (rc == 0) {
        delete_object(self, dir_fd, name, err);
        close(dir_fd);
    } else if (rc == ERROR_NOT_FOUND) {
        err->code = 0;
    }
    close(base_fd);
}

static void step_delete(struct posix_op *op, int lane)
{
    (void)lane;
    struct posix_delete *self = (struct posix_delete *)op;
    struct storage_delete *request = self->request;
    bool existed = self->existed;
    struct error err = op->err;
    free(self);
    request->done(request, err.code ? false : existed, err.code ? &err : NULL);
}

/* An upload's key may be the path of its temporary file (list), which isn't an object's. */
static int check_delete(const struct storage_delete *request, struct error *err)
{
    const char *key = request->key ? request->key : request->near_key;
    int64_t row_id, fence;
    if (request->key == NULL || request->upload_id == NULL)
        return posix_check(&request->location, key ? key : "", err);
    if (!path_is_temp_name(request->upload_id, &row_id, &fence))
        return error_set(err, ERROR_UNSAFE_PATH, false,
                         "'%.100s' is not the name of a temporary file of ours", request->upload_id);
    const char *slash = strrchr(key, '/');
    char beside[4096];
    snprintf(beside, sizeof beside, "%.*sx", slash ? (int)(slash + 1 - key) : 0, key);
    return posix_check(&request->location, beside, err);
}

static int posix_delete_start(struct storage_delete *request, struct storage_op **ret_op, struct error *err)
{
    int rc = check_delete(request, err);
    if (rc < 0)
        return rc;
    struct posix_delete *self = calloc(1, sizeof *self);
    if (self == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    self->request = request;
    posix_op_init(&self->op, request->loop, step_delete);
    posix_op_submit(&self->op, 0, run_delete);
    *ret_op = &self->op.base;
    return 0;
}

static const char *const storage_types[] = {"local", "local_external", NULL};

const struct storage_driver storage_posix = {
    .name = "posix",
    .storage_types = storage_types,
    .capabilities = STORAGE_CAP_CREATE_ONLY | STORAGE_CAP_LOCAL_PATH | STORAGE_CAP_LIST,
    .check = posix_check,
    .identify = posix_identify,
    .put_start = posix_put_start,
    .get_start = posix_get_start,
    .stat_start = posix_stat_start,
    .delete_start = posix_delete_start,
    .list_start = posix_list_start,
    .op_cancel = posix_op_cancel,
};
