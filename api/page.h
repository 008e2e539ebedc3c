/* Lists in pages by id: ?limit= (1 to 1000, default 100) and ?after= (the id that the page before ended
 * with). */
#pragma once

#include "ask.h"
#include "input.h"

struct page {
    int64_t after, limit;
};

/* Kept as long as the request. NULL: the query was wrong, or memory is out, and that has been answered. */
struct page *page_read(struct http_request *request);

/* The same with parameters besides, into a page of the caller's: their values, valid until the request has
 * been replied to; NULL: see above. */
const struct input_value *page_read_filters(struct http_request *request, struct page *ret_page,
                                            const struct input_field *filters, size_t n_filters);

/* {"<name>": [...], "next_after": id or null}; rows (taken over; NULL: out of memory) were asked for with
 * limit + 1. */
void page_reply(struct http_request *request, const struct page *page, const char *name, json_t *rows);

/* {"<name>": [...], "next_before": id or null}, for lists with the newest first. */
void page_reply_newest(struct http_request *request, int64_t limit, const char *name, json_t *rows);
