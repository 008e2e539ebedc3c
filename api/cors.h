/* Which pages of other origins may use the API from a browser: BM_CORS_ORIGINS. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct cors {
    char *text; /* the origins, each ending with NUL */
    const char **origins;
    size_t n_origins;
};

/* text: origins (SCHEME://HOST[:PORT]) separated by commas, or "". ERROR_INPUT names what is none: '*', a
 * path, user names. cors_deinit must follow; ret_cors is untouched on failure. */
int cors_init(const char *text, struct cors *ret_cors, struct error *err);
void cors_deinit(struct cors *cors); /* also of a zeroed one */

/* origin, as a browser sends it, is listed. NULL, and "null", are not. */
bool cors_allows(const struct cors *cors, const char *origin);
