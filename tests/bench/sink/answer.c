#include "answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

void answer_status(struct answer *answer, int status, const char *reason)
{
    answer->status = status;
    answer->reason = reason;
}

void answer_header(struct answer *answer, const char *format, ...)
{
    size_t used = strlen(answer->headers);
    va_list args;
    va_start(args, format);
    vsnprintf(answer->headers + used, sizeof answer->headers - used, format, args);
    va_end(args);
}

void answer_body(struct answer *answer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(answer->body, sizeof answer->body, format, args);
    va_end(args);
}

const char *query_parameter(const char *query, const char *name)
{
    size_t size = strlen(name);
    for (const char *at = query; at; at = strchr(at, '&')) {
        at += *at == '&';
        if (strncmp(at, name, size) == 0 && (at[size] == '=' || at[size] == '&' || at[size] == '\0'))
            return at[size] == '=' ? at + size + 1 : at + size;
    }
    return NULL;
}

void keep_headers(const struct wire_request *request, const char *prefix, char out[OBJECTS_HEADERS_MAX])
{
    size_t used = strlen(out);
    for (int i = 0; i < request->n_headers; i++) {
        const struct wire_header *h = &request->headers[i];
        if (strncasecmp(h->name, prefix, strlen(prefix)) != 0)
            continue;
        int n = snprintf(out + used, OBJECTS_HEADERS_MAX - used, "%s: %s\r\n", h->name, h->value);
        if (n < 0 || (size_t)n >= OBJECTS_HEADERS_MAX - used) {
            out[used] = '\0';
            return;
        }
        used += (size_t)n;
    }
}
