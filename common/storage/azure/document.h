/* What an answer's XML holds: its root, and what an <Error> says. Pure. */
#pragma once

#include <stddef.h>

struct azure_document {
    char root[64];
    char code[96]; /* of an <Error>; "" = none. Names that Azure gives are shorter */
    char message[400];
};

/* Any bytes. What can't be read holds nothing; texts are clean UTF-8. */
void azure_document_read(const char *body, size_t size, struct azure_document *ret);
