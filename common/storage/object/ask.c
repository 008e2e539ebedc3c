#include "storage/s3/ask.h"

#include <stdlib.h>
#include <string.h>

static size_t size_of(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

static const char *copy(char **at, const char *text)
{
    if (text == NULL)
        return NULL;
    char *start = *at;
    *at = stpcpy(start, text) + 1;
    return start;
}

static size_t size_of_strings(const struct s3_ask *ask)
{
    size_t size = size_of(ask->operation) + size_of(ask->method) + size_of(ask->key) +
                  size_of(ask->payload_hash) + size_of(ask->expect_root);
    for (int i = 0; i < ask->n_query; i++)
        size += size_of(ask->query[i].name) + size_of(ask->query[i].value);
    for (int i = 0; i < ask->n_headers; i++)
        size += size_of(ask->headers[i].name) + size_of(ask->headers[i].value);
    return size;
}

int s3_ask_copy(const struct s3_ask *ask, struct s3_ask *ret, void **ret_memory, struct error *err)
{
    size_t n_query = (size_t)ask->n_query, n_headers = (size_t)ask->n_headers;
    struct sigv4_query *query =
        malloc(n_query * sizeof *query + n_headers * sizeof(struct sigv4_header) + size_of_strings(ask) + 1);
    if (query == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    struct sigv4_header *headers = (struct sigv4_header *)(query + n_query);
    char *at = (char *)(headers + n_headers);
    *ret = *ask;
    ret->query = query;
    ret->headers = headers;
    ret->operation = copy(&at, ask->operation);
    ret->method = copy(&at, ask->method);
    ret->key = copy(&at, ask->key);
    ret->payload_hash = copy(&at, ask->payload_hash);
    ret->expect_root = copy(&at, ask->expect_root);
    for (size_t i = 0; i < n_query; i++) {
        query[i].name = copy(&at, ask->query[i].name);
        query[i].value = copy(&at, ask->query[i].value);
    }
    for (size_t i = 0; i < n_headers; i++) {
        headers[i].name = copy(&at, ask->headers[i].name);
        headers[i].value = copy(&at, ask->headers[i].value);
    }
    *ret_memory = query;
    return 0;
}
