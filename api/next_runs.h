/* When a schedule runs next, as its row and the rules of store/schedule.h say. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Sets in schedule (an object with schedule_type, cron_expression, interval_value, timezone, is_active and
 * next_run_at):
 *
 *   next_run_at     in the past: due, it runs with the scheduler's next pass; null: never by itself
 *   next_runs       that and the ones after it, at most `count`
 *   schedule_error  why there are none although there should be; else null
 *
 * database_active: schedules of others don't run. now: Unix seconds. Blocking: one small file, the time zone.
 */
void next_runs_add(json_t *schedule, bool database_active, int64_t now, int count);
