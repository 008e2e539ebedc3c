#include "base/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

static void fill(void *out, size_t n)
{
    /* up to 256 bytes never come short once the pool is initialised (getrandom(2)) */
    if (getrandom(out, n, 0) != (ssize_t)n)
        abort();
}

uint64_t random_u64(void)
{
    uint64_t value;
    fill(&value, sizeof value);
    return value;
}

void random_hex(char *out, size_t n_bytes)
{
    unsigned char bytes[32];
    if (n_bytes > sizeof bytes)
        n_bytes = sizeof bytes;
    fill(bytes, n_bytes);
    for (size_t i = 0; i < n_bytes; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}
