/* A storage driver's operations, one at a time, waited for: each runs a loop of its own until it is done. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "storage/driver.h"

struct copies_place {
    const struct storage_driver *driver;
    const struct storage_location *location;
};

int copies_put(const struct copies_place *place, const char *key, int fd, uint64_t size, const char *sha256,
               struct error *err);
/* sha256 is of the bytes that were read; out[STORAGE_SHA256_SIZE]. */
int copies_get(const struct copies_place *place, const char *key, int target_fd, bool stream,
               uint64_t *ret_size, char *ret_sha256, struct error *err);
int copies_stat(const struct copies_place *place, const char *key, struct storage_stat_result *ret,
                struct error *err);
int copies_delete(const struct copies_place *place, const char *key, bool *ret_existed, struct error *err);
/* Removes temporary files that the row's attempts up to this fence left near key; key itself stays. */
int copies_sweep(const struct copies_place *place, const char *key, int64_t row_id, int64_t fence,
                 struct error *err);
