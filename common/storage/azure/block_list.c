#include "storage/azure/block_list.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/xml.h"

#define ID_MAX 88 /* base64 of 64 bytes */

struct reading {
    void (*on_block)(void *data, const struct azure_block *block);
    void *data;
    bool is_list;
    char id[ID_MAX + 1];
    bool has_size;
    uint64_t size;
};

static int on_start(void *data, const char *path, struct error *err)
{
    struct reading *r = data;
    (void)err;
    if (strcmp(path, "BlockList") == 0)
        r->is_list = true;
    if (strcmp(path, "BlockList/UncommittedBlocks/Block") == 0) {
        r->id[0] = '\0';
        r->has_size = false;
    }
    return 0;
}

static int on_text(void *data, const char *path, const char *text, size_t size, struct error *err)
{
    struct reading *r = data;
    (void)err;
    if (strcmp(path, "BlockList/UncommittedBlocks/Block/Name") == 0 && size <= ID_MAX)
        memcpy(r->id, text, size + 1);
    else if (strcmp(path, "BlockList/UncommittedBlocks/Block/Size") == 0)
        r->has_size = sscanf(text, "%" SCNu64, &r->size) == 1;
    return 0;
}

static int on_end(void *data, const char *path, struct error *err)
{
    struct reading *r = data;
    (void)err;
    if (strcmp(path, "BlockList/UncommittedBlocks/Block") == 0 && *r->id && r->has_size) {
        const struct azure_block block = {.id = r->id, .size = r->size};
        r->on_block(r->data, &block);
    }
    return 0;
}

int azure_block_list_read(const char *body, size_t size,
                          void (*on_block)(void *data, const struct azure_block *block), void *data,
                          struct error *err)
{
    static const struct xml_events events = {.on_start = on_start, .on_text = on_text, .on_end = on_end};
    struct reading r = {.on_block = on_block, .data = data};
    int rc = xml_parse(body, size, AZURE_BLOCK_LIST_MAX, &events, &r, err);
    if (rc == 0 && !r.is_list)
        rc = error_set(err, ERROR_PROTOCOL, true, "the answer is no list of blocks");
    return rc;
}
