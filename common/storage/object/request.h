/* One request as it goes over the wire: URL and header lines. Overwritten when it goes: it holds what
 * authorises it. */
#pragma once

#include "base/strbuf.h"
#include "storage/object/ask.h"

#define OBJECT_REQUEST_MAX_HEADERS 48

struct object_request {
    const char *method; /* points to who made it */
    struct strbuf url;
    const char *lines[OBJECT_REQUEST_MAX_HEADERS]; /* point into text */
    int n_lines;
    struct strbuf text;
    /* A question of the protocol's own, in place of what was asked: without the ask's body and on_body. Its
     * answer goes to the protocol's judge_aside. */
    bool aside;
};

void object_request_init(struct object_request *request, const char *method);
void object_request_deinit(struct object_request *request);
/* "?a=b&c=d" behind what stands in the URL, both sides percent-encoded (RFC 3986); '&' in place of '?' where
 * the URL has a query already. */
void object_request_add_query(struct object_request *request, const struct object_query *query, int n_query);
/* One line "Name: value". */
void object_request_add_line(struct object_request *request, const char *name, const char *value);
/* "Name:": the HTTP client sends none of this name. */
void object_request_omit_line(struct object_request *request, const char *name);
/* After the last line: sets lines and n_lines. ERROR_LIMIT when something didn't fit. */
int object_request_finish(struct object_request *request, struct error *err);
