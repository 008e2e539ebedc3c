/*
 * The worker over a driver that stores nothing: what is measured is the cycle of a job (claim, take, artifact
 * opened, end, ack), not a disk. Settings as for backup-worker.
 *
 * An upload ends in the same turn of the loop in which it began, after everything that arrived in it was
 * handled; never inside put_start.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/settings.h"
#include "worker.h"

struct put_op {
    struct storage_op op;
    struct storage_put *put;
    struct put_op *next;
};

static uv_check_t after_poll;
static struct put_op *head, **tail = &head;

static void on_after_poll(uv_check_t *check)
{
    (void)check;
    struct put_op *list = head;
    head = NULL;
    tail = &head;
    while (list) {
        struct put_op *p = list;
        list = p->next;
        struct storage_put *put = p->put;
        struct storage_put_result result = {.size = put->size};
        memcpy(result.sha256, put->sha256, sizeof result.sha256);
        atomic_store(&put->bytes_done, put->size);
        free(p);
        put->done(put, &result, NULL);
    }
}

static int check(const struct storage_location *location, const char *key, struct error *err)
{
    (void)location, (void)key, (void)err;
    return 0;
}

static int put_start(struct storage_put *put, struct storage_op **ret_op, struct error *err);

static int delete_start(struct storage_delete *del, struct storage_op **ret_op, struct error *err)
{
    (void)del, (void)ret_op;
    return error_set(err, ERROR_UNSUPPORTED, false, "this driver stores nothing");
}

static int get_start(struct storage_get *get, struct storage_op **ret_op, struct error *err)
{
    (void)get, (void)ret_op;
    return error_set(err, ERROR_UNSUPPORTED, false, "this driver stores nothing");
}

static int stat_start(struct storage_stat *stat, struct storage_op **ret_op, struct error *err)
{
    (void)stat, (void)ret_op;
    return error_set(err, ERROR_UNSUPPORTED, false, "this driver stores nothing");
}

static void op_cancel(struct storage_op *op)
{
    (void)op; /* it ends in this turn anyway */
}

static const char *const storage_types[] = {"local", "local_external", NULL};
static const struct storage_driver stores_nothing = {
    .name = "nothing",
    .storage_types = storage_types,
    .capabilities = STORAGE_CAP_LOCAL_PATH,
    .check = check,
    .put_start = put_start,
    .get_start = get_start,
    .stat_start = stat_start,
    .delete_start = delete_start,
    .op_cancel = op_cancel,
};

static int put_start(struct storage_put *put, struct storage_op **ret_op, struct error *err)
{
    struct put_op *p = calloc(1, sizeof *p);
    if (p == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    p->op.driver = &stores_nothing;
    p->put = put;
    *tail = p;
    tail = &p->next;
    *ret_op = &p->op;
    return 0;
}

int main(int argc, char **argv)
{
    struct settings settings = {0};
    struct error err = {0};
    struct worker worker;
    uv_loop_t loop;
    int next;
    if (settings_load(&settings, SETTINGS_WORKER, argc, argv, &next, &err)) {
        fprintf(stderr, "bench_worker: %s\n", err.message);
        return 2;
    }
    log_init("bench_worker", settings.log_level, settings.log_format);
    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&loop);
    uv_check_init(&loop, &after_poll);
    uv_check_start(&after_poll, on_after_poll);
    uv_unref((uv_handle_t *)&after_poll);
    storage_driver_override(&stores_nothing);
    int status = 1;
    if (worker_init(&worker, &loop, &settings, &err))
        fprintf(stderr, "bench_worker: %s\n", err.message);
    else
        status = worker_run(&worker);
    uv_close((uv_handle_t *)&after_poll, NULL);
    worker_deinit(&worker);
    uv_loop_close(&loop);
    settings_deinit(&settings);
    return status;
}
