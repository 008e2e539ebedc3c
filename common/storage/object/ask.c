#include "storage/object/ask.h"

#include <assert.h>
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

static size_t size_of_strings(const struct object_ask *ask)
{
    size_t size = size_of(ask->operation) + size_of(ask->method) + size_of(ask->key) + size_of(ask->url) +
                  size_of(ask->payload_hash) + size_of(ask->expect_root);
    for (int i = 0; i < ask->n_query; i++)
        size += size_of(ask->query[i].name) + size_of(ask->query[i].value);
    for (int i = 0; i < ask->n_headers; i++)
        size += size_of(ask->headers[i].name) + size_of(ask->headers[i].value);
    return size;
}

int object_ask_copy(const struct object_ask *ask, struct object_ask *ret, void **ret_memory, size_t *ret_size,
                    struct error *err)
{
    size_t n_query = (size_t)ask->n_query, n_headers = (size_t)ask->n_headers;
    size_t size = n_query * sizeof(struct object_query) + n_headers * sizeof(struct object_header) +
                  size_of_strings(ask) + 1;
    struct object_query *query = malloc(size);
    if (query == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    struct object_header *headers = (struct object_header *)(query + n_query);
    char *at = (char *)(headers + n_headers);
    *ret = *ask;
    ret->query = query;
    ret->headers = headers;
    ret->operation = copy(&at, ask->operation);
    ret->method = copy(&at, ask->method);
    ret->key = copy(&at, ask->key);
    ret->url = copy(&at, ask->url);
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
    *ret_size = size;
    return 0;
}

void object_draft_init(struct object_draft *draft, const char *operation, const char *method, const char *key)
{
    draft->ask = (struct object_ask){.operation = operation,
                                     .method = method,
                                     .key = key,
                                     .query = draft->query,
                                     .headers = draft->headers,
                                     .body_fd = -1};
    draft->text[0] = '\0';
}

void object_draft_header(struct object_draft *draft, const char *name, const char *value)
{
    if (value == NULL)
        return;
    assert(draft->ask.n_headers < (int)(sizeof draft->headers / sizeof *draft->headers));
    draft->headers[draft->ask.n_headers++] = (struct object_header){name, value};
}

void object_draft_query(struct object_draft *draft, const char *name, const char *value)
{
    assert(draft->ask.n_query < (int)(sizeof draft->query / sizeof *draft->query));
    draft->query[draft->ask.n_query++] = (struct object_query){name, value};
}
