/* A driver's list_start: everything below a prefix, page by page. A page is given on once it has come whole.
 */
#pragma once

#include "storage/object/protocol.h"

#define OBJECT_LIST_PAGE_MAX ((size_t)8 << 20) /* bytes of an answer */

/* What is said of a page; strings are malloc'ed. */
struct object_list_page {
    bool stopped;      /* on_entry said that it is enough */
    bool truncated;    /* there is another page, after next (and next_upload) */
    char *next;        /* where the next page begins, as the store gave it, decoded; NULL = not said */
    char *next_upload; /* where one name isn't enough */
};
void object_list_page_deinit(struct object_list_page *page);

struct object_list_protocol {
    /* Writes the request for the page after `after`, or the first one (its members are NULL then).
     * response_max is set by the caller. */
    void (*ask)(const struct object_session *session, const char *prefix, enum storage_list_kind kind,
                const struct object_list_page *after, struct object_draft *draft);
    /* Gives what begins with prefix and can be named (no NUL) to on_entry, until that returns false, and
     * fills *ret. ERROR_PROTOCOL, ERROR_LIMIT, ERROR_SYSTEM, without the container in the message; *ret holds
     * nothing then, though entries may have been given. */
    int (*read)(const struct object_answer *answer, enum storage_list_kind kind, const char *prefix,
                bool (*on_entry)(void *data, const struct storage_entry *entry), void *data,
                struct object_list_page *ret, struct error *err);
};

int object_list_start(const struct object_protocol *protocol, const struct object_list_protocol *of_list,
                      struct storage_list *list, struct storage_op **ret_op, struct error *err);
