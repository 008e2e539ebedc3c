/* A configured destination, opened for its driver. */
#pragma once

#include "cli.h"
#include "storage/place.h"

struct destination_place {
    PGresult *row; /* the place's strings point into it */
    struct storage_place place;
};

/* id: of destinations. The stored settings, not what catalog rows show of them. *ret is closed on failure. */
int destination_place_open(struct cli *cli, int64_t id, struct destination_place *ret, struct error *err);
void destination_place_close(struct destination_place *place); /* zeroed is fine */
