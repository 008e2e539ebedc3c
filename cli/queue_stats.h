/* What stands in Redis: queue/look.h, waited for. */
#pragma once

#include "cli.h"
#include "queue/look.h"

/* rows: of queue_rows. New array. */
int queue_look_wait(struct cli *cli, const json_t *rows, const struct queue_look *look, json_t **ret_found,
                    struct error *err);

/* QUEUE_LOOK_STATS with the lease as the time within which a worker must have been heard of. */
int queue_stats(struct cli *cli, const json_t *rows, json_t **ret_stats, struct error *err);

/* QUEUE_LOOK_WORKERS of one queue. */
int queue_workers(struct cli *cli, const char *queue, int64_t within_ms, json_t **ret_workers,
                  struct error *err);
