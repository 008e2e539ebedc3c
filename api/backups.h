/* Backups: rows of the table in routes.c. */
#pragma once

#include <jansson.h>
#include <libpq-fe.h>

#include "ask.h"
#include "route.h"

/* GET /api/backups, GET /api/backups/{id} */
void backups_list(struct api *api, struct http_request *request);
void backups_show(struct api *api, struct http_request *request);

/* POST /api/backups {database_id, ordering?}, with Idempotency-Key or without */
void backup_run(struct api *api, struct http_request *request);

/* POST /api/backups/{id}/retry {destination?}, POST /api/backups/{id}/cancel */
void backup_retry(struct api *api, struct http_request *request);
void backup_cancel(struct api *api, struct http_request *request);

/* The one row of store/backup_list.h's statements as answers show it; NULL when memory is out. */
json_t *backup_shown(const PGresult *result);

/* Asks for the backup that the path's first id names; done then takes it, the caller's, by backup_looked.
 * NULL: replied to. */
void backup_look(struct api *api, struct http_request *request, ask_fn done, void *data);
json_t *backup_looked(struct ask *ask, const struct pg_results *results);
