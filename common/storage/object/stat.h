/* A driver's stat_start: whether an object is there, and its size. A missing container is an error, so that a
 * wrong name doesn't look like a lost copy. */
#pragma once

#include "storage/object/protocol.h"

enum object_missing {
    OBJECT_MISSING_UNKNOWN, /* the container is asked for */
    OBJECT_MISSING_KEY,
    OBJECT_MISSING_CONTAINER,
};

struct object_stat_protocol {
    void (*ask)(const struct object_session *session, const char *key, struct object_draft *draft);
    /* Of a success. ERROR_PROTOCOL, without context. */
    int (*size)(const struct object_answer *answer, uint64_t *ret_size, struct error *err);
    /* Of a 404. NULL: always OBJECT_MISSING_UNKNOWN. */
    enum object_missing (*missing)(const struct object_answer *answer);
    /* Whether the container is there. 404: it isn't; success and 403: it is. NULL: it is taken to be. */
    void (*ask_container)(const struct object_session *session, struct object_draft *draft);
};

/* For protocols whose HEAD tells Content-Length. */
int object_stat_content_length(const struct object_answer *answer, uint64_t *ret_size, struct error *err);

int object_stat_start(const struct object_protocol *protocol, const struct object_stat_protocol *of_stat,
                      struct storage_stat *stat, struct storage_op **ret_op, struct error *err);
