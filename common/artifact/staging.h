/*
 * The staging directory: artifacts as b<backup_id>.g<fence>, unfinished ones with .tmp behind; beside an
 * artifact the digests of its parts, <name>.parts, written before it is published and removed with it. They
 * spare uploads a second reading and may be missing at any time. Blocking calls; a few system calls each,
 * except staging_list (one pass over the directory).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "storage/part_digests.h"

#define STAGING_NAME_SIZE 64

/* Makes the directory (0700, parents too) when missing and checks that files can be made in it. */
int staging_prepare(const char *dir, struct error *err);

/* Opens the artifact read-only. ERROR_NOT_FOUND (not retryable here: decide by queue-protocol) when it isn't
 * there, ERROR_CORRUPT when its size differs. */
int staging_open(const char *dir, int64_t backup_id, int64_t fence, uint64_t size, int *ret_fd,
                 struct error *err);

/* Digests of the artifact's parts, to be freed with part_digests_free; NULL when there are none, or they are
 * damaged or of another artifact than the one with this size and SHA-256. Blocking, but short: 36 bytes for
 * each part. */
struct part_digests *staging_open_parts(const char *dir, int64_t backup_id, int64_t fence, uint64_t size,
                                        const char *sha256);

/* A new unfinished file (O_EXCL after removing an older one of the same name), and its publication (fsync,
 * rename, fsync of the directory) or removal. Both close fd. */
int staging_create(const char *dir, int64_t backup_id, int64_t fence, int *ret_fd, struct error *err);
int staging_publish(const char *dir, int64_t backup_id, int64_t fence, int fd, struct error *err);
/* Between the two: the digests of what is to be published. Failing costs time later, nothing else. */
int staging_write_parts(const char *dir, int64_t backup_id, int64_t fence, const struct part_digests *digests,
                        const char *sha256, struct error *err);
void staging_discard(const char *dir, int64_t backup_id, int64_t fence, int fd);

/* Removes artifact, unfinished file and digests of this generation; missing ones are fine. */
void staging_remove(const char *dir, int64_t backup_id, int64_t fence);

struct staging_entry {
    int64_t backup_id;
    int64_t fence;
    bool unfinished; /* or digests that were left alone */
    uint64_t size;
    int64_t modified_ms; /* wall clock */
};

/* Up to max entries of ours (others are ignored) into entries; *ret_n. */
int staging_list(const char *dir, struct staging_entry *entries, int max, int *ret_n, struct error *err);
