/* What the workers' heartbeats say. */
#pragma once

#include <stdbool.h>

#include "loop/redis.h"

/* Whether a worker of this host has been heard of within its lease: from the answer of HGETALL
 * bm:{q}:workers. */
bool queue_host_is_alive(const redisReply *workers, const char *host);
