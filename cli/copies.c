#include "copies.h"

#include <stdio.h>
#include <string.h>
#include <uv.h>

/* What any of the four `done` callbacks leaves behind. */
struct outcome {
    struct error err;
    uint64_t size;
    char sha256[STORAGE_SHA256_SIZE];
    struct storage_stat_result stat;
    bool existed;
};

static void take_error(struct outcome *o, const struct error *err)
{
    if (err)
        o->err = *err;
}

static void on_put(struct storage_put *put, const struct storage_put_result *result, const struct error *err)
{
    (void)result;
    take_error(put->data, err);
}

static void on_get(struct storage_get *get, uint64_t size, const char *sha256, const struct error *err)
{
    struct outcome *o = get->data;
    take_error(o, err);
    if (err == NULL) {
        o->size = size;
        snprintf(o->sha256, sizeof o->sha256, "%s", sha256);
    }
}

static void on_stat(struct storage_stat *stat, const struct storage_stat_result *result,
                    const struct error *err)
{
    struct outcome *o = stat->data;
    take_error(o, err);
    if (err == NULL)
        o->stat = *result;
}

static void on_delete(struct storage_delete *del, bool existed, const struct error *err)
{
    struct outcome *o = del->data;
    take_error(o, err);
    o->existed = existed;
}

static int open_loop(uv_loop_t *loop, struct error *err)
{
    return uv_loop_init(loop) ? error_set(err, ERROR_SYSTEM, true, "cannot make an event loop") : 0;
}

/* rc is what _start returned. */
static int wait_for(uv_loop_t *loop, int rc, const struct outcome *o, struct error *err)
{
    uv_run(loop, UV_RUN_DEFAULT);
    uv_loop_close(loop);
    if (rc == 0 && o->err.code) {
        *err = o->err;
        return err->code;
    }
    return rc;
}

int copies_put(const struct copies_place *place, const char *key, int fd, uint64_t size, const char *sha256,
               struct error *err)
{
    uv_loop_t loop;
    struct outcome o = {0};
    struct storage_op *op;
    if (open_loop(&loop, err))
        return err->code;
    struct storage_put put = {.loop = &loop,
                              .location = *place->location,
                              .key = key,
                              .source_fd = fd,
                              .size = size,
                              .sha256 = sha256,
                              .done = on_put,
                              .data = &o};
    return wait_for(&loop, place->driver->put_start(&put, &op, err), &o, err);
}

int copies_get(const struct copies_place *place, const char *key, int target_fd, bool stream,
               uint64_t *ret_size, char *ret_sha256, struct error *err)
{
    uv_loop_t loop;
    struct outcome o = {0};
    struct storage_op *op;
    if (open_loop(&loop, err))
        return err->code;
    struct storage_get get = {.loop = &loop,
                              .location = *place->location,
                              .key = key,
                              .target_fd = target_fd,
                              .target_is_stream = stream,
                              .done = on_get,
                              .data = &o};
    int rc = wait_for(&loop, place->driver->get_start(&get, &op, err), &o, err);
    if (rc == 0) {
        *ret_size = o.size;
        memcpy(ret_sha256, o.sha256, sizeof o.sha256);
    }
    return rc;
}

int copies_stat(const struct copies_place *place, const char *key, struct storage_stat_result *ret,
                struct error *err)
{
    uv_loop_t loop;
    struct outcome o = {0};
    struct storage_op *op;
    if (open_loop(&loop, err))
        return err->code;
    struct storage_stat stat = {
        .loop = &loop, .location = *place->location, .key = key, .done = on_stat, .data = &o};
    int rc = wait_for(&loop, place->driver->stat_start(&stat, &op, err), &o, err);
    if (rc == 0)
        *ret = o.stat;
    return rc;
}

int copies_delete(const struct copies_place *place, const char *key, bool *ret_existed, struct error *err)
{
    uv_loop_t loop;
    struct outcome o = {0};
    struct storage_op *op;
    if (open_loop(&loop, err))
        return err->code;
    struct storage_delete del = {
        .loop = &loop, .location = *place->location, .key = key, .done = on_delete, .data = &o};
    int rc = wait_for(&loop, place->driver->delete_start(&del, &op, err), &o, err);
    if (rc == 0)
        *ret_existed = o.existed;
    return rc;
}

int copies_sweep(const struct copies_place *place, const char *key, int64_t row_id, int64_t fence,
                 struct error *err)
{
    uv_loop_t loop;
    struct outcome o = {0};
    struct storage_op *op;
    if (open_loop(&loop, err))
        return err->code;
    struct storage_delete del = {.loop = &loop,
                                 .location = *place->location,
                                 .near_key = key,
                                 .row_id = row_id,
                                 .fence = fence,
                                 .done = on_delete,
                                 .data = &o};
    return wait_for(&loop, place->driver->delete_start(&del, &op, err), &o, err);
}
