/*
 * A place for copies, opened from what PostgreSQL says of it: its driver found, its storage_config parsed and
 * decrypted, its base path settled. What workers and backupctl hand to a driver.
 */
#pragma once

#include "storage/driver.h"

struct access;

/* Columns of a row of destinations, or of backup_destinations with its destination. May be NULL where SQL is.
 */
struct storage_columns {
    const char *storage_type, *base_path, *storage_config, *disk_identity;
    const char *credentials_ref;
    const char *destination; /* name of the configured destination */
    int64_t bandwidth_limit;
};

/* Zeroed = closed. */
struct storage_place {
    const struct storage_driver *driver;
    struct storage_location location; /* strings of columns stay the caller's and outlive the place */
    json_t *config;                   /* private, as is base_path */
    char *base_path;
};

/*
 * legacy_base: base of paths without one, for drivers of local paths; NULL = such a place is refused
 * (ERROR_NOT_FOUND). access: for drivers that need it and for encrypted settings; may be NULL for disks. key:
 * checked too when not NULL. *ret is closed on failure.
 */
int storage_place_open(struct storage_place *ret, const struct storage_columns *columns,
                       const char *legacy_base, struct access *access, const char *key, struct error *err);
/* Overwrites what was decrypted. A closed place is fine. */
void storage_place_close(struct storage_place *place);

/* The key of something of ours that is no copy, where copies go: rights may end at the prefix. False: too
 * long. */
bool storage_place_key(const struct storage_place *place, const char *name, char *out, size_t size);
