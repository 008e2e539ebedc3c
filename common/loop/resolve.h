/* Host names to addresses in the thread pool, one lookup after the other never blocks the loop. */
#pragma once

#include <uv.h>

#define RESOLVE_MAX 8

struct resolve_address {
    char text[64]; /* numeric IPv4 or IPv6 */
};

struct resolve;

/* status 0: n >= 1 addresses in the resolver's order, valid during the callback; else a libuv error code and
 * n = 0. Runs from the loop. */
typedef void (*resolve_fn)(void *data, int status, const struct resolve_address *addresses, int n);

/* NULL when memory is out. The lookup is gone when its callback runs. */
struct resolve *resolve_start(uv_loop_t *loop, const char *host, resolve_fn fn, void *data);

/* fn is not called any more. A lookup under way can't be interrupted: it ends in its thread, frees itself and
 * keeps the loop alive till then. NULL is allowed. */
void resolve_cancel(struct resolve *resolve);
