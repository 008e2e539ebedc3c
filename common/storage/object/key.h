/* Keys of objects, as far as all stores agree. */
#pragma once

#include "base/error.h"

#define OBJECT_KEY_MAX 1024

/* ERROR_UNSAFE_PATH: empty or NULL, over 1024 bytes, not UTF-8, control characters, '.' or '..' components
 * (clients that read it back would normalise them). */
int object_key_check(const char *key, struct error *err);
