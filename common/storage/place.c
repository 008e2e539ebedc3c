#include "storage/place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/access.h"
#include "storage/config.h"

static int settle_base(struct storage_place *place, const char *base, const char *legacy_base,
                       struct error *err)
{
    if (!(place->driver->capabilities & STORAGE_CAP_LOCAL_PATH))
        return 0;
    if (base == NULL || *base == '\0')
        base = legacy_base;
    if (base == NULL)
        return error_set(err, ERROR_NOT_FOUND, true,
                         "its path is relative to BM_LEGACY_BASE_PATH, and that is missing");
    place->base_path = strdup(base);
    return place->base_path ? 0 : error_set(err, ERROR_SYSTEM, true, "out of memory");
}

static int open_config(const char *text, const struct access *access, json_t **ret_config, struct error *err)
{
    json_t *config;
    int rc = storage_config_parse(text, &config, err);
    if (rc)
        return rc;
    rc = storage_config_open(config, access ? access->keyring : NULL, ret_config, err);
    json_decref(config);
    return rc;
}

int storage_place_open(struct storage_place *ret, const struct storage_columns *columns,
                       const char *legacy_base, struct access *access, const char *key, struct error *err)
{
    struct storage_place place = {0};
    int rc = storage_driver_find(columns->storage_type, &place.driver, err);
    if (rc == 0)
        rc = open_config(columns->storage_config, access, &place.config, err);
    if (rc == 0)
        rc = settle_base(&place, columns->base_path, legacy_base, err);
    if (rc == 0) {
        place.location = (struct storage_location){.storage_type = columns->storage_type,
                                                   .base_path = place.base_path,
                                                   .disk_identity = columns->disk_identity,
                                                   .config = place.config,
                                                   .credentials_ref = columns->credentials_ref,
                                                   .destination = columns->destination,
                                                   .bandwidth_limit = columns->bandwidth_limit,
                                                   .access = access};
        rc = place.driver->check(&place.location, key, err);
    }
    if (rc) {
        storage_place_close(&place);
        return rc;
    }
    *ret = place;
    return 0;
}

void storage_place_close(struct storage_place *place)
{
    storage_config_free(place->config);
    free(place->base_path);
    *place = (struct storage_place){0};
}

bool storage_place_key(const struct storage_place *place, const char *name, char *out, size_t size)
{
    bool disk = place->driver->capabilities & STORAGE_CAP_LOCAL_PATH;
    const char *prefix = disk ? NULL : json_string_value(json_object_get(place->location.config, "prefix"));
    prefix = prefix ? prefix + strspn(prefix, "/") : "";
    size_t n = strlen(prefix);
    while (n > 0 && prefix[n - 1] == '/')
        n--;
    int written = snprintf(out, size, "%.*s%s%s", (int)n, prefix, n ? "/" : "", name);
    return written > 0 && (size_t)written < size;
}
