/* The system at a glance: counts of backups, databases with their newest backup, what is being uploaded. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "loop/pg.h"

/* most_databases 0 = all. */
enum { STATUS_STATEMENTS = 3 };
int status_add(struct pg_request *request, int64_t most_databases);

/* From those statements' results, the first of which is results[0]: {"backups": {"total", ...}, "databases":
 * [...], "running": [...]}, the latter at most 100. NULL when memory is out. */
json_t *status_read(PGresult *const *results);
