#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "loop/http_internal.h"

enum { INTERIM_MAX = 32, BYTES_PER_MS_MIN = 16 };

/* A new answer begins: a final one after 100 Continue, or the one to a request that libcurl repeated. */
static int begin(struct http_kept *kept, const char *line, size_t size, struct error *err)
{
    strbuf_clear(&kept->headers);
    strbuf_clear(&kept->body);
    kept->received = 0;
    kept->in_headers = true;
    const char *blank = memchr(line, ' ', size);
    bool interim = blank && blank + 1 < line + size && blank[1] == '1';
    if (interim && ++kept->n_interim > INTERIM_MAX)
        return error_set(err, ERROR_PROTOCOL, true, "more than %d answers 1xx", INTERIM_MAX);
    return 0;
}

static void trim(const char **text, size_t *size)
{
    while (*size > 0 && strchr(" \t\r\n", (*text)[*size - 1]))
        --*size;
    while (*size > 0 && (**text == ' ' || **text == '\t')) {
        ++*text;
        --*size;
    }
}

int http_kept_line(struct http_kept *kept, const char *line, size_t size, struct error *err)
{
    if (size >= 5 && memcmp(line, "HTTP/", 5) == 0)
        return begin(kept, line, size, err);
    if (!kept->in_headers)
        return 0; /* a trailer behind a chunked body */
    const char *colon = memchr(line, ':', size);
    if (size == 0 || line[0] == '\r' || line[0] == '\n') {
        kept->in_headers = false;
        return 0;
    }
    if (colon == NULL || memchr(line, '\0', size))
        return 0;
    const char *name = line, *value = colon + 1;
    size_t name_size = (size_t)(colon - line), value_size = size - name_size - 1;
    trim(&name, &name_size);
    trim(&value, &value_size);
    if (name_size + value_size + 2 > kept->headers.max - kept->headers.size)
        return error_set(err, ERROR_PROTOCOL, true, "the answer's headers are longer than %zu bytes",
                         kept->headers.max);
    strbuf_append(&kept->headers, name, name_size);
    strbuf_putc(&kept->headers, '\0');
    strbuf_append(&kept->headers, value, value_size);
    strbuf_putc(&kept->headers, '\0');
    return kept->headers.failed ? error_set(err, ERROR_SYSTEM, true, "out of memory") : 0;
}

int64_t http_kept_allowance_ms(size_t response_max, int64_t stall_timeout_ms)
{
    return stall_timeout_ms + (int64_t)(response_max / BYTES_PER_MS_MIN);
}

const char *http_kept_header(const struct http_response *response, const char *name)
{
    const struct strbuf *headers = response->headers;
    const char *found = NULL;
    const char *end = headers->data ? headers->data + headers->size : NULL;
    for (const char *p = headers->data; p != NULL && p < end;) {
        const char *value = p + strlen(p) + 1;
        if (strcasecmp(p, name) == 0)
            found = value;
        p = value + strlen(value) + 1;
    }
    return found;
}
