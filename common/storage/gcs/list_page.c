#include "storage/gcs/list_page.h"

#include <string.h>

#include "base/timestamp.h"
#include "storage/gcs/json.h"

static int not_a_page(struct error *err)
{
    return error_set(err, ERROR_PROTOCOL, true, "a listing came that isn't one, or is cut off");
}

/* Names are JSON text; one with a NUL in it can't be named. */
static int read_items(const json_t *items, const char *prefix,
                      bool (*on_entry)(void *data, const struct storage_entry *entry), void *data,
                      struct object_list_page *page, struct error *err)
{
    size_t i;
    const json_t *item;
    json_array_foreach((json_t *)(uintptr_t)items, i, item)
    {
        const json_t *name = json_object_get(item, "name");
        const char *key = json_string_value(name);
        const char *updated = json_string_value(json_object_get(item, "updated"));
        struct storage_entry entry = {.key = key};
        if (key == NULL || !gcs_json_number(json_object_get(item, "size"), &entry.size))
            return not_a_page(err);
        int64_t time_ms = updated ? timestamp_parse(updated) : -1;
        entry.time_ms = time_ms > 0 ? time_ms : 0;
        if (strlen(key) != json_string_length(name) || strncmp(key, prefix, strlen(prefix)) != 0)
            continue;
        if (!on_entry(data, &entry)) {
            page->stopped = true;
            break;
        }
    }
    return 0;
}

static int read_page(const json_t *json, const char *prefix,
                     bool (*on_entry)(void *data, const struct storage_entry *entry), void *data,
                     struct object_list_page *page, struct error *err)
{
    const char *kind = json_string_value(json_object_get(json, "kind"));
    const json_t *items = json_object_get(json, "items");
    const char *next = json_string_value(json_object_get(json, "nextPageToken"));
    if (kind == NULL || strcmp(kind, "storage#objects") != 0 || (items && !json_is_array(items)))
        return not_a_page(err);
    page->truncated = next && *next;
    page->next = page->truncated ? strdup(next) : NULL;
    if (page->truncated && page->next == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    return read_items(items, prefix, on_entry, data, page, err);
}

int gcs_list_page_read(const char *body, size_t size, const char *prefix,
                       bool (*on_entry)(void *data, const struct storage_entry *entry), void *data,
                       struct object_list_page *ret, struct error *err)
{
    struct object_list_page page = {0};
    json_t *json = json_loadb(body, size, JSON_ALLOW_NUL, NULL);
    int rc = read_page(json, prefix, on_entry, data, &page, err);
    json_decref(json);
    if (rc)
        object_list_page_deinit(&page);
    else
        *ret = page;
    return rc;
}
