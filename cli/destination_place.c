#include "destination_place.h"

#include "copies.h"

int destination_place_open(struct cli *cli, int64_t id, struct destination_place *ret, struct error *err)
{
    struct destination_place opened = {0};
    struct storage_columns columns;
    struct pg_client *pg = cli_pg(cli, err);
    struct pg_request *request = pg ? pg_request_new(pg) : NULL;
    struct pg_copy answer = {0};
    if (pg == NULL)
        return err->code;
    if (request == NULL || destination_add_columns(request, id)) {
        pg_request_free(request);
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    int rc = pg_run(request, &answer, err);
    if (rc)
        return rc;
    opened.row = answer.results[0];
    if (!destination_read_columns(opened.row, &columns))
        rc = error_set(err, ERROR_NOT_FOUND, false, "the destination was removed a moment ago");
    else
        rc = copies_open(cli, &columns, NULL, &opened.place, err);
    if (rc) {
        PQclear(opened.row);
        return rc;
    }
    *ret = opened;
    return 0;
}

void destination_place_close(struct destination_place *place)
{
    storage_place_close(&place->place);
    PQclear(place->row);
    *place = (struct destination_place){0};
}
