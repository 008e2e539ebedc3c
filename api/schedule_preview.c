/*
 * When a schedule would run: a saved one, or one that is still being written. Each run is told in UTC and as
 * the clock shows it there, so that people see what a change of the clock does to it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "catalog.h"
#include "configuration.h"
#include "problem.h"
#include "store/schedule.h"

#define COUNT_DEFAULT 10
#define COUNT_MAX 100
#define AFTER_MAX_MS INT64_C(32503680000000) /* the year 3000 */

struct preview {
    int64_t schedule_id; /* 0: not saved */
    const char *type, *cron, *interval, *zone;
    int64_t after; /* Unix seconds */
    int64_t count;
};

#define COUNT_FIELD                                                                                          \
    {                                                                                                        \
        "count", INPUT_INTEGER, .min = 1, .max = COUNT_MAX                                                   \
    }
#define AFTER_FIELD                                                                                          \
    {                                                                                                        \
        "after", INPUT_TIME                                                                                  \
    }

/* False: has been replied to, with status. */
static bool take_window(struct http_request *request, unsigned status, struct preview *preview,
                        const struct input_value *count, const struct input_value *after)
{
    struct problem problem;
    preview->count = count->given ? count->integer : COUNT_DEFAULT;
    preview->after = (after->given ? after->integer : clock_wall_ms()) / 1000;
    if (!after->given || after->integer < AFTER_MAX_MS)
        return true;
    problem_init(&problem, status, "after can't be taken as it is");
    problem_add(&problem, "after", "write a time before the year 3000");
    problem_send(&problem, request);
    return false;
}

/* "2026-03-29T03:30:00+02:00" */
static json_t *local_text(const struct time_zone *zone, int64_t at)
{
    int64_t offset = timezone_span(zone, at).offset, minutes = llabs(offset) / 60;
    char text[CLOCK_ISO8601_SIZE], local[CLOCK_ISO8601_SIZE + 16];
    clock_iso8601((at + offset) * 1000, text);
    text[strlen(text) - 1] = '\0'; /* the Z */
    snprintf(local, sizeof local, "%s%c%02d:%02d", text, offset < 0 ? '-' : '+', (int)(minutes / 60),
             (int)(minutes % 60));
    return json_string(local);
}

static json_t *list_runs(const struct schedule_rule *rule, const struct preview *preview)
{
    json_t *runs = json_array();
    int64_t at = preview->after;
    while ((int64_t)json_array_size(runs) < preview->count && (at = schedule_rule_next(rule, at)) != 0) {
        char text[CLOCK_ISO8601_SIZE];
        clock_iso8601(at * 1000, text);
        if (json_array_append_new(runs,
                                  json_pack("{s:s, s:o}", "at", text, "local", local_text(rule->zone, at)))) {
            json_decref(runs);
            return NULL;
        }
    }
    return runs;
}

/* problem may be NULL: the rule is right. */
static void reply_runs(struct http_request *request, const struct preview *preview, json_t *runs,
                       const char *problem)
{
    json_t *id = preview->schedule_id ? json_integer(preview->schedule_id) : json_null();
    http_reply(request, 200,
               runs ? json_pack("{s:o, s:s?, s:s?, s:s?, s:s?, s:o, s:s?}", "schedule_id", id,
                                "schedule_type", preview->type, "cron_expression", preview->cron,
                                "interval_value", preview->interval, "timezone", preview->zone, "runs", runs,
                                "schedule_error", problem)
                    : NULL);
}

static void reply(struct http_request *request, const struct preview *preview)
{
    struct schedule_rule rule;
    struct error err = {0};
    const char *field = NULL;
    if (schedule_rule_load(preview->type, preview->cron, preview->interval, preview->zone, &rule, &field,
                           &err) == 0) {
        reply_runs(request, preview, list_runs(&rule, preview), NULL);
        schedule_rule_deinit(&rule);
    } else if (preview->schedule_id) {
        utf8_clean(err.message);
        reply_runs(request, preview, json_array(), err.message);
    } else {
        problem_reply_field(request, field ? field : "cron_expression", "%s", err.message);
    }
}

/* --- a saved one --- */

static void on_schedule(struct ask *ask, const struct pg_results *results)
{
    struct preview *preview = ask->data;
    json_t *rows = catalog_read_rows(ask_result(ask, results, 0), CATALOG_SCHEDULE);
    json_t *row = json_array_get(rows, 0);
    preview->type = json_string_value(json_object_get(row, "schedule_type"));
    preview->cron = json_string_value(json_object_get(row, "cron_expression"));
    preview->interval = json_string_value(json_object_get(row, "interval_value"));
    preview->zone = json_string_value(json_object_get(row, "timezone"));
    if (row)
        reply(ask->request, preview);
    else
        problem_reply(ask->request, 404, "there is no schedule %lld", (long long)preview->schedule_id);
    json_decref(rows);
}

void schedules_preview(struct api *api, struct http_request *request)
{
    enum { COUNT, AFTER, FIELDS };
    static const struct input_field fields[FIELDS] = {[COUNT] = COUNT_FIELD, [AFTER] = AFTER_FIELD};
    const struct input *input = input_query(request, fields, FIELDS);
    struct preview *preview = input ? calloc(1, sizeof *preview) : NULL;
    if (input == NULL)
        return;
    if (!http_keep(request, preview, free)) {
        problem_reply(request, 503, "out of memory");
        return;
    }
    preview->schedule_id = http_request_id(request, 0);
    if (!take_window(request, 400, preview, &input->values[COUNT], &input->values[AFTER]))
        return;
    struct ask *ask = ask_new(api, request, on_schedule, preview);
    if (ask)
        ask_send(ask, catalog_add_one(ask->question, CATALOG_SCHEDULE, preview->schedule_id));
}

/* --- one that is being written --- */

void schedules_preview_unsaved(struct api *api, struct http_request *request)
{
    enum { TYPE, CRON, INTERVAL, ZONE, COUNT, AFTER, FIELDS };
    static const char *const types[] = {"cron", "interval", "manual", NULL};
    static const struct input_field fields[FIELDS] = {
        [TYPE] = {"schedule_type", INPUT_CHOICE, .choices = types},
        [CRON] = {"cron_expression", INPUT_TEXT, INPUT_NULLABLE, .min = 1, .max = 200},
        [INTERVAL] = {"interval_value", INPUT_TEXT, INPUT_NULLABLE, .min = 1, .max = 60},
        [ZONE] = {"timezone", INPUT_TEXT, .min = 1, .max = 100},
        [COUNT] = COUNT_FIELD,
        [AFTER] = AFTER_FIELD,
    };
    (void)api;
    const struct input *input = input_query(request, NULL, 0) ? input_body(request, fields, FIELDS) : NULL;
    if (input == NULL)
        return;
    const struct input_value *values = input->values;
    const char *zone = values[ZONE].text ? values[ZONE].text : "UTC";
    struct preview preview = {.type = values[TYPE].text,
                              .cron = values[CRON].text,
                              .interval = values[INTERVAL].text,
                              .zone = zone};
    if (preview.type == NULL)
        preview.type = preview.interval && preview.cron == NULL ? "interval" : "cron";
    if (preview.cron && preview.interval)
        problem_reply_field(request, "interval_value", "write cron_expression or interval_value, not both");
    else if (take_window(request, 422, &preview, &values[COUNT], &values[AFTER]))
        reply(request, &preview);
}
