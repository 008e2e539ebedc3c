#include "store/schedule.h"

#include <string.h>

static const struct {
    const char *name;
    const char *expression;
} intervals[] = {{"hourly", "@hourly"}, {"daily", "@daily"}, {"weekly", "@weekly"}, {"monthly", "@monthly"}};

static int parse_interval(const char *value, struct cron *ret_cron, struct error *err)
{
    for (size_t i = 0; value && i < sizeof intervals / sizeof *intervals; i++)
        if (strcmp(value, intervals[i].name) == 0)
            return cron_parse(intervals[i].expression, ret_cron, err);
    return error_set(err, ERROR_INPUT, false, "interval '%.60s' is not hourly, daily, weekly or monthly",
                     value ? value : "");
}

int schedule_rule_load(const char *schedule_type, const char *cron_expression, const char *interval_value,
                       const char *timezone, struct schedule_rule *ret_rule, const char **ret_field,
                       struct error *err)
{
    struct schedule_rule rule = {0};
    const char *type = schedule_type ? schedule_type : "";
    int rc;
    if (strcmp(type, "manual") == 0) {
        *ret_rule = (struct schedule_rule){.manual = true};
        return 0;
    }
    const char *wrong = "schedule_type";
    if (strcmp(type, "interval") == 0) {
        wrong = "interval_value";
        rc = parse_interval(interval_value, &rule.cron, err);
    } else if (strcmp(type, "cron") != 0) {
        rc =
            error_set(err, ERROR_INPUT, false, "schedule type '%.60s' is not cron, interval or manual", type);
    } else {
        wrong = "cron_expression";
        rc = cron_expression
                 ? cron_parse(cron_expression, &rule.cron, err)
                 : error_set(err, ERROR_INPUT, false, "a schedule of type cron needs a cron expression");
    }
    if (rc == 0) {
        wrong = "timezone";
        rc = timezone_load(timezone ? timezone : "UTC", &rule.zone, err);
    }
    if (rc == 0)
        *ret_rule = rule;
    else if (ret_field)
        *ret_field = wrong;
    return rc;
}

void schedule_rule_deinit(struct schedule_rule *rule)
{
    timezone_free(rule->zone);
    rule->zone = NULL;
}

int64_t schedule_rule_next(const struct schedule_rule *rule, int64_t after)
{
    return rule->manual ? 0 : cron_next(&rule->cron, rule->zone, after);
}

int schedule_misfire_parse(const char *name, enum schedule_misfire *ret_misfire, struct error *err)
{
    static const char *const names[] = {"skip", "once", "all"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(name, names[i]) == 0) {
            *ret_misfire = (enum schedule_misfire)i;
            return 0;
        }
    }
    return error_set(err, ERROR_INPUT, false, "misfire policy '%.60s' is not skip, once or all", name);
}

static int push(int64_t *fires, int n, int cap, int64_t fire)
{
    if (n == cap) {
        for (int i = 1; i < cap; i++)
            fires[i - 1] = fires[i];
        n--;
    }
    fires[n] = fire;
    return n + 1;
}

/* The newest cap times of the rule from `first` until now. A long absence of a frequent schedule has
 * millions: so look back an hour, then further until there are enough. */
static int newest(const struct schedule_rule *rule, int64_t first, int64_t now, int cap, int64_t *fires)
{
    for (int64_t back = 3600;; back *= 4) {
        bool whole = now - back < first;
        int64_t at = whole ? first - 1 : now - back;
        int n = 0;
        while ((at = cron_next(&rule->cron, rule->zone, at)) <= now)
            n = push(fires, n, cap, at);
        if (whole || n == cap)
            return n;
    }
}

int schedule_plan(const struct schedule_rule *rule, const struct schedule_policy *policy, int64_t next_run_at,
                  int64_t now, int64_t *fires, int64_t *ret_next)
{
    int64_t next = schedule_rule_next(rule, now);
    *ret_next = next;
    if (next_run_at == 0 || rule->manual)
        return 0;
    if (next_run_at > now) {
        if (next_run_at < next)
            *ret_next = next_run_at;
        return 0;
    }
    int n = newest(rule, next_run_at, now, policy->misfire == SCHEDULE_ONCE ? 1 : policy->cap, fires);
    if (n == 0)
        n = push(fires, 0, 1, next_run_at); /* someone wanted a run then */
    if (policy->misfire == SCHEDULE_SKIP) {
        int late = 0;
        while (late < n && fires[late] < now - policy->grace_seconds)
            late++;
        n -= late;
        memmove(fires, fires + late, (size_t)n * sizeof *fires);
    }
    return n;
}
