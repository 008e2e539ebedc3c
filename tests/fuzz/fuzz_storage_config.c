/*
 * storage_config of a destination: an object or a refusal, and no refusal repeats what may be a secret. What
 * is accepted with literal secrets can be sealed, is then accepted without them, and opens to what it was;
 * what claims to be sealed opens or is refused.
 */
#include <string.h>

#include "auth/keyring.h"
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

/* Its key is 32 zero bytes: the corpus has a configuration sealed with it. */
static const struct keyring *ring(void)
{
    static struct keyring *keyring;
    struct error err;
    if (keyring == NULL) {
        keyring = keyring_new();
        MUST(keyring &&
             keyring_add(keyring, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "zero", &err) == 0);
    }
    return keyring;
}

static void open_one(const json_t *config)
{
    struct error err = {0};
    json_t *opened = NULL;
    if (storage_config_open(config, ring(), &opened, &err) == 0)
        MUST(opened == NULL || (json_is_object(opened) && json_object_get(opened, "sealed") == NULL));
    else
        MUST(err.code == ERROR_NOT_FOUND || err.code == ERROR_CORRUPT);
    storage_config_free(opened);
}

static void seal_one(const char *text)
{
    struct error err = {0};
    json_t *config = NULL, *sealed = NULL, *parsed = NULL, *opened = NULL;
    if (storage_config_parse_literal(text, &config, &err) || config == NULL)
        return;
    if (storage_config_seal(config, ring(), &sealed, &err)) {
        MUST(json_object_get(config, "sealed") != NULL);
    } else {
        char *dump = json_dumps(sealed, JSON_COMPACT);
        /* base64 and escapes can make it too long for the bound, nothing else is wrong with it */
        MUST(dump && (storage_config_parse(dump, &parsed, &err) == 0 || strlen(dump) > (64 << 10)));
        MUST(storage_config_open(sealed, ring(), &opened, &err) == 0 && json_equal(opened, config));
        free(dump);
    }
    storage_config_free(opened);
    json_decref(parsed);
    json_decref(sealed);
    storage_config_free(config);
}

static void show_one(const char *text)
{
    char *shown = storage_config_redact(text);
    MUST(shown != NULL);
    json_t *config = *shown && strcmp(shown, "***") != 0 ? json_loads(shown, 0, NULL) : NULL;
    MUST(strcmp(shown, "***") == 0 || *shown == '\0' || json_is_object(config));
    MUST(json_object_get(config, "sealed") == NULL || json_is_string(json_object_get(config, "sealed")));
    json_decref(config);
    free(shown);
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
        open_one(config);
        json_decref(config);
    } else {
        MUST(err.code == ERROR_INPUT && !err.retryable && err.message[0] != '\0');
        json_t *root = json_loads(text, JSON_DECODE_ANY, NULL);
        /* the corpus writes its secrets so; a member of that name is named, its value never */
        MUST(strstr(err.message, "s3cr3t") == NULL || named_so(root));
        json_decref(root);
    }
    seal_one(text);
    show_one(text);
    free(text);
    return 0;
}
