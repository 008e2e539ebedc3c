/*
 * The statements over rows that have not ended, as queue/maintenance.c sends them: relay, reconciler and the
 * lock that lets one pass run at a time. Parameters and results stand beside each in unfinished.c.
 */
#pragma once

#include "loop/pg.h"

extern const struct pg_statement unfinished_begin;
extern const struct pg_statement unfinished_limit_silence;
extern const struct pg_statement unfinished_try_lock;
extern const struct pg_statement unfinished_say_something;
extern const struct pg_statement unfinished_commit;
extern const struct pg_statement unfinished_rollback;
extern const struct pg_statement unfinished_select_unqueued;
extern const struct pg_statement unfinished_stamp;
extern const struct pg_statement unfinished_is_due;
extern const struct pg_statement unfinished_list_queues;
extern const struct pg_statement unfinished_open_cursor;
extern const struct pg_statement unfinished_fetch;
extern const struct pg_statement unfinished_close_cursor;
extern const struct pg_statement unfinished_unstamp;
extern const struct pg_statement unfinished_ended_unnoticed;
/* At most UNFINISHED_FOLD_MAX changes of counts (sql/004_statistics.up.sql); the result is how many there
 * were. */
#define UNFINISHED_FOLD_MAX 20000
extern const struct pg_statement unfinished_fold_statistics;
extern const struct pg_statement unfinished_record;
