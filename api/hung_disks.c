#include "hung_disks.h"

#include <string.h>

void hung_disk_add(struct hung_disks *disks, struct hung_disk *disk, const char *base_path)
{
    if (base_path == NULL || disk->base_path)
        return;
    disk->base_path = base_path;
    LIST_INSERT_HEAD(disks, disk, link);
}

void hung_disk_remove(struct hung_disk *disk)
{
    if (disk->base_path)
        LIST_REMOVE(disk, link);
    disk->base_path = NULL;
}

/* The shorter one is the longer one's beginning, up to a '/'. */
static bool is_related(const char *a, const char *b)
{
    size_t n = strlen(a);
    while (n > 0 && a[n - 1] == '/')
        n--;
    return strncmp(a, b, n) == 0 && (b[n] == '\0' || b[n] == '/');
}

bool hung_disks_have(const struct hung_disks *disks, const char *base_path)
{
    const struct hung_disk *disk;
    if (base_path == NULL)
        return false;
    LIST_FOREACH(disk, disks, link)
    if (is_related(disk->base_path, base_path) || is_related(base_path, disk->base_path))
        return true;
    return false;
}
