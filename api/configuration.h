/* What people configure (catalog.h): rows of the table in routes.c. */
#pragma once

#include "route.h"

void databases_list(struct api *api, struct http_request *request);
void databases_show(struct api *api, struct http_request *request);
void databases_create(struct api *api, struct http_request *request);
void databases_change(struct api *api, struct http_request *request);
void databases_remove(struct api *api, struct http_request *request);

void destinations_list(struct api *api, struct http_request *request);
void destinations_show(struct api *api, struct http_request *request);
void destinations_create(struct api *api, struct http_request *request);
void destinations_change(struct api *api, struct http_request *request);
void destinations_remove(struct api *api, struct http_request *request);

void assignments_list(struct api *api, struct http_request *request);
void assignments_show(struct api *api, struct http_request *request);
void assignments_create(struct api *api, struct http_request *request);
void assignments_change(struct api *api, struct http_request *request);
void assignments_remove(struct api *api, struct http_request *request);

void schedules_list(struct api *api, struct http_request *request);
void schedules_show(struct api *api, struct http_request *request);
void schedules_create(struct api *api, struct http_request *request);
void schedules_change(struct api *api, struct http_request *request);
void schedules_remove(struct api *api, struct http_request *request);

/* When a schedule would run, saved or not: ?count= (1 to 100, default 10), ?after= (a time, default now). */
void schedules_preview(struct api *api, struct http_request *request);
void schedules_preview_unsaved(struct api *api, struct http_request *request);

void groups_list(struct api *api, struct http_request *request);
void groups_show(struct api *api, struct http_request *request);
void groups_create(struct api *api, struct http_request *request);
void groups_change(struct api *api, struct http_request *request);
void groups_remove(struct api *api, struct http_request *request);
