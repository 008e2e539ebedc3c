/* /api/destinations: where copies go. */
#include <stdlib.h>
#include <string.h>

#include "auth/access.h"
#include "auth/secret.h"
#include "catalog.h"
#include "configuration.h"
#include "store/catalog_config.h"

enum {
    NAME,
    TYPE,
    BASE_PATH,
    CONFIG,
    ENCRYPT,
    CREDENTIALS,
    PRIORITY,
    QUEUE,
    MOST_UPLOADS,
    BANDWIDTH,
    TEMPLATE,
    ENABLED,
    ACCEPT_DISK,
    FIELDS
};
static const struct input_field fields[FIELDS] = {
    [NAME] = {"name", INPUT_TEXT, INPUT_REQUIRED, .min = 1, .max = 200},
    [TYPE] = {"storage_type", INPUT_CHOICE, INPUT_REQUIRED, .choices = catalog_storage_types},
    [BASE_PATH] = {"base_path", INPUT_TEXT, INPUT_NULLABLE, .min = 1, .max = 4000,
                   .hint = "a directory that exists, beginning with /; null for object stores"},
    [CONFIG] = {"storage_config", INPUT_OBJECT, INPUT_NULLABLE | INPUT_OR_TEXT | INPUT_SECRET},
    [ENCRYPT] = {"encrypt_config", INPUT_BOOLEAN},
    [CREDENTIALS] = {"credentials_ref", INPUT_TEXT, INPUT_NULLABLE | INPUT_SECRET, .min = 1, .max = 500,
                     .hint =
                         "where the secret lives: env:NAME, file:/run/secrets/x, vault:mount/path#field or "
                         "aws-sm:id#field"},
    [PRIORITY] = {"priority", INPUT_INTEGER},
    [QUEUE] = {"queue", INPUT_TEXT, .min = 1, .max = 64, .hint = "1 to 64 letters, digits, '-' and '_'"},
    [MOST_UPLOADS] = {"max_concurrent", INPUT_INTEGER, INPUT_NULLABLE, .min = 1, .max = INT32_MAX},
    [BANDWIDTH] = {"bandwidth_limit", INPUT_INTEGER, INPUT_NULLABLE, .min = 1, .max = INT64_MAX,
                   .hint = "bytes per second, 1 or more, or null for no limit"},
    [TEMPLATE] = {"path_template", INPUT_TEXT, .min = 1, .max = 1000},
    [ENABLED] = {"enabled", INPUT_BOOLEAN},
    [ACCEPT_DISK] = {"accept_disk", INPUT_BOOLEAN},
};

/* The keys are in memory (keys.h): nothing is waited for. */
static int put_config(const struct api *api, const struct input *input, const PGresult *current,
                      json_t *changes, struct error *err)
{
    const struct input_value *config = &input->values[CONFIG];
    int column = current ? PQfnumber(current, "storage_config") : -1;
    const char *kept = column >= 0 ? pg_text(current, 0, column) : NULL;
    char *dump = config->json ? json_dumps(config->json, JSON_COMPACT) : NULL;
    const char *text = config->json ? dump : config->text;
    int rc = text ? catalog_config_settle(changes, text, input->values[ENCRYPT].boolean, kept ? kept : "",
                                          api->access->keyring, err)
                  : error_set(err, ERROR_SYSTEM, true, "out of memory");
    secret_free(dump);
    if (rc && err->code != ERROR_SYSTEM && api->keys_complaint[0] &&
        catalog_config_needs_keys(text, input->values[ENCRYPT].boolean))
        error_context(err, "the keys can't be read (%.300s)", api->keys_complaint);
    return rc;
}

static int complete(const struct api *api, const struct input *input, const PGresult *current,
                    json_t *changes, const char **ret_field, struct error *err)
{
    const struct input_value *config = &input->values[CONFIG];
    json_object_del(changes, "encrypt_config");
    if (!input->values[ACCEPT_DISK].boolean)
        json_object_del(changes, "accept_disk");
    if (input->values[ENCRYPT].boolean && (!config->given || config->is_null)) {
        *ret_field = "encrypt_config";
        return error_set(err, ERROR_INPUT, false,
                         "there is nothing to encrypt: write storage_config with it");
    }
    *ret_field = "storage_config";
    return config->given && !config->is_null ? put_config(api, input, current, changes, err) : 0;
}

/* References to secrets, beside the settings and in them. */
static void hide(json_t *row)
{
    const char *text = json_string_value(json_object_get(row, "storage_config"));
    json_t *config = text ? json_loads(text, 0, NULL) : NULL;
    json_object_set_new(row, "credentials_ref", json_null());
    if (json_object_get(config, "credentials_ref")) {
        json_object_set_new(config, "credentials_ref", json_string(CATALOG_CONFIG_HIDDEN));
        char *shown = json_dumps(config, JSON_COMPACT);
        json_object_set_new(row, "storage_config", json_string(shown ? shown : CATALOG_CONFIG_HIDDEN));
        free(shown);
    }
    json_decref(config);
}

static const struct catalog_resource resource = {.kind = CATALOG_DESTINATION,
                                                 .path = "/api/destinations",
                                                 .plural = "destinations",
                                                 .filters = CATALOG_BY_TEXT | CATALOG_BY_ENABLED |
                                                            CATALOG_BY_DATABASE | CATALOG_BY_TYPE,
                                                 .fields = fields,
                                                 .n_fields = FIELDS,
                                                 .n_change = FIELDS,
                                                 .complete = complete,
                                                 .hide = hide};

void destinations_list(struct api *api, struct http_request *request)
{
    catalog_list(api, request, &resource);
}

void destinations_show(struct api *api, struct http_request *request)
{
    catalog_show(api, request, &resource);
}

void destinations_create(struct api *api, struct http_request *request)
{
    catalog_create(api, request, &resource);
}

void destinations_change(struct api *api, struct http_request *request)
{
    catalog_change(api, request, &resource);
}

void destinations_remove(struct api *api, struct http_request *request)
{
    catalog_remove(api, request, &resource);
}
