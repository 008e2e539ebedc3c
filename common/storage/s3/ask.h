/* A copy of what was asked, in one piece of memory: what call.h promises its callers. */
#pragma once

#include "storage/s3/call.h"

/* *ret's strings and arrays live in *ret_memory, which free() frees; body, descriptors, atomics, callbacks
 * are the caller's. */
int s3_ask_copy(const struct s3_ask *ask, struct s3_ask *ret, void **ret_memory, struct error *err);
