#include "page.h"

#include "input.h"

bool page_read(struct http_request *request, struct page *ret_page)
{
    enum { LIMIT, AFTER, FIELDS };
    static const struct input_field fields[FIELDS] = {
        [LIMIT] = {"limit", INPUT_INTEGER, .min = 1, .max = 1000},
        [AFTER] = {"after", INPUT_INTEGER},
    };
    const struct input *input = input_query(request, fields, FIELDS);
    if (input == NULL)
        return false;
    ret_page->limit = input->values[LIMIT].given ? input->values[LIMIT].integer : 100;
    ret_page->after = input->values[AFTER].integer;
    return true;
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
