/* "https://host", "http://host:port", "http://host:port/path", as people write them and as they are signed.
 */
#pragma once

#include <stdbool.h>

struct object_endpoint {
    char scheme_host[280]; /* lower case, without the scheme's own port: what the Host header will say */
    char path[128];        /* "/devstoreaccount1", without a '/' at its end; "" = none */
    bool https;
};

/* false: it isn't one (also with a query, a user name, a blank). */
bool object_endpoint_parse(const char *text, struct object_endpoint *ret);
