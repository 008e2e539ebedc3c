/*
 * Names and opens below a base path. Keys are relative paths that never leave it: checked by shape, and
 * enforced at each open by openat2(RESOLVE_BENEATH), or component by component without following any
 * symbolic link where the kernel or a seccomp filter has no openat2.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define PATH_TEMP_NAME_SIZE 64
#define PATH_MARKER_NAME ".backupmanager-disk"

/* Shape only. Base: absolute. Key: relative, no empty, '.' or '..' component, no control character, no name
 * that this program keeps for itself (.bm-*, the disk marker), components <= 255 and the whole <= 4095 bytes.
 * ERROR_INPUT (base) or ERROR_UNSAFE_PATH (key), never retryable. */
int path_check_base(const char *base, struct error *err);
int path_check_key(const char *key, struct error *err);

/* "<base>/<key>" for people. False when it doesn't fit; out then holds what does. */
bool path_join(const char *base, const char *key, char *out, size_t size);

/* ".bm-<row_id>-<fence>.tmp" */
void path_temp_name(int64_t row_id, int64_t fence, char out[PATH_TEMP_NAME_SIZE]);
/* Whether name is such a one, and whose. */
bool path_is_temp_name(const char *name, int64_t *ret_row_id, int64_t *ret_fence);

/* Opens the base directory for reading. Missing or no directory: ERROR_UNREACHABLE; all errors retryable. */
int path_open_base(const char *base, int *ret_fd, struct error *err);

/* Opens the directory that key's last component stands in, making missing ones (and fsyncing each directory
 * in which one was made) when create is set. *ret_name points into key. Without create a missing directory
 * is ERROR_NOT_FOUND. A symbolic link that leaves base is ERROR_UNSAFE_PATH and named. */
int path_open_parent(int base_fd, const char *base, const char *key, bool create, int *ret_fd,
                     const char **ret_name, struct error *err);

/* Opens the regular file of key for reading. ERROR_NOT_FOUND when there is none, ERROR_CONFLICT when it is
 * something else. */
int path_open_object(int base_fd, const char *base, const char *key, int *ret_fd, struct error *err);

/* The size of the regular file of key, whether it may be read or not; -1 when there is none that can be seen.
 */
int64_t path_object_size(int base_fd, const char *key);

/* For tests: behave as if the kernel had no openat2. */
void path_without_openat2(bool on);
