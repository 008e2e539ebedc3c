/*
 * Jobs for rows that this program has just made, retried or unpaused: maintenance passes beside the requests.
 *
 *   idle -> a pass -> what was asked for meanwhile: another pass -> idle
 *
 * Nobody waits for a pass: the rows are committed before, and a worker or the scheduler queues what this
 * program can't (Redis away, or this program gone).
 */
#pragma once

#include "base/error.h"
#include "queue/maintenance.h"

struct api;
struct relays;

/* Over the api's loop, settings, pg and redis, which must be there. Connects to nothing yet. */
int relays_new(struct api *api, struct relays **ret_relays, struct error *err);

/*
 * A pass soon, over api->relays, that sees every row committed before this call; any number of calls while
 * one is under way make one further pass. flags of queue/maintenance.h: MAINTENANCE_RELAY for rows just made
 * or retried (runs beside whoever holds the lock), MAINTENANCE_RECONCILE | MAINTENANCE_NOW when parked jobs
 * are to be judged again as well (a resume); the lock may then be waited for some seconds, after which it is
 * left to the next pass of whoever held it. Failures are logged. Nothing happens once relays are closed.
 */
void relay_soon(struct api *api, unsigned maintenance_flags);

/* A pass under way ends before this returns; the memory goes when the loop has closed the handles. Before
 * api->pg and api->redis are closed. NULL does nothing. */
void relays_close(struct relays *relays);
