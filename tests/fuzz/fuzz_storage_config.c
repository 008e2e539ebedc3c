/* storage_config of a destination: an object or a refusal, and no refusal repeats what may be a secret. */
#include <string.h>

#include "fuzz.h"
#include "storage/driver.h"

static bool named_so(json_t *value)
{
    const char *key;
    size_t i;
    json_t *member;
    json_object_foreach(value, key, member)
    {
        if (strstr(key, "s3cr3t") || named_so(member))
            return true;
    }
    json_array_foreach(value, i, member)
    {
        if (named_so(member))
            return true;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {0};
    json_t *config = NULL;
    char *text = malloc(size + 1);
    MUST(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    if (storage_config_parse(text, &config, &err) == 0) {
        MUST(config == NULL || json_is_object(config));
        json_decref(config);
    } else {
        MUST(err.code == ERROR_INPUT && !err.retryable && err.message[0] != '\0');
        json_t *root = json_loads(text, JSON_DECODE_ANY, NULL);
        /* the corpus writes its secrets so; a member of that name is named, its value never */
        MUST(strstr(err.message, "s3cr3t") == NULL || named_so(root));
        json_decref(root);
    }
    free(text);
    return 0;
}
