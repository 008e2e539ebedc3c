/* GET /api/backups/{id}/copies, /api/backups/{id}/copies/{id}: a backup's copies, by priority. */
#pragma once

#include "route.h"

void copies_list(struct api *api, struct http_request *request);
void copies_show(struct api *api, struct http_request *request);
