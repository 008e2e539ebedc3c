/* SHA-256 of a stream. */
#pragma once

#include <stddef.h>

#define DIGEST_SHA256_SIZE 65 /* lower-case hex and a NUL */

struct digest;

struct digest *digest_new(void); /* NULL when memory is out */
void digest_free(struct digest *digest);
void digest_update(struct digest *digest, const void *data, size_t n);
/* Once, at the end; out[DIGEST_SHA256_SIZE]. */
void digest_final(struct digest *digest, char *out);
