#include "storage/gcs/gcs.h"

#include <stddef.h>

#include "storage/gcs/config.h"
#include "storage/object/task.h"

static int check(const struct storage_location *location, const char *key, struct error *err)
{
    struct gcs_config config;
    int rc = gcs_config_load(location, &config, err);
    return rc == 0 && key ? gcs_config_check_key(key, err) : rc;
}

/* A bucket's name is its identity. */
static int identify(const struct storage_location *location, char **ret_identity, struct error *err)
{
    int rc = check(location, NULL, err);
    if (rc == 0)
        *ret_identity = NULL;
    return rc;
}

static const char *const storage_types[] = {"gcs", NULL};

const struct storage_driver storage_gcs = {
    .name = "gcs",
    .storage_types = storage_types,
    .capabilities = STORAGE_CAP_RESUME | STORAGE_CAP_CREATE_ONLY | STORAGE_CAP_LIST | STORAGE_CAP_ACCESS |
                    STORAGE_CAP_UNLISTED_UPLOADS,
    .check = check,
    .identify = identify,
    .put_start = gcs_put_start,
    .get_start = gcs_get_start,
    .stat_start = gcs_stat_start,
    .delete_start = gcs_delete_start,
    .list_start = gcs_list_start,
    .op_cancel = object_op_cancel,
};
