#include "destination_place.h"

#include <stdio.h>
#include <string.h>

#include "copies.h"

int destination_place_open(struct cli *cli, int64_t id, struct destination_place *ret, struct error *err)
{
    struct destination_place opened = {0};
    char number[24];
    snprintf(number, sizeof number, "%lld", (long long)id);
    int rc = cli_query(cli,
                       "SELECT storage_type, base_path, storage_config, disk_identity, credentials_ref, name,"
                       " bandwidth_limit FROM destinations WHERE id = $1::int",
                       1, (const char *const[]){number}, &opened.row, err);
    if (rc)
        return rc;
    if (PQntuples(opened.row) == 0)
        rc = error_set(err, ERROR_NOT_FOUND, false, "the destination was removed a moment ago");
    if (rc == 0) {
        const struct storage_columns columns = {.storage_type = pg_text(opened.row, 0, 0),
                                                .base_path = pg_text(opened.row, 0, 1),
                                                .storage_config = pg_text(opened.row, 0, 2),
                                                .disk_identity = pg_text(opened.row, 0, 3),
                                                .credentials_ref = pg_text(opened.row, 0, 4),
                                                .destination = pg_text(opened.row, 0, 5),
                                                .bandwidth_limit = pg_int(opened.row, 0, 6, 0)};
        rc = copies_open(cli, &columns, NULL, &opened.place, err);
    }
    if (rc) {
        PQclear(opened.row);
        return rc;
    }
    *ret = opened;
    return 0;
}

bool destination_place_key(const struct storage_place *place, const char *name, char *out, size_t size)
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

void destination_place_close(struct destination_place *place)
{
    storage_place_close(&place->place);
    PQclear(place->row);
    *place = (struct destination_place){0};
}
