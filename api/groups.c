/* /api/groups: databases that belong together. */
#include "catalog.h"
#include "configuration.h"

static const struct input_field fields[] = {
    {"name", INPUT_TEXT, INPUT_REQUIRED, .min = 1, .max = 200},
    {"description", INPUT_TEXT, INPUT_NULLABLE | INPUT_LINES, .max = 4000},
};
enum { FIELDS = sizeof fields / sizeof *fields };

static const struct catalog_resource resource = {.kind = CATALOG_GROUP,
                                                 .path = "/api/groups",
                                                 .plural = "groups",
                                                 .filters = CATALOG_BY_TEXT,
                                                 .fields = fields,
                                                 .n_fields = FIELDS,
                                                 .n_change = FIELDS};

void groups_list(struct api *api, struct http_request *request)
{
    catalog_list(api, request, &resource);
}

void groups_show(struct api *api, struct http_request *request)
{
    catalog_show(api, request, &resource);
}

void groups_create(struct api *api, struct http_request *request)
{
    catalog_create(api, request, &resource);
}

void groups_change(struct api *api, struct http_request *request)
{
    catalog_change(api, request, &resource);
}

void groups_remove(struct api *api, struct http_request *request)
{
    catalog_remove(api, request, &resource);
}
