#include "members.h"

#include <stdbool.h>

json_t *members_fixed(const json_t *object, const struct member *members)
{
    json_t *fixed = json_object();
    for (; fixed && members->name; members++) {
        json_t *value = json_object_get(object, members->name);
        bool good = value && json_typeof(value) == members->type;
        if (json_object_set_new(fixed, members->name, good ? json_incref(value) : json_null())) {
            json_decref(fixed);
            return NULL;
        }
    }
    return fixed;
}
