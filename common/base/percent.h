/* Percent-encoding (RFC 3986): A-Z a-z 0-9 - _ . ~ stay, all else is %XX over the bytes. */
#pragma once

#include "base/strbuf.h"

/* Appends n bytes at text encoded; '/' stays too when keep_slash. */
void percent_encode(struct strbuf *out, const char *text, size_t n, bool keep_slash);
/* Appends n bytes at text decoded; '+' stays as it is. False, with nothing sensible appended: a '%' without
 * two hex digits behind it, or %00. */
bool percent_decode(struct strbuf *out, const char *text, size_t n);
