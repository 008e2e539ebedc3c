/*
 * Disks that do not answer. A thread that waits for one can't be taken back; the request or operation that it
 * worked for is told so, and this remembers the path until the thread has come back, so that nobody else is
 * sent there meanwhile.
 */
#pragma once

#include <stdbool.h>
#include <sys/queue.h>

/* Embedded in whoever was left waiting; zeroed = not hung. */
struct hung_disk {
    const char *base_path; /* outlives the entry */
    LIST_ENTRY(hung_disk) link;
};
LIST_HEAD(hung_disks, hung_disk);

/* base_path NULL (a store, which times out by itself): nothing. */
void hung_disk_add(struct hung_disks *disks, struct hung_disk *disk, const char *base_path);
/* One that is not hung is fine. */
void hung_disk_remove(struct hung_disk *disk);
/* base_path is the path of one of them, or lies below or above it. NULL is fine. */
bool hung_disks_have(const struct hung_disks *disks, const char *base_path);
