#include "page.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "problem.h"

const struct input_value *page_read_filters(struct http_request *request, struct page *ret_page,
                                            const struct input_field *filters, size_t n_filters)
{
    enum { LIMIT, AFTER, FIELDS };
    struct input_field fields[INPUT_FIELDS_MAX] = {
        [LIMIT] = {"limit", INPUT_INTEGER, .min = 1, .max = 1000},
        [AFTER] = {"after", INPUT_INTEGER},
    };
    assert(n_filters <= INPUT_FIELDS_MAX - FIELDS);
    if (n_filters)
        memcpy(fields + FIELDS, filters, n_filters * sizeof *filters);
    const struct input *input = input_query(request, fields, FIELDS + n_filters);
    if (input == NULL)
        return NULL;
    ret_page->limit = input->values[LIMIT].given ? input->values[LIMIT].integer : 100;
    ret_page->after = input->values[AFTER].integer;
    return input->values + FIELDS;
}

struct page *page_read(struct http_request *request)
{
    struct page *page = calloc(1, sizeof *page);
    if (!http_keep(request, page, free)) {
        problem_reply(request, 503, "out of memory");
        return NULL;
    }
    return page_read_filters(request, page, NULL, 0) ? page : NULL;
}

static void reply(struct http_request *request, int64_t limit, const char *name, json_t *rows,
                  const char *next_name)
{
    json_t *next = NULL;
    if ((int64_t)json_array_size(rows) > limit) {
        json_array_remove(rows, (size_t)limit);
        next = json_object_get(json_array_get(rows, (size_t)limit - 1), "id");
    }
    http_reply(request, 200, rows ? json_pack("{s:o, s:O?}", name, rows, next_name, next) : NULL);
}

void page_reply(struct http_request *request, const struct page *page, const char *name, json_t *rows)
{
    reply(request, page->limit, name, rows, "next_after");
}

void page_reply_newest(struct http_request *request, int64_t limit, const char *name, json_t *rows)
{
    reply(request, limit, name, rows, "next_before");
}
