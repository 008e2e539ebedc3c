/* One maintenance pass on behalf of a command. */
#pragma once

#include "cli.h"
#include "queue/maintenance.h"

int cli_maintenance(struct cli *cli, unsigned flags, struct maintenance_report *ret, struct error *err);

/* Puts rows just made or retried into Redis. When Redis can't be had, says so on stderr: the rows are safe in
 * PostgreSQL, and the next pass of a worker or the scheduler queues them. */
void cli_relay(struct cli *cli);
