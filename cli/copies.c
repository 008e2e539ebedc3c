#include "copies.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What any of the four `done` callbacks leaves behind. */
struct outcome {
    struct error err;
    uint64_t size;
    char sha256[STORAGE_SHA256_SIZE];
    struct storage_stat_result stat;
    bool existed;
    bool ended;
};

/* uv_stop: the answer may come from a timer, and a run goes on to wait for events after those. */
static void take_end(struct outcome *o, uv_loop_t *loop, const struct error *err)
{
    o->ended = true;
    uv_stop(loop);
    if (err)
        o->err = *err;
}

static void on_put(struct storage_put *put, const struct storage_put_result *result, const struct error *err)
{
    (void)result;
    take_end(put->data, put->loop, err);
}

static void on_get(struct storage_get *get, uint64_t size, const char *sha256, const struct error *err)
{
    struct outcome *o = get->data;
    take_end(o, get->loop, err);
    if (err == NULL) {
        o->size = size;
        snprintf(o->sha256, sizeof o->sha256, "%s", sha256);
    }
}

static void on_stat(struct storage_stat *stat, const struct storage_stat_result *result,
                    const struct error *err)
{
    struct outcome *o = stat->data;
    take_end(o, stat->loop, err);
    if (err == NULL)
        o->stat = *result;
}

static void on_delete(struct storage_delete *del, bool existed, const struct error *err)
{
    struct outcome *o = del->data;
    take_end(o, del->loop, err);
    o->existed = existed;
}

/* rc is what _start returned. */
static int wait_for(struct cli *cli, int rc, const struct outcome *o, struct error *err)
{
    while (rc == 0 && !o->ended)
        if (uv_run(&cli->loop, UV_RUN_ONCE) == 0 && !o->ended)
            return error_set(err, ERROR_SYSTEM, false,
                             "an operation at a destination ended without an answer");
    if (rc == 0 && o->err.code) {
        *err = o->err;
        return err->code;
    }
    return rc;
}

int copies_open(struct cli *cli, const struct storage_columns *columns, const char *key,
                struct storage_place *ret, struct error *err)
{
    const struct storage_driver *driver;
    struct access *access = NULL;
    char legacy_base[PATH_MAX];
    const char *base = NULL;
    int rc = storage_driver_find(columns->storage_type, &driver, err);
    if (rc)
        return rc;
    if (driver->capabilities & STORAGE_CAP_ACCESS) {
        access = cli_access(cli, err);
        if (access == NULL)
            return err->code;
    } else if (columns->base_path == NULL || *columns->base_path == '\0')
        base = realpath(cli->settings.legacy_base_path, legacy_base);
    return storage_place_open(ret, columns, base, access, key, err);
}

int copies_put(struct cli *cli, const struct storage_place *place, const char *key, int fd, uint64_t size,
               const char *sha256, struct error *err)
{
    struct outcome o = {0};
    struct storage_op *op;
    struct storage_put put = {.loop = &cli->loop,
                              .location = place->location,
                              .key = key,
                              .source_fd = fd,
                              .size = size,
                              .sha256 = sha256,
                              .done = on_put,
                              .data = &o};
    return wait_for(cli, place->driver->put_start(&put, &op, err), &o, err);
}

int copies_get(struct cli *cli, const struct storage_place *place, const char *key, int target_fd,
               bool stream, uint64_t *ret_size, char *ret_sha256, struct error *err)
{
    struct outcome o = {0};
    struct storage_op *op;
    struct storage_get get = {.loop = &cli->loop,
                              .location = place->location,
                              .key = key,
                              .target_fd = target_fd,
                              .target_is_stream = stream,
                              .done = on_get,
                              .data = &o};
    int rc = wait_for(cli, place->driver->get_start(&get, &op, err), &o, err);
    if (rc == 0) {
        *ret_size = o.size;
        memcpy(ret_sha256, o.sha256, sizeof o.sha256);
    }
    return rc;
}

int copies_stat(struct cli *cli, const struct storage_place *place, const char *key,
                struct storage_stat_result *ret, struct error *err)
{
    struct outcome o = {0};
    struct storage_op *op;
    struct storage_stat stat = {
        .loop = &cli->loop, .location = place->location, .key = key, .done = on_stat, .data = &o};
    int rc = wait_for(cli, place->driver->stat_start(&stat, &op, err), &o, err);
    if (rc == 0)
        *ret = o.stat;
    return rc;
}

static int run_delete_op(struct cli *cli, const struct storage_place *place, struct storage_delete *del,
                         bool *ret_existed, struct error *err)
{
    struct outcome o = {0};
    struct storage_op *op;
    del->loop = &cli->loop;
    del->location = place->location;
    del->done = on_delete;
    del->data = &o;
    int rc = wait_for(cli, place->driver->delete_start(del, &op, err), &o, err);
    if (rc == 0)
        *ret_existed = o.existed;
    return rc;
}

int copies_delete(struct cli *cli, const struct storage_place *place, const char *key, bool *ret_existed,
                  struct error *err)
{
    struct storage_delete del = {.key = key};
    return run_delete_op(cli, place, &del, ret_existed, err);
}

int copies_abort(struct cli *cli, const struct storage_place *place, const char *key, const char *upload_id,
                 bool *ret_existed, struct error *err)
{
    struct storage_delete del = {.key = key, .upload_id = upload_id};
    return run_delete_op(cli, place, &del, ret_existed, err);
}

int copies_sweep(struct cli *cli, const struct storage_place *place, const char *key, int64_t row_id,
                 int64_t fence, const char *resume_state, struct error *err)
{
    bool existed;
    struct storage_delete del = {
        .near_key = key, .resume_state = resume_state, .row_id = row_id, .fence = fence};
    return run_delete_op(cli, place, &del, &existed, err);
}

static void on_list(struct storage_list *list, const struct error *err)
{
    take_end(list->data, list->loop, err);
}

struct listing {
    struct outcome outcome; /* first: on_list */
    bool (*on_entry)(void *data, const struct storage_entry *entry);
    void *data;
};

static bool on_entry(struct storage_list *list, const struct storage_entry *entry)
{
    struct listing *l = list->data;
    return l->on_entry(l->data, entry);
}

int copies_list(struct cli *cli, const struct storage_place *place, enum storage_list_kind kind,
                const char *prefix, bool (*each)(void *data, const struct storage_entry *entry), void *data,
                struct error *err)
{
    struct storage_op *op;
    struct listing l = {.on_entry = each, .data = data};
    struct storage_list list = {.loop = &cli->loop,
                                .location = place->location,
                                .prefix = prefix,
                                .kind = kind,
                                .on_entry = on_entry,
                                .done = on_list,
                                .data = &l};
    if (!(place->driver->capabilities & STORAGE_CAP_LIST))
        return error_set(err, ERROR_UNSUPPORTED, false, "a destination of type %s can't be listed",
                         place->location.storage_type);
    return wait_for(cli, place->driver->list_start(&list, &op, err), &l.outcome, err);
}
