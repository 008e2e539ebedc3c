/*
 * The things that people configure: databases (sources) and their groups, destinations, schedules, and which
 * destination serves which database. One description per kind (catalog_kinds.c) drives the SQL and the
 * checks; rows travel as JSON objects whose keys are the column names.
 *
 * The functions catalog_add_* put statements into a request of the caller, who sends it as it likes
 * (pg_request_send on a loop, pg_run in a command) and reads the result with the matching catalog_read_*.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/settings.h"
#include "loop/pg.h"

enum catalog_kind {
    CATALOG_DATABASE,
    CATALOG_DESTINATION,
    CATALOG_SCHEDULE,
    CATALOG_GROUP,
    CATALOG_ASSIGNMENT
};

/* "database", "destination", "schedule", "group", "assignment". */
const char *catalog_kind_name(enum catalog_kind kind);

/*
 * The row to write: `changes` (column -> value, null = none) over `current` (as catalog_read_*
 * gives it; NULL = a new row with defaults), checked as a whole, paths made absolute, disk identity recorded,
 * a schedule's next run computed; over a current row only what differs is left, beside id, name and
 * database_id. Switching off, and a database's name, description and group alone, ask nothing of the rest of
 * the row. The key accept_disk (true) in the changes of a destination records the disk that is there now;
 * opened_config is what its sealed storage_config opens to, for the driver's check alone.
 *
 * *ret_field (ret_field may be NULL): on failure the column that must be written differently, a literal, or
 * NULL when it is nobody's.
 *
 * Blocking: looks at directories, never at a server. ERROR_INPUT, ERROR_UNSAFE_PATH, ERROR_UNSUPPORTED, and
 * what a disk's identification may give; nothing is changed then. settings->credentials_default is used.
 * now_ms: wall clock.
 */
int catalog_apply(enum catalog_kind kind, const json_t *current, const json_t *changes,
                  const struct settings *settings, int64_t now_ms, json_t **ret_row, const char **ret_field,
                  struct error *err);

/* Whether catalog_apply will look at a directory or file: on a loop that is something for the thread pool. */
bool catalog_apply_blocks(enum catalog_kind kind, const json_t *current, const json_t *changes);

/*
 * All rows, or those that `reference` means: the id when it is a number that exists, else the name. For
 * schedules database_id (0 = any) narrows the choice. Not for assignments, which have no name. One statement.
 * Returns 0 or -1 (memory).
 */
int catalog_add_select(struct pg_request *request, enum catalog_kind kind, const char *reference,
                       int64_t database_id);

/* As text, NULL = whatever it is. Given for a kind that has no such thing, nothing is found. */
struct catalog_filter {
    const char *text;           /* is part of the name, the description, ...; without regard to case */
    const char *active;         /* "true", "false": is_active, enabled */
    const char *database_id;    /* a schedule's, an assignment's; of a destination: one that it serves */
    const char *destination_id; /* an assignment's */
    const char *schedule_id;    /* an assignment's */
    const char *storage_type;   /* a destination's, also that of an assignment */
};

/* Those with an id above `after`, at most `limit`, by id; filter may be NULL. One statement. */
int catalog_add_page(struct pg_request *request, enum catalog_kind kind, int64_t after, int64_t limit,
                     const struct catalog_filter *filter);
/* The one with that id; 0: the one that catalog_add_insert made in this request. One statement. */
int catalog_add_one(struct pg_request *request, enum catalog_kind kind, int64_t id);
/* One row with one text, which is another one after any change of the row. One statement; to be asked for
 * before the row itself, so that it is never newer than what was read. */
int catalog_add_version(struct pg_request *request, enum catalog_kind kind, int64_t id);
/* New array of rows; secrets in storage_config are shown as "***" (catalog_redact). */
json_t *catalog_read_rows(const PGresult *result, enum catalog_kind kind);
/* Exactly one: ERROR_NOT_FOUND, or ERROR_INPUT when a name is ambiguous (asks for the id). New reference. */
int catalog_read_one(const PGresult *result, enum catalog_kind kind, const char *reference, json_t **ret_row,
                     struct error *err);

/* Replaces what is sealed in row's storage_config, and what storage_config_parse would refuse, by "***". */
void catalog_redact(json_t *row);

/* A new row. Two statements; the second's result has the new id, or no row when the name is taken
 * (ERROR_EXISTS by catalog_read_inserted) or what it refers to is not there. */
int catalog_add_insert(struct pg_request *request, enum catalog_kind kind, const json_t *row);
int catalog_read_inserted(const PGresult *result, enum catalog_kind kind, const json_t *row, int64_t *ret_id,
                          struct error *err);

/* The columns in row, as catalog_apply gave it for a current row; version: only while it has that one, NULL =
 * in any case. Two statements; no row in the second's result: gone, changed, or catalog_add_obstacles says
 * why. */
int catalog_add_update(struct pg_request *request, enum catalog_kind kind, const json_t *row,
                       const char *version);

/* After one of these, and when it wrote nothing: why. One statement: (field, message, taken) for each reason;
 * taken: somebody else has that, else the value can't be right. */
int catalog_add_obstacles(struct pg_request *request, enum catalog_kind kind, const json_t *row);

/* Removes a row by id. Statements: CATALOG_REMOVE_STATEMENTS, the last one's result has the id when it was
 * removed; no row: something still needs it (catalog_read_removed says what), or it has another version. */
enum { CATALOG_REMOVE_STATEMENTS = 3 };
int catalog_add_remove(struct pg_request *request, enum catalog_kind kind, int64_t id, const char *version);
/* One statement, one row with one text: what needs it and the way out; NULL: nothing does. */
int catalog_add_needed(struct pg_request *request, enum catalog_kind kind, int64_t id);
int catalog_read_removed(const PGresult *result, enum catalog_kind kind, const json_t *row,
                         struct error *err);

/* schedule_id 0: for every backup of the database; priority < 0: the destination's own. Assigning again
 * changes the priority. One statement each; unassign's result has a row when there was something. */
int catalog_add_assign(struct pg_request *request, int64_t destination_id, int64_t database_id,
                       int64_t schedule_id, int64_t priority);
int catalog_add_unassign(struct pg_request *request, int64_t destination_id, int64_t database_id,
                         int64_t schedule_id);

/* Letters, digits, '-' and '_', 1 to 64 of them. */
int catalog_check_queue(const char *name, struct error *err);
