/* A driver's get_start: one object, or a range of it, by ranged requests that are all answered by the same
 * version of the object. */
#pragma once

#include "storage/object/protocol.h"

#define OBJECT_VERSION_SIZE 300 /* with NUL; a longer one is not held to */

struct object_get_range {
    uint64_t first;
    uint64_t size;       /* 0 = the whole object, without a range: an empty object has none */
    const char *version; /* that the first answer told; "" = not known yet */
    const char *text;    /* "bytes=0-99"; NULL with size 0 */
};

struct object_get_protocol {
    /* Writes the request for a range; range->version must be what answers, or the answer is 412 (If-Match,
     * ifGenerationMatch) or another error. on_body is set by the caller. */
    void (*ask)(const struct object_session *session, const char *key, const struct object_get_range *range,
                struct object_draft *draft);
    /* What names the version of the object that this answer is about: an ETag, a generation. NULL = it
     * doesn't say. */
    const char *(*version)(const struct object_answer *answer);
};

/* Answers are 206 with Content-Range, 200 for the whole, or 416 for what lies beyond the object's end. */
int object_get_start(const struct object_protocol *protocol, const struct object_get_protocol *of_get,
                     struct storage_get *get, struct storage_op **ret_op, struct error *err);
