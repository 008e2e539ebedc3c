#include "storage/azure/azure.h"

#include <stddef.h>

#include "storage/object/task.h"

static int check(const struct storage_location *location, const char *key, struct error *err)
{
    struct azure_config config;
    int rc = azure_config_load(location, &config, err);
    return rc == 0 && key ? azure_config_check_key(key, err) : rc;
}

/* A container's name is its identity. */
static int identify(const struct storage_location *location, char **ret_identity, struct error *err)
{
    int rc = check(location, NULL, err);
    if (rc == 0)
        *ret_identity = NULL;
    return rc;
}

static const char *const storage_types[] = {"azure_blob", NULL};

const struct storage_driver storage_azure = {
    .name = "azure",
    .storage_types = storage_types,
    .capabilities = STORAGE_CAP_RESUME | STORAGE_CAP_CREATE_ONLY | STORAGE_CAP_LIST | STORAGE_CAP_ACCESS |
                    STORAGE_CAP_EXPIRE | STORAGE_CAP_MD5,
    .check = check,
    .identify = identify,
    .put_start = azure_put_start,
    .get_start = azure_get_start,
    .stat_start = azure_stat_start,
    .delete_start = azure_delete_start,
    .list_start = azure_list_start,
    .op_cancel = object_op_cancel,
};
