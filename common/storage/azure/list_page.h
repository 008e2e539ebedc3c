/* One page of List Blobs, out of its XML. Pure. */
#pragma once

#include "storage/object/list.h"

/* What list_start tells of an upload: Azure knows no more of it than the name, and resume_state has this word
 * in it too (resume.h). */
#define AZURE_UNCOMMITTED "uncommitted"

/*
 * As object_list_protocol.read. STORAGE_LIST_UPLOADS: names that have blocks but no blob yet, with
 * AZURE_UNCOMMITTED as upload_id. The answer to include=uncommittedblobs doesn't mark them: they are those
 * without any bytes that have no MD5 either, while the service gives one to each empty blob that Put Blob
 * makes.
 */
int azure_list_page_read(const char *body, size_t size, enum storage_list_kind kind, const char *prefix,
                         bool (*on_entry)(void *data, const struct storage_entry *entry), void *data,
                         struct object_list_page *ret, struct error *err);
