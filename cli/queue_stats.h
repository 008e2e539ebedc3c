/* How many jobs stand where. */
#pragma once

#include "cli.h"

/* One object per queue: ready, ready_by_priority, active, retry, parked, parked_by_reason, dead, workers,
 * paused_at. */
int queue_stats(struct cli *cli, const json_t *names, json_t **ret_stats, struct error *err);

/* Workers that were heard of within `within_ms`: objects of queue, worker, host, pid, seen_at, and what else
 * their heartbeat says. */
int queue_workers(struct cli *cli, const char *queue, int64_t within_ms, json_t **ret_workers,
                  struct error *err);
