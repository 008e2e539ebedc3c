/*
 * Which mount a path lies on, by its name alone: asking the file system itself would hang where it hangs.
 * Symbolic links on the way are not seen.
 */
#pragma once

#include <stddef.h>

struct mounts {
    char **points;
    size_t n;
};

/* The mount points of this process (/proc/self/mountinfo); none when they can't be read. Blocking, but not on
 * any of the mounts. */
void mounts_load(struct mounts *mounts);

/* From the text of such a file, for tests. Lines that can't be read are passed over. */
void mounts_parse(struct mounts *mounts, char *text);

void mounts_deinit(struct mounts *mounts);

/* The longest mount point that path begins with; path itself when there is none. */
const char *mounts_find(const struct mounts *mounts, const char *path);
