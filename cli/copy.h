/* The copies of one backup, ready for a storage driver. */
#pragma once

#include <jansson.h>

#include "cli.h"
#include "storage/place.h"

struct copy {
    int64_t id;
    int64_t fence;
    const char *name; /* of its destination, or the storage type; strings point into the result */
    const char *status;
    const char *key;
    const char *checksum; /* NULL: none, or not a SHA-256 (older rows) */
    const char *resume_state;
    int64_t size;               /* -1 = unknown */
    struct storage_place place; /* closed: err says why this copy can't be reached */
    struct error err;
};

struct copies {
    PGresult *result;
    struct copy *all;
    int n;
};

/* By priority; destination (name or id, NULL = all) narrows the choice: ERROR_NOT_FOUND when there is none.
 */
int copies_of(struct cli *cli, const json_t *backup, const char *destination, struct copies *ret,
              struct error *err);
void copies_free(struct copies *copies);
