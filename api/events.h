/*
 * GET /api/events: live progress as Server-Sent Events (HTML, "Server-sent events").
 *
 *   backup         a backup and all its copies, as they are now
 *   backup_deleted {id}
 *   queue          {queues: as GET /api/queues}: when it changed, every EVENTS_QUEUE_MS at most
 *   configuration  {kind, id, name, database_id, action}: somebody changed what is configured
 *   operation      {id, kind, backup_id, destination_id, state, bytes_done, bytes_total, error_message}
 *   reset          {reason}: load everything anew now; what changes from here on is told
 *
 * A stream begins with `reset`, or with what was missed since Last-Event-ID. All streams stand on one
 * event_source and one event_log; a client that takes its events too slowly is cut, and comes back with
 * Last-Event-ID. Nobody listens: nothing is asked, and PostgreSQL notifies nobody.
 */
#pragma once

#include "base/error.h"
#include "http.h"

enum { EVENTS_QUEUE_MS = 2000 };

struct api;
struct events;

int events_new(struct api *api, struct events **ret_events, struct error *err);
/* Before the clients and the server are closed; then the server's end closes the streams, and the memory goes
 * when the loop has closed the handles. NULL does nothing. */
void events_close(struct events *events);

/* GET /api/events?database_id=&backup_id=&types= */
void events_get(struct api *api, struct http_request *request);
