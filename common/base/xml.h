/*
 * Small XML documents, given whole: answers of S3, STS, Azure. Elements and their text only: attributes,
 * comments and processing instructions are passed over, namespace prefixes are dropped, a document type (and
 * with it every entity of one's own) is refused.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"

enum {
    XML_MAX_DEPTH = 16,        /* the root counts as 1 */
    XML_MAX_PATH = 512,        /* bytes of the names from the root to an element, slashes included */
    XML_MAX_TEXT = 256 * 1024, /* bytes of one element's text */
};

/*
 * Any of them may be NULL. path names the element from the root: "ListPartsResult/Part/ETag". Both strings
 * are valid during the call only. Each returns 0, or a negative code with err filled, which ends the reading
 * with that error.
 */
struct xml_events {
    int (*on_start)(void *data, const char *path, struct error *err);
    /* The text of an element that holds no other elements, once, right before its end; "" where it has none.
     * It stands as it was written, blanks included, entities and CDATA resolved, UTF-8. size: without the
     * NUL. */
    int (*on_text)(void *data, const char *path, const char *text, size_t size, struct error *err);
    int (*on_end)(void *data, const char *path, struct error *err);
};

/*
 * Reads size bytes at bytes. Blanks in front of the document are fine (S3 sends them while it is at work).
 * What was reported before an error doesn't count: a document is good only when 0 is returned.
 *
 *   ERROR_LIMIT     more than max bytes, or one of the bounds above; not retryable
 *   ERROR_PROTOCOL  empty, cut short, not XML, or with a document type; retryable: the next answer may be
 * whole ERROR_SYSTEM    no memory what a callback returned
 *
 * Messages name the place (line), never the content.
 */
int xml_parse(const char *bytes, size_t size, size_t max, const struct xml_events *events, void *data,
              struct error *err);
