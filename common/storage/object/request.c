#include "storage/object/request.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "auth/sigv4.h"

#define URL_MAX (16 << 10)
#define TEXT_MAX (64 << 10)

void object_request_init(struct object_request *request, const char *method)
{
    *request = (struct object_request){.method = method};
    strbuf_init(&request->url, URL_MAX);
    strbuf_init(&request->text, TEXT_MAX);
}

static void wipe(struct strbuf *b)
{
    if (b->data)
        explicit_bzero(b->data, b->capacity);
    strbuf_deinit(b);
}

void object_request_deinit(struct object_request *request)
{
    wipe(&request->url);
    wipe(&request->text);
    request->n_lines = 0;
}

void object_request_add_query(struct object_request *request, const struct object_query *query, int n_query)
{
    bool first = strchr(strbuf_cstr(&request->url), '?') == NULL;
    for (int i = 0; i < n_query; i++) {
        strbuf_putc(&request->url, first ? '?' : '&');
        sigv4_encode(&request->url, query[i].name, false);
        strbuf_putc(&request->url, '=');
        sigv4_encode(&request->url, query[i].value ? query[i].value : "", false);
        first = false;
    }
}

void object_request_add_line(struct object_request *request, const char *name, const char *value)
{
    strbuf_puts(&request->text, name);
    strbuf_puts(&request->text, ": ");
    strbuf_puts(&request->text, value);
    strbuf_append(&request->text, "", 1);
}

void object_request_omit_line(struct object_request *request, const char *name)
{
    strbuf_puts(&request->text, name);
    strbuf_append(&request->text, ":", sizeof ":");
}

int object_request_finish(struct object_request *request, struct error *err)
{
    assert(request->n_lines == 0);
    if (request->url.failed)
        return error_set(err, ERROR_LIMIT, false, "the URL of a request doesn't fit into %d bytes", URL_MAX);
    if (request->text.failed)
        return error_set(err, ERROR_LIMIT, false, "the headers of a request don't fit into %d bytes",
                         TEXT_MAX);
    const char *end = request->text.data + request->text.size;
    for (const char *line = request->text.data; line < end; line += strlen(line) + 1) {
        if (request->n_lines == OBJECT_REQUEST_MAX_HEADERS)
            return error_set(err, ERROR_LIMIT, false, "a request has more than %d headers",
                             OBJECT_REQUEST_MAX_HEADERS);
        request->lines[request->n_lines++] = line;
    }
    return 0;
}
