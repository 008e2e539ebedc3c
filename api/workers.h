/* GET /api/workers: who works, and on which copies. */
#pragma once

#include <jansson.h>

#include "http.h"

struct api;

/* found (taken over): of QUEUE_LOOK_WORKERS. Adds what PostgreSQL knows of the jobs they hold, and replies.
 */
void workers_reply(struct api *api, struct http_request *request, json_t *found);
