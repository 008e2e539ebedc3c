/*
 * Azure Storage's Shared Key: the Authorization header of a request to Blob Storage, service version
 * 2015-02-21 and later. Pure functions, from any thread; the rules are Microsoft's "Authorize with Shared
 * Key".
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/strbuf.h"

enum {
    AZURE_SHARED_KEY_MAX_HEADERS = 64, /* of one request */
    AZURE_SHARED_KEY_MAX_QUERY = 32,
    AZURE_SHARED_KEY_MAX_TEXT = 64 * 1024, /* bytes of a string to sign */
};

struct azure_shared_key_pair {
    const char *name, *value;
};

struct azure_shared_key_request {
    const char *method;
    const char *path; /* encoded, as on the wire; path style: with the account in front of the container, so
                         that it stands twice in what is signed */
    const struct azure_shared_key_pair *query; /* decoded, in any order; a value may be NULL */
    int n_query;
    /* All that will be sent, in any order, names in any case, each at most once; x-ms-date among them. Of
     * those that don't begin with x-ms- the eleven that are signed are looked at, Content-Length left out. */
    const struct azure_shared_key_pair *headers;
    int n_headers;
    uint64_t content_length; /* of the body; 0: is signed as empty */
    const char *account;
    const unsigned char *key; /* decoded */
    size_t key_size;
};

/* Appends "SharedKey ACCOUNT:SIGNATURE" to ret_authorization. string_to_sign (may be NULL) gets what was
 * signed, for messages and tests: it holds no secret, unless a header does (x-ms-encryption-key).
 * ERROR_INPUT: a line break in a header or a query, no x-ms-date, a header twice. ERROR_LIMIT: the bounds
 * above. ERROR_SYSTEM. */
int azure_shared_key_sign(const struct azure_shared_key_request *request, struct strbuf *ret_authorization,
                          struct strbuf *string_to_sign, struct error *err);
