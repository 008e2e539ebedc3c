/*
 * When a schedule fires: pure decisions from what its row says and what time it is. Instants are Unix
 * seconds; 0 stands for none.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/cron.h"
#include "base/error.h"
#include "base/timezone.h"

struct schedule_rule {
    bool manual; /* never fires by itself */
    struct cron cron;
    struct time_zone *zone;
};

/*
 * From the row's schedule_type (cron, interval, manual), cron_expression, interval_value (hourly, daily,
 * weekly, monthly) and timezone; each may be NULL. ERROR_INPUT names the thing and the way out, and
 * *ret_field (ret_field may be NULL) is which of them it is, a literal. Blocking: one small file. Free it
 * with schedule_rule_deinit.
 */
int schedule_rule_load(const char *schedule_type, const char *cron_expression, const char *interval_value,
                       const char *timezone, struct schedule_rule *ret_rule, const char **ret_field,
                       struct error *err);
void schedule_rule_deinit(struct schedule_rule *rule);

/* The first instant after `after`; 0 for a manual one. For a new schedule's next_run_at. */
int64_t schedule_rule_next(const struct schedule_rule *rule, int64_t after);

enum schedule_misfire {
    SCHEDULE_SKIP, /* runs at most grace_seconds late */
    SCHEDULE_ONCE, /* one run for all that are due, with the latest fire time */
    SCHEDULE_ALL,  /* each one that is due, the newest `cap` of them */
};

/* "skip", "once", "all"; anything else is ERROR_INPUT. */
int schedule_misfire_parse(const char *name, enum schedule_misfire *ret_misfire, struct error *err);

struct schedule_policy {
    enum schedule_misfire misfire;
    int64_t grace_seconds;
    int cap; /* also of runs within the grace; 1 or more */
};

/*
 * What is to be done now. The schedule is due when next_run_at, the row's, is in the past: for the rule's
 * times since then or, when there are none, for next_run_at itself (setting it is how a run is asked for). 0
 * means that the schedule is new and nothing is made up for. Writes the fire times in order to fires (room
 * for policy->cap) and returns how many; *ret_next is the row's next_run_at once these have run. While
 * nothing is due it is the earlier one of next_run_at and the rule's next.
 */
int schedule_plan(const struct schedule_rule *rule, const struct schedule_policy *policy, int64_t next_run_at,
                  int64_t now, int64_t *fires, int64_t *ret_next);
