#include "storage/object/key.h"

#include <string.h>

#include "storage/object/members.h"

int object_key_check(const char *key, struct error *err)
{
    if (key == NULL || *key == '\0')
        return error_set(err, ERROR_UNSAFE_PATH, false, "the file path is empty");
    if (strnlen(key, OBJECT_KEY_MAX + 1) > OBJECT_KEY_MAX)
        return error_set(err, ERROR_UNSAFE_PATH, false, "file path '%.200s...' is longer than %d bytes", key,
                         OBJECT_KEY_MAX);
    if (!object_text_is_clean(key, OBJECT_KEY_MAX))
        return error_set(err, ERROR_UNSAFE_PATH, false,
                         "the file path has a control character, or isn't UTF-8");
    for (const char *at = key;; at += strcspn(at, "/") + 1) {
        size_t size = strcspn(at, "/");
        if ((size == 1 && at[0] == '.') || (size == 2 && at[0] == '.' && at[1] == '.'))
            return error_set(err, ERROR_UNSAFE_PATH, false,
                             "file path '%.300s' has a '.' or '..' component: write the path without it",
                             key);
        if (at[size] == '\0')
            return 0;
    }
}
