/* Header fields of HTTP (RFC 9110) as text; nothing of the server. NULL stands for an absent field. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Accept-Encoding: gzip may be sent and is not less welcome than the bytes as they are. */
bool fields_accept_gzip(const char *accept_encoding);

/* If-None-Match or If-Match names etag (with its quotes; compared weakly) or is "*". */
bool fields_match_etag(const char *named, const char *etag);

/* Content-Type: application/json, with no other charset than UTF-8. */
bool fields_are_json(const char *content_type);

/* Content types that are worth compressing. */
bool fields_compressible(const char *content_type);

enum fields_range { FIELDS_RANGE_WHOLE, FIELDS_RANGE_PART, FIELDS_RANGE_UNSATISFIABLE };

/* Range: one range of bytes, of size bytes. WHOLE: [0, size). UNSATISFIABLE: outputs are 0. */
enum fields_range fields_range(const char *range, int64_t size, int64_t *ret_first, int64_t *ret_length);
