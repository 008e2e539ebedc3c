#include "storage/gcs/json.h"

#include <stdlib.h>
#include <string.h>

bool gcs_json_number(const json_t *value, uint64_t *ret)
{
    const char *text = json_string_value(value);
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *ret = (uint64_t)json_integer_value(value);
        return true;
    }
    size_t n = text ? strlen(text) : 0;
    if (n == 0 || n > 19 || strspn(text, "0123456789") != n)
        return false;
    uint64_t number = strtoull(text, NULL, 10); /* 19 digits fit */
    if (number > INT64_MAX)
        return false;
    *ret = number;
    return true;
}
