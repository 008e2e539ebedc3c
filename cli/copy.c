#include "copy.h"

#include <stdlib.h>
#include <string.h>

#include "copies.h"

/* A copy is where it was written (base_path, file_path); how to get there is the destination's present
 * business. */
static const char select_copies[] =
    "SELECT d.id, d.fence, coalesce(d.storage_name, d.storage_type), d.status, d.storage_type, d.file_path,"
    " d.base_path, coalesce(c.storage_config, d.storage_config),"
    " CASE WHEN c.base_path = d.base_path THEN c.disk_identity END, d.checksum, coalesce(d.file_size, -1),"
    " c.credentials_ref, c.name, c.bandwidth_limit, d.resume_state"
    " FROM backup_destinations d LEFT JOIN destinations c ON c.id = d.destination_id"
    " WHERE d.backup_id = $1::bigint AND ($2::text IS NULL OR d.storage_name = $2 OR c.name = $2"
    " OR d.destination_id::text = $2) ORDER BY d.priority, d.id";

static bool is_sha256(const char *text)
{
    return text && strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

static void read_copy(struct cli *cli, struct copies *copies, int row)
{
    const PGresult *r = copies->result;
    struct copy *c = &copies->all[row];
    const struct storage_columns columns = {.storage_type = pg_text(r, row, 4),
                                            .base_path = pg_text(r, row, 6),
                                            .storage_config = pg_text(r, row, 7),
                                            .disk_identity = pg_text(r, row, 8),
                                            .credentials_ref = pg_text(r, row, 11),
                                            .destination = pg_text(r, row, 12),
                                            .bandwidth_limit = pg_int(r, row, 13, 0)};
    *c = (struct copy){.id = pg_int(r, row, 0, 0),
                       .fence = pg_int(r, row, 1, 0),
                       .name = pg_text(r, row, 2),
                       .status = pg_text(r, row, 3),
                       .key = pg_text(r, row, 5),
                       .checksum = is_sha256(pg_text(r, row, 9)) ? pg_text(r, row, 9) : NULL,
                       .size = pg_int(r, row, 10, -1),
                       .resume_state = pg_text(r, row, 14)};
    copies_open(cli, &columns, c->key, &c->place, &c->err);
}

int copies_of(struct cli *cli, const json_t *backup, const char *destination, struct copies *ret,
              struct error *err)
{
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)json_integer_value(json_object_get(backup, "id")));
    struct copies copies = {0};
    int rc = cli_query(cli, select_copies, 2, (const char *const[]){id, destination}, &copies.result, err);
    if (rc)
        return rc;
    copies.n = PQntuples(copies.result);
    copies.all = calloc((size_t)copies.n + 1, sizeof *copies.all);
    if (copies.n == 0)
        rc = error_set(err, ERROR_NOT_FOUND, false,
                       "backup '%s' has no copy%s%s; see backupctl backup show %s",
                       json_string_value(json_object_get(backup, "name")), destination ? " at " : "",
                       destination ? destination : "", id);
    else if (copies.all == NULL)
        rc = error_set(err, ERROR_SYSTEM, true, "out of memory");
    if (rc) {
        copies_free(&copies);
        return rc;
    }
    for (int i = 0; i < copies.n; i++)
        read_copy(cli, &copies, i);
    *ret = copies;
    return 0;
}

void copies_free(struct copies *copies)
{
    for (int i = 0; copies->all && i < copies->n; i++)
        storage_place_close(&copies->all[i].place);
    free(copies->all);
    PQclear(copies->result);
    *copies = (struct copies){0};
}
