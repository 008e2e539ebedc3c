#include "storage/azure/list_page.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xml.h"
#include "storage/object/errors.h"

#define BLOB "EnumerationResults/Blobs/Blob"

struct reading {
    enum storage_list_kind kind;
    const char *prefix;
    bool (*on_entry)(void *data, const struct storage_entry *entry);
    void *data;
    struct object_list_page page;
    bool is_listing;
    /* the entry that is being read */
    char *name;
    uint64_t size;
    int64_t time_ms;
    bool has_md5, directory;
};

static int keep(char **out, const char *text, struct error *err)
{
    free(*out);
    *out = strdup(text);
    return *out ? 0 : error_set(err, ERROR_SYSTEM, true, "out of memory");
}

static int on_start(void *data, const char *path, struct error *err)
{
    struct reading *r = data;
    (void)err;
    if (strcmp(path, "EnumerationResults") == 0)
        r->is_listing = true;
    if (strcmp(path, BLOB) != 0)
        return 0;
    free(r->name);
    r->name = NULL;
    r->size = 0;
    r->time_ms = 0;
    r->has_md5 = r->directory = false;
    return 0;
}

static int on_text(void *data, const char *path, const char *text, size_t size, struct error *err)
{
    struct reading *r = data;
    (void)size;
    if (strcmp(path, BLOB "/Name") == 0)
        return keep(&r->name, text, err);
    if (strcmp(path, "EnumerationResults/NextMarker") == 0 && *text) {
        r->page.truncated = true;
        return keep(&r->page.next, text, err);
    }
    if (strcmp(path, BLOB "/Properties/Content-Length") == 0 && sscanf(text, "%" SCNu64, &r->size) != 1)
        return error_set(err, ERROR_PROTOCOL, true, "a listing has a size that isn't a number");
    if (strcmp(path, BLOB "/Properties/Last-Modified") == 0) {
        int64_t ms = object_http_date_ms(text);
        r->time_ms = ms > 0 ? ms : 0;
    }
    if (strcmp(path, BLOB "/Properties/Content-MD5") == 0)
        r->has_md5 = *text != '\0';
    if (strcmp(path, BLOB "/Properties/ResourceType") == 0)
        r->directory = strcmp(text, "directory") == 0;
    return 0;
}

static int on_end(void *data, const char *path, struct error *err)
{
    struct reading *r = data;
    bool uploads = r->kind == STORAGE_LIST_UPLOADS;
    (void)err;
    if (strcmp(path, BLOB) != 0 || r->page.stopped || r->directory || r->name == NULL || *r->name == '\0' ||
        strncmp(r->name, r->prefix, strlen(r->prefix)) != 0 || (uploads && (r->size > 0 || r->has_md5)))
        return 0;
    const struct storage_entry entry = {.key = r->name,
                                        .size = r->size,
                                        .time_ms = r->time_ms,
                                        .upload_id = uploads ? AZURE_UNCOMMITTED : NULL};
    r->page.stopped = !r->on_entry(r->data, &entry);
    return 0;
}

int azure_list_page_read(const char *body, size_t size, enum storage_list_kind kind, const char *prefix,
                         bool (*on_entry)(void *data, const struct storage_entry *entry), void *data,
                         struct object_list_page *ret, struct error *err)
{
    static const struct xml_events events = {.on_start = on_start, .on_text = on_text, .on_end = on_end};
    struct reading r = {.kind = kind, .prefix = prefix, .on_entry = on_entry, .data = data};
    int rc = xml_parse(body, size, size, &events, &r, err);
    if (rc == 0 && !r.is_listing)
        rc = error_set(err, ERROR_PROTOCOL, true, "the answer is no list of blobs");
    free(r.name);
    if (rc < 0)
        object_list_page_deinit(&r.page);
    else
        *ret = r.page;
    return rc;
}
