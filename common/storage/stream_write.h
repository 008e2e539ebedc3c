/* Writing to a pipe or socket whose reader may stall, from the thread pool. */
#pragma once

#include <stdatomic.h>
#include <stddef.h>

#include "base/error.h"

/* All of data, or a negative code: ERROR_CANCELLED soon after *cancelled was set, however long the reader
 * stalls; else what the write says. Whether fd blocks doesn't matter. */
int stream_write(int fd, const char *data, size_t size, const atomic_bool *cancelled, struct error *err);
