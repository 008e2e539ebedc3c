#include "copies.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What any of the `done` callbacks leaves behind. */
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
    int rc = storage_driver_find(columns->storage_type, &driver, err);
    if (rc)
        return rc;
    if (driver->capabilities & STORAGE_CAP_ACCESS) {
        access = cli_access(cli, err);
        if (access == NULL)
            return err->code;
    }
    return storage_place_open(ret, columns, realpath(cli->settings.legacy_base_path, legacy_base), access,
                              key, err);
}

/* Keys that can't be read are told by the copies that need them. */
static int read_copies(struct cli *cli, PGresult *result, struct copies *ret, struct error *err)
{
    char legacy_base[PATH_MAX];
    struct error no_keys = {0};
    struct access *access = cli_access(cli, &no_keys);
    int rc = copies_read(result, realpath(cli->settings.legacy_base_path, legacy_base),
                         access ? access : cli->access, ret, err);
    for (int i = 0; rc == 0 && access == NULL && i < ret->n; i++) {
        struct copy *c = &ret->all[i];
        if (c->place.driver && !(c->place.driver->capabilities & STORAGE_CAP_ACCESS))
            continue;
        storage_place_close(&c->place);
        c->err = no_keys;
    }
    return rc;
}

int copies_of(struct cli *cli, const json_t *backup, const char *destination, struct copies *ret,
              struct error *err)
{
    int64_t id = json_integer_value(json_object_get(backup, "id"));
    struct pg_client *pg = cli_pg(cli, err);
    struct pg_request *request = pg ? pg_request_new(pg) : NULL;
    struct pg_copy answer = {0};
    struct copies copies;
    if (pg == NULL)
        return err->code;
    if (request == NULL || copies_add_select(request, id, destination, 0)) {
        pg_request_free(request);
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    int rc = pg_run(request, &answer, err);
    if (rc == 0)
        rc = read_copies(cli, answer.results[0], &copies, err);
    if (rc)
        return rc;
    if (copies.n == 0) {
        copies_free(&copies);
        return error_set(err, ERROR_NOT_FOUND, false,
                         "backup '%s' has no copy%s%s; see backupctl backup show %lld",
                         json_string_value(json_object_get(backup, "name")), destination ? " at " : "",
                         destination ? destination : "", (long long)id);
    }
    *ret = copies;
    return 0;
}

static void on_worked(struct copy_work *work, bool existed, const struct error *err)
{
    struct outcome *o = work->data;
    take_end(o, work->loop, err);
    o->existed = existed;
}

int copies_work(struct cli *cli, const struct copy *copy, enum copy_work_kind kind, bool *ret_existed,
                struct error *err)
{
    struct outcome o = {0};
    struct copy_work *work = calloc(1, sizeof *work);
    if (work == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    *work = (struct copy_work){.loop = &cli->loop, .copy = copy, .kind = kind, .done = on_worked, .data = &o};
    int rc = wait_for(cli, copy_work_start(work, err), &o, err);
    free(work);
    if (rc == 0 && ret_existed)
        *ret_existed = o.existed;
    return rc;
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
