#include "next_runs.h"

#include <string.h>

#include "base/clock.h"
#include "base/timestamp.h"
#include "base/utf8.h"
#include "store/schedule.h"

static const char *text_of(const json_t *schedule, const char *key)
{
    return json_string_value(json_object_get(schedule, key));
}

static json_t *time_text(int64_t seconds)
{
    char text[CLOCK_ISO8601_SIZE];
    clock_iso8601(seconds * 1000, text);
    return json_string(text);
}

static json_t *list_runs(const struct schedule_rule *rule, int64_t planned, int64_t now, int count)
{
    json_t *runs = json_array();
    int64_t at = schedule_rule_next(rule, now);
    if (planned && planned < at)
        json_array_append_new(runs, time_text(planned));
    while (at && (int)json_array_size(runs) < count) {
        json_array_append_new(runs, time_text(at));
        at = schedule_rule_next(rule, at);
    }
    return runs;
}

void next_runs_add(json_t *schedule, bool database_active, int64_t now, int count)
{
    struct schedule_rule rule = {0};
    struct error err = {0};
    const char *type = text_of(schedule, "schedule_type");
    const char *planned = text_of(schedule, "next_run_at");
    bool runs_by_itself = database_active && json_is_true(json_object_get(schedule, "is_active")) && type &&
                          strcmp(type, "manual") != 0;
    json_t *runs = NULL;
    if (runs_by_itself &&
        schedule_rule_load(type, text_of(schedule, "cron_expression"), text_of(schedule, "interval_value"),
                           text_of(schedule, "timezone"), &rule, NULL, &err) == 0) {
        int64_t planned_ms = planned ? timestamp_parse(planned) : 0;
        runs = list_runs(&rule, planned_ms > 0 ? planned_ms / 1000 : 0, now, count);
        schedule_rule_deinit(&rule);
    }
    if (runs == NULL)
        runs = json_array();
    json_t *first = json_array_get(runs, 0);
    json_object_set(schedule, "next_run_at", first ? first : json_null());
    json_object_set_new(schedule, "next_runs", runs);
    utf8_clean(err.message);
    json_object_set_new(schedule, "schedule_error", err.code ? json_string(err.message) : json_null());
}
