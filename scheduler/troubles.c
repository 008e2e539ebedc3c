#include "troubles.h"

#include <stdlib.h>

void troubles_deinit(struct troubles *troubles)
{
    free(troubles->list);
    *troubles = (struct troubles){0};
}

void troubles_begin(struct troubles *troubles)
{
    for (size_t i = 0; i < troubles->n; i++)
        troubles->list[i].seen = false;
}

void troubles_end(struct troubles *troubles)
{
    size_t kept = 0;
    for (size_t i = 0; i < troubles->n; i++)
        if (troubles->list[i].seen)
            troubles->list[kept++] = troubles->list[i];
    troubles->n = kept;
}

static uint64_t digest_of(const char *text)
{
    uint64_t digest = 14695981039346656037u; /* FNV-1a */
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        digest = (digest ^ *p) * 1099511628211u;
    return digest;
}

bool troubles_tell(struct troubles *troubles, int64_t id, const char *message)
{
    uint64_t digest = digest_of(message);
    for (size_t i = 0; i < troubles->n; i++) {
        struct trouble *known = &troubles->list[i];
        if (known->id == id) {
            bool is_new = known->digest != digest;
            known->digest = digest;
            known->seen = true;
            return is_new;
        }
    }
    if (troubles->n == troubles->capacity) {
        size_t capacity = troubles->capacity ? troubles->capacity * 2 : 8;
        struct trouble *list = realloc(troubles->list, capacity * sizeof *list);
        if (list == NULL)
            return true;
        troubles->list = list;
        troubles->capacity = capacity;
    }
    troubles->list[troubles->n++] = (struct trouble){id, digest, true};
    return true;
}
