#include "queue_stats.h"

struct waited {
    json_t *found;
    struct error err;
    bool done;
};

static void on_found(void *data, json_t *found, const struct error *err)
{
    struct waited *w = data;
    w->found = found;
    if (err)
        w->err = *err;
    w->done = true;
}

int queue_look_wait(struct cli *cli, const json_t *rows, const struct queue_look *look, json_t **ret_found,
                    struct error *err)
{
    struct waited w = {0};
    struct redis_client *redis = cli_redis(cli, err);
    if (redis == NULL || queue_look(redis, rows, look, on_found, &w, err))
        return err->code;
    while (!w.done)
        uv_run(&cli->loop, UV_RUN_ONCE);
    if (w.found == NULL) {
        *err = w.err;
        return err->code;
    }
    *ret_found = w.found;
    return 0;
}

int queue_stats(struct cli *cli, const json_t *rows, json_t **ret_stats, struct error *err)
{
    struct queue_look look = {.kind = QUEUE_LOOK_STATS, .within_ms = cli->settings.lease_seconds * 1000};
    return queue_look_wait(cli, rows, &look, ret_stats, err);
}

int queue_workers(struct cli *cli, const char *queue, int64_t within_ms, json_t **ret_workers,
                  struct error *err)
{
    struct queue_look look = {.kind = QUEUE_LOOK_WORKERS, .within_ms = within_ms};
    json_t *rows = json_pack("[{s:s, s:n}]", "queue", queue, "paused_at");
    int rc = rows ? queue_look_wait(cli, rows, &look, ret_workers, err)
                  : error_set(err, ERROR_SYSTEM, false, "out of memory");
    json_decref(rows);
    return rc;
}
