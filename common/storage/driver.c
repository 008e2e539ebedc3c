#include "storage/driver.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "storage/azure/azure.h"
#include "storage/gcs/gcs.h"
#include "storage/posix/posix.h"
#include "storage/s3/s3.h"

/* The specification's eight, in its order. */
static const struct {
    const char *storage_type;
    const struct storage_driver *driver;
} registry[] = {
    {"local", &storage_posix},
    {"local_external", &storage_posix},
    {"s3", &storage_s3},
    {"minio", &storage_s3},
    {"spaces", &storage_s3},
    {"backblaze", &storage_s3},
    {"azure_blob", &storage_azure},
    {"gcs", &storage_gcs},
};

static const struct storage_driver *override;

void storage_driver_override(const struct storage_driver *driver)
{
    override = driver;
}

static bool serves(const struct storage_driver *driver, const char *storage_type)
{
    for (const char *const *type = driver->storage_types; *type; type++)
        if (strcmp(*type, storage_type) == 0)
            return true;
    return false;
}

static int unknown_type(const char *storage_type, struct error *err)
{
    char known[256] = "";
    size_t n = 0;
    for (size_t i = 0; i < sizeof registry / sizeof *registry; i++)
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "", registry[i].storage_type);
    assert(n < sizeof known);
    return error_set(err, ERROR_INPUT, false, "storage type '%.64s' is unknown; known types: %s",
                     storage_type, known);
}

int storage_driver_find(const char *storage_type, const struct storage_driver **ret_driver, struct error *err)
{
    if (storage_type == NULL)
        storage_type = "";
    if (override && serves(override, storage_type)) {
        *ret_driver = override;
        return 0;
    }
    for (size_t i = 0; i < sizeof registry / sizeof *registry; i++) {
        if (strcmp(registry[i].storage_type, storage_type) != 0)
            continue;
        *ret_driver = registry[i].driver;
        return 0;
    }
    return unknown_type(storage_type, err);
}

bool storage_driver_any_can(const char *storage_types, enum storage_capability capability)
{
    const char *at = storage_types;
    while (at && *at) {
        char type[64];
        size_t n = strcspn(at, ",");
        const struct storage_driver *driver;
        snprintf(type, sizeof type, "%.*s", (int)n, at);
        if (storage_driver_find(type, &driver, NULL) == 0 && (driver->capabilities & capability))
            return true;
        at += n + (at[n] == ',');
    }
    return false;
}

void storage_op_cancel(struct storage_op *op)
{
    op->driver->op_cancel(op);
}
