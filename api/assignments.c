/* /api/assignments: which destination serves which database, or one schedule of it. */
#include "catalog.h"
#include "configuration.h"

#define AN_ID .min = 1, .max = INT32_MAX

/* What it joins stays: another pair is another assignment. */
enum { PRIORITY, ENABLED, CHANGE_FIELDS, DESTINATION = CHANGE_FIELDS, DATABASE, SCHEDULE, FIELDS };
static const struct input_field fields[FIELDS] = {
    [PRIORITY] =
        {"priority", INPUT_INTEGER, INPUT_NULLABLE,
         .hint = "a whole number from 0, which goes first, to 2147483647, or null for the destination's own"},
    [ENABLED] = {"enabled", INPUT_BOOLEAN},
    [DESTINATION] = {"destination_id", INPUT_INTEGER, INPUT_REQUIRED, AN_ID, .hint = "a destination's id"},
    [DATABASE] = {"database_id", INPUT_INTEGER, INPUT_REQUIRED, AN_ID, .hint = "a database's id"},
    [SCHEDULE] = {"schedule_id", INPUT_INTEGER, INPUT_NULLABLE, AN_ID,
                  .hint = "the id of one of the database's schedules, or null for all its backups"},
};

static const struct catalog_resource resource = {.kind = CATALOG_ASSIGNMENT,
                                                 .path = "/api/assignments",
                                                 .plural = "assignments",
                                                 .filters = CATALOG_BY_TEXT | CATALOG_BY_ENABLED |
                                                            CATALOG_BY_DATABASE | CATALOG_BY_DESTINATION |
                                                            CATALOG_BY_SCHEDULE | CATALOG_BY_TYPE,
                                                 .fields = fields,
                                                 .n_fields = FIELDS,
                                                 .n_change = CHANGE_FIELDS};

void assignments_list(struct api *api, struct http_request *request)
{
    catalog_list(api, request, &resource);
}

void assignments_show(struct api *api, struct http_request *request)
{
    catalog_show(api, request, &resource);
}

void assignments_create(struct api *api, struct http_request *request)
{
    catalog_create(api, request, &resource);
}

void assignments_change(struct api *api, struct http_request *request)
{
    catalog_change(api, request, &resource);
}

void assignments_remove(struct api *api, struct http_request *request)
{
    catalog_remove(api, request, &resource);
}
