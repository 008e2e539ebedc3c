/*
 * Which disk is it, and is there room. A local_external destination records the identity of its disk:
 *   marker:<hex>       the file .backupmanager-disk in base_path holds <hex>
 *   fs:<type>:<fsid>   the file system's own numbers, when the marker could not be written
 */
#pragma once

#include <stdint.h>

#include "storage/driver.h"

/* Shape of a recorded identity: ERROR_INPUT. */
int disk_check_shape(const char *identity, struct error *err);

/* ERROR_UNREACHABLE (retryable) when the location has an identity and base_fd is another disk. */
int disk_check_identity(int base_fd, const struct storage_location *location, struct error *err);

/* The identity to record: an existing marker, a new one, or the file system's numbers. malloc'ed. */
int disk_identify(int base_fd, const char *base, char **ret_identity, struct error *err);

/* ERROR_NO_SPACE when size_bytes more don't fit. */
int disk_check_space(int base_fd, const char *base, uint64_t size_bytes, struct error *err);
