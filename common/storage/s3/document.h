/* What any answer of S3 holds for people and for decisions: the name of its root, and of an error its code.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"

struct s3_document {
    char root[64]; /* "" = not a whole XML document */
    /* of an <Error>, "" where it doesn't say; cut to fit */
    char code[64];
    char message[512];
    char request_id[128];
    char region[64];
};

/* Reads body. Anything that isn't a whole document gives an empty *ret: servers, and what stands between,
 * send HTML, half documents and nothing at all. */
void s3_document_read(const char *body, size_t size, struct s3_document *ret);
