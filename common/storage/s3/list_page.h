/* One page of ListObjectsV2 or ListMultipartUploads, out of its XML. Pure. */
#pragma once

#include "storage/object/list.h"

/* body: a document whose root is ListBucketResult or ListMultipartUploadsResult. on_entry gets, decoded, what
 * begins with prefix and has a name without NUL; next is
 * NextContinuationToken, or NextKeyMarker with NextUploadIdMarker as next_upload. ERROR_PROTOCOL,
 * ERROR_LIMIT, ERROR_SYSTEM; *ret holds nothing then, though entries may have been given. */
int s3_list_page_read(const char *body, size_t size, enum storage_list_kind kind, const char *prefix,
                      bool (*on_entry)(void *data, const struct storage_entry *entry), void *data,
                      struct object_list_page *ret, struct error *err);
