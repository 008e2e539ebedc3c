/*
 * What the body of an answer that isn't success says: Google's JSON errors in their two forms, and those of
 * its XML API and token services that reach a client of the JSON API by way of gateways. Pure.
 *
 *   {"error": {"code": 403, "message": "...", "errors": [{"reason": "forbidden", ...}], "status": "..."}}
 *   {"code": 404, "message": "..."}        the message may again be such a document
 *   {"error": "invalid_token", "error_description": "..."}
 *   <Error><Code>NoSuchBucket</Code><Message>...</Message></Error>
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct gcs_document {
    bool found; /* it is one of these */
    /* "forbidden": errors[].reason, else status, else Code; "" = not said. Both are UTF-8 without control
     * characters. */
    char code[64];
    char message[400];
};

/* Never fails: what is no document leaves *ret empty. */
void gcs_document_read(const char *body, size_t size, struct gcs_document *ret);
