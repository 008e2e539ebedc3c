#include "mounts.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX ((size_t)4 << 20)

/* \040 and the like stand for spaces, tabs, newlines and backslashes (proc(5)). */
static void decode(char *text)
{
    char *out = text;
    for (const char *in = text; *in; out++) {
        if (in[0] == '\\' && in[1] >= '0' && in[1] <= '3' && in[2] >= '0' && in[2] <= '7' && in[3] >= '0' &&
            in[3] <= '7') {
            *out = (char)((in[1] - '0') * 64 + (in[2] - '0') * 8 + (in[3] - '0'));
            in += 4;
        } else
            *out = *in++;
    }
    *out = '\0';
}

static bool add(struct mounts *mounts, const char *point)
{
    char **grown = realloc(mounts->points, (mounts->n + 1) * sizeof *grown);
    char *copy = grown ? strdup(point) : NULL;
    if (grown)
        mounts->points = grown;
    if (copy == NULL)
        return false;
    mounts->points[mounts->n++] = copy;
    return true;
}

void mounts_parse(struct mounts *mounts, char *text)
{
    char *line_at, *field_at;
    *mounts = (struct mounts){0};
    for (char *line = strtok_r(text, "\n", &line_at); line; line = strtok_r(NULL, "\n", &line_at)) {
        char *field = strtok_r(line, " ", &field_at);
        for (int i = 0; field && i < 4; i++) /* id, parent, device, root; the mount point is the fifth */
            field = strtok_r(NULL, " ", &field_at);
        if (field == NULL || *field != '/')
            continue;
        decode(field);
        if (!add(mounts, field))
            return;
    }
}

void mounts_load(struct mounts *mounts)
{
    size_t size = 0, room = 0;
    char *text = NULL;
    int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    *mounts = (struct mounts){0};
    while (fd >= 0) {
        if (size + 1 >= room) {
            room = room ? room * 2 : 16384;
            char *grown = room <= TEXT_MAX ? realloc(text, room) : NULL;
            if (grown == NULL)
                break;
            text = grown;
        }
        ssize_t n = read(fd, text + size, room - size - 1);
        if (n <= 0)
            break;
        size += (size_t)n;
    }
    if (fd >= 0)
        close(fd);
    if (text) {
        text[size] = '\0';
        mounts_parse(mounts, text);
    }
    free(text);
}

void mounts_deinit(struct mounts *mounts)
{
    for (size_t i = 0; i < mounts->n; i++)
        free(mounts->points[i]);
    free(mounts->points);
    *mounts = (struct mounts){0};
}

const char *mounts_find(const struct mounts *mounts, const char *path)
{
    const char *best = NULL;
    size_t longest = 0;
    for (size_t i = 0; i < mounts->n; i++) {
        const char *point = mounts->points[i];
        size_t n = strlen(point);
        if (n > 1 && point[n - 1] == '/')
            n--;
        bool root = n == 1;
        if (n >= longest && strncmp(path, point, n) == 0 && (root || path[n] == '/' || path[n] == '\0')) {
            best = point;
            longest = n;
        }
    }
    return best ? best : path;
}
