/* Objects that somebody else wrote, such as jobs in Redis, brought into the form that the API promises. */
#pragma once

#include <jansson.h>

struct member {
    const char *name;
    json_type type; /* anything else, and what is missing, becomes null */
};

/* A new object with exactly these members; they end with a NULL name. NULL when memory is out. */
json_t *members_fixed(const json_t *object, const struct member *members);
