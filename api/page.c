#include "page.h"

#include <assert.h>
#include <string.h>

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

bool page_read(struct http_request *request, struct page *ret_page)
{
    return page_read_filters(request, ret_page, NULL, 0) != NULL;
}

void page_reply(struct http_request *request, const struct page *page, const char *name, json_t *rows)
{
    json_t *next = json_null();
    if (rows && (int64_t)json_array_size(rows) > page->limit) {
        size_t last = (size_t)page->limit;
        json_array_remove(rows, last);
        next = json_incref(json_object_get(json_array_get(rows, last - 1), "id"));
    }
    http_reply(request, 200, rows ? json_pack("{s:o, s:o}", name, rows, "next_after", next) : NULL);
    if (rows == NULL)
        json_decref(next);
}
