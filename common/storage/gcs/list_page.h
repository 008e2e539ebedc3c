/* One page of a listing, as JSON: {"items": [{"name": ..., "size": ..., "updated": ...}], "nextPageToken":
 * ...}. Pure. */
#pragma once

#include "storage/object/list.h"

#define GCS_LIST_FIELDS "kind,nextPageToken,items(name,size,updated)"

/* As object_list_protocol's read. */
int gcs_list_page_read(const char *body, size_t size, const char *prefix,
                       bool (*on_entry)(void *data, const struct storage_entry *entry), void *data,
                       struct object_list_page *ret, struct error *err);
