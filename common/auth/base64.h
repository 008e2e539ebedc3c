/* Base64 (RFC 4648) of keys and sealed texts: strict, with its padding. */
#pragma once

#include <stddef.h>

enum base64_alphabet { BASE64_STANDARD, BASE64_URLSAFE };

/* *ret: malloc'ed, *ret_size bytes and a NUL; overwrite it before freeing when it is secret. -1: not base64
 * of that alphabet (white space included), or no memory. */
int base64_decode(const char *text, enum base64_alphabet alphabet, unsigned char **ret, size_t *ret_size);
/* Standard alphabet, with padding. malloc'ed; NULL when memory is out. */
char *base64_encode(const unsigned char *data, size_t size);
/* URL-safe alphabet, without padding, as JSON Web Tokens have it (RFC 7515). */
char *base64_encode_url(const unsigned char *data, size_t size);
