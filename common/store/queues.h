/* Queues as PostgreSQL knows them: those that something names, and which are paused. */
#pragma once

#include "loop/pg.h"

/* {queue, paused_at}: "default" and those of destinations, of copies that are not finished, and of earlier
 * pauses, by name. name NULL = all. One statement; rows by json_rows. */
int queues_add_select(struct pg_request *request, const char *name);

/* Running uploads go on, none begins. One statement each; the result has a row {queue, paused_at} when that
 * changed something. After a resume a maintenance pass lets the parked jobs go on at once. */
int queues_add_pause(struct pg_request *request, const char *name);
int queues_add_resume(struct pg_request *request, const char *name);
