/* The queue: what stands in Redis, who works on it, pauses. */
#pragma once

#include "http.h"

struct api;

/* GET /api/queues, /api/queues/{name}, /api/queues/{name}/jobs?state=&limit=, /api/workers */
void queues_list(struct api *api, struct http_request *request);
void queues_show(struct api *api, struct http_request *request);
void queues_jobs(struct api *api, struct http_request *request);
void workers_list(struct api *api, struct http_request *request);

/* POST /api/queues/{name}/pause, /resume, /requeue-dead */
void queues_pause(struct api *api, struct http_request *request);
void queues_resume(struct api *api, struct http_request *request);
void queues_requeue_dead(struct api *api, struct http_request *request);
