/* Rows of PostgreSQL as JSON objects: column names as keys, types kept (integers, booleans, json as such). */
#pragma once

#include <jansson.h>
#include <libpq-fe.h>

/* A new object; NULL when memory is out. */
json_t *json_row(const PGresult *result, int row);
/* A new array of objects; NULL when memory is out. */
json_t *json_rows(const PGresult *result);

/* SQL for a timestamptz as ISO 8601 UTC, whatever the session's zone. */
#define SQL_ISO(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
