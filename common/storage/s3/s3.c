#include "storage/s3/s3.h"

#include <stddef.h>

#include "storage/object/key.h"
#include "storage/object/task.h"
#include "storage/s3/config.h"

static int s3_check(const struct storage_location *location, const char *key, struct error *err)
{
    struct s3_config config;
    int rc = s3_config_load(location, &config, err);
    return rc == 0 && key ? object_key_check(key, err) : rc;
}

/* A bucket's name is its identity. */
static int s3_identify(const struct storage_location *location, char **ret_identity, struct error *err)
{
    int rc = s3_check(location, NULL, err);
    if (rc == 0)
        *ret_identity = NULL;
    return rc;
}

static const char *const storage_types[] = {"s3", "minio", "spaces", "backblaze", NULL};

const struct storage_driver storage_s3 = {
    .name = "s3",
    .storage_types = storage_types,
    .capabilities = STORAGE_CAP_RESUME | STORAGE_CAP_LIST | STORAGE_CAP_ACCESS,
    .check = s3_check,
    .identify = s3_identify,
    .put_start = s3_put_start,
    .get_start = s3_get_start,
    .stat_start = s3_stat_start,
    .delete_start = s3_delete_start,
    .list_start = s3_list_start,
    .op_cancel = object_op_cancel,
};
