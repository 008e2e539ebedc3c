/* Private to the Google credentials: what texts must be like before they are used. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { GOOGLE_TOKEN_MAX = 16 * 1024 };

/* Can stand in a header behind "Bearer ": visible ASCII, neither empty nor longer than GOOGLE_TOKEN_MAX. */
bool google_text_is_token(const char *text);

/* https to anywhere, or http to this machine (localhost, 127.0.0.0/8, [::1]); with link_local, http to
 * 169.254.0.0/16 too, where the metadata services of clouds are and nothing is routed. Without a user name.
 */
bool google_text_is_safe_address(const char *url, bool link_local);

/* Copies what a peer says about an error, to be shown: one line of UTF-8 within size, in which every word of
 * 20 bytes or more, as keys, assertions and tokens are, is "...". */
void google_text_copy_said(const char *text, char *ret, size_t size);

/* The same for a code, a word of letters and '_': what is anything else, or too long, is "...". */
void google_text_copy_code(const char *text, char *ret, size_t size);
