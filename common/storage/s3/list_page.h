/* One page of ListObjectsV2 or ListMultipartUploads, out of its XML. Pure. */
#pragma once

#include "storage/driver.h"

struct s3_list_page {
    bool stopped;      /* on_entry said that it is enough */
    bool truncated;    /* there is another page, after next (and next_upload) */
    char *next;        /* NextContinuationToken, or NextKeyMarker decoded; NULL = not said */
    char *next_upload; /* NextUploadIdMarker */
};

/* body: a document whose root is ListBucketResult or ListMultipartUploadsResult. on_entry gets, decoded, what
 * begins with prefix and has a name without NUL. ERROR_PROTOCOL, ERROR_LIMIT, ERROR_SYSTEM; *ret holds
 * nothing then, though entries may have been given. */
int s3_list_page_read(const char *body, size_t size, enum storage_list_kind kind, const char *prefix,
                      bool (*on_entry)(void *data, const struct storage_entry *entry), void *data,
                      struct s3_list_page *ret, struct error *err);
void s3_list_page_deinit(struct s3_list_page *page);
