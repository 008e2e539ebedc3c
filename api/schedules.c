/* /api/schedules: when a database is backed up. */
#include "catalog.h"
#include "configuration.h"

static const char *const types[] = {"cron", "interval", "manual", NULL};
static const char *const intervals[] = {"hourly", "daily", "weekly", "monthly", NULL};
static const char *const misfires[] = {"skip", "once", "all", NULL};
static const char *const orderings[] = {"parallel", "sequential", NULL};

enum {
    NAME,
    DESCRIPTION,
    TYPE,
    CRON,
    INTERVAL,
    ZONE,
    MISFIRE,
    ORDERING,
    ACTIVE,
    CHANGE_FIELDS,
    DATABASE = CHANGE_FIELDS, /* its backups and assignments are that database's */
    FIELDS
};
static const struct input_field fields[FIELDS] = {
    [NAME] = {"name", INPUT_TEXT, INPUT_REQUIRED, .min = 1, .max = 200},
    [DESCRIPTION] = {"description", INPUT_TEXT, INPUT_NULLABLE | INPUT_LINES, .max = 4000},
    [TYPE] = {"schedule_type", INPUT_CHOICE, .choices = types},
    [CRON] = {"cron_expression", INPUT_TEXT, INPUT_NULLABLE, .min = 1, .max = 200,
              .hint = "minute, hour, day of month, month and day of week, such as 30 2 * * *"},
    [INTERVAL] = {"interval_value", INPUT_CHOICE, INPUT_NULLABLE, .choices = intervals},
    [ZONE] = {"timezone", INPUT_TEXT, .min = 1, .max = 100,
              .hint = "an IANA name, such as Europe/Rome or UTC"},
    [MISFIRE] = {"misfire_policy", INPUT_CHOICE, .choices = misfires},
    [ORDERING] = {"ordering", INPUT_CHOICE, .choices = orderings},
    [ACTIVE] = {"is_active", INPUT_BOOLEAN},
    [DATABASE] = {"database_id", INPUT_INTEGER, INPUT_REQUIRED, .min = 1, .max = INT32_MAX,
                  .hint = "a database's id"},
};

/* An expression or an interval decides the type, unless that is written. */
static int complete(const struct api *api, const struct input *input, const PGresult *current,
                    json_t *changes, const char **ret_field, struct error *err)
{
    bool cron = input->values[CRON].text != NULL, interval = input->values[INTERVAL].text != NULL;
    (void)api;
    (void)current;
    if (cron && interval) {
        *ret_field = "interval_value";
        return error_set(err, ERROR_INPUT, false, "write cron_expression or interval_value, not both");
    }
    if (input->values[TYPE].given || (!cron && !interval))
        return 0;
    if (json_object_set_new(changes, "schedule_type", json_string(cron ? "cron" : "interval")) ||
        json_object_set_new(changes, cron ? "interval_value" : "cron_expression", json_null()))
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    return 0;
}

static const struct catalog_resource resource = {.kind = CATALOG_SCHEDULE,
                                                 .path = "/api/schedules",
                                                 .plural = "schedules",
                                                 .filters = CATALOG_BY_TEXT | CATALOG_BY_ACTIVE |
                                                            CATALOG_BY_DATABASE,
                                                 .fields = fields,
                                                 .n_fields = FIELDS,
                                                 .n_change = CHANGE_FIELDS,
                                                 .complete = complete};

void schedules_list(struct api *api, struct http_request *request)
{
    catalog_list(api, request, &resource);
}

void schedules_show(struct api *api, struct http_request *request)
{
    catalog_show(api, request, &resource);
}

void schedules_create(struct api *api, struct http_request *request)
{
    catalog_create(api, request, &resource);
}

void schedules_change(struct api *api, struct http_request *request)
{
    catalog_change(api, request, &resource);
}

void schedules_remove(struct api *api, struct http_request *request)
{
    catalog_remove(api, request, &resource);
}
