/* Random numbers from the kernel; not for keys. */
#pragma once

#include <stddef.h>
#include <stdint.h>

uint64_t random_u64(void);

/* 2 * n_bytes lower-case hex digits and a NUL into out; n_bytes <= 32. */
void random_hex(char *out, size_t n_bytes);
