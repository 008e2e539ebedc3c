/* Questions to Redis, one at a time. */
#pragma once

#include <hiredis/hiredis.h>
#include <jansson.h>
#include <stdint.h>

#include "cli.h"

/* Words up to a NULL; NULL with err filled on failure. Free with freeReplyObject. */
redisReply *redis_ask(struct cli *cli, struct error *err, ...) __attribute__((sentinel));

/* An integer answer. */
int redis_ask_number(struct cli *cli, int64_t *ret_number, struct error *err, ...) __attribute__((sentinel));

/* The queues that PostgreSQL knows, or only --queue, known or not: new array of {queue, paused_at}; of names.
 */
int queue_rows(struct cli *cli, const struct arguments *args, json_t **ret_rows, struct error *err);
int queue_names(struct cli *cli, const struct arguments *args, json_t **ret_names, struct error *err);
