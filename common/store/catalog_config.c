#include "store/catalog_config.h"

#include <string.h>

#include "auth/secret.h"
#include "storage/config.h"

static int out_of_memory(struct error *err)
{
    return error_set(err, ERROR_SYSTEM, true, "out of memory");
}

bool catalog_config_needs_keys(const char *text, bool encrypt)
{
    json_t *config = text ? json_loads(text, 0, NULL) : NULL;
    bool needed = config && (encrypt || json_object_get(config, "sealed"));
    storage_config_free(config);
    return needed;
}

/* text with what is sealed in the row in place of the "***" that stands for it; NULL: text is to be taken as
 * it is. */
static int put_kept(const char *text, const char *kept, char **ret_text, struct error *err)
{
    json_t *config = json_loads(text, JSON_REJECT_DUPLICATES, NULL), *row = NULL;
    const char *sealed = json_string_value(json_object_get(config, "sealed"));
    int rc = 0;
    if (kept && sealed && strcmp(sealed, CATALOG_CONFIG_HIDDEN) == 0) {
        row = json_loads(kept, 0, NULL);
        json_t *is_sealed = json_object_get(row, "sealed");
        if (is_sealed == NULL)
            rc = error_set(
                err, ERROR_INPUT, false,
                "storage_config: nothing is sealed there that \"sealed\": \"***\" could stand for; leave it "
                "out, or give the secrets anew");
        else if (json_object_set(config, "sealed", is_sealed) ||
                 (*ret_text = json_dumps(config, JSON_COMPACT)) == NULL)
            rc = out_of_memory(err);
    }
    json_decref(row);
    storage_config_free(config);
    return rc;
}

/* config without its sealed member, but with what is sealed there; a member that stands beside it is a newer
 * one. */
static int unseal(const json_t *config, const struct keyring *keyring, json_t **ret_plain, struct error *err)
{
    json_t *plain = json_copy((json_t *)config), *secrets = NULL;
    json_t *sealed = json_pack("{s:O}", "sealed", json_object_get(config, "sealed"));
    int rc = plain && sealed ? storage_config_open(sealed, keyring, &secrets, err) : out_of_memory(err);
    if (rc == 0 && (json_object_del(plain, "sealed") || json_object_update_missing(plain, secrets)))
        rc = out_of_memory(err);
    json_decref(sealed);
    storage_config_free(secrets); /* overwrites what plain has not taken */
    if (rc) {
        storage_config_free(plain);
        return rc;
    }
    *ret_plain = plain;
    return 0;
}

static int seal(const char *text, const struct keyring *keyring, json_t **ret_config, struct error *err)
{
    json_t *config = NULL, *plain = NULL;
    int rc = storage_config_parse_literal(text, &config, err);
    if (rc == 0 && json_object_get(config, "sealed"))
        rc = unseal(config, keyring, &plain, err);
    if (rc == 0 && config)
        rc = storage_config_seal(plain ? plain : config, keyring, ret_config, err);
    storage_config_free(plain);
    storage_config_free(config);
    return rc;
}

/* For the driver's check, which wants to see all of it. */
static int open_sealed(json_t *changes, const json_t *config, const struct keyring *keyring,
                       struct error *err)
{
    json_t *opened = NULL;
    if (storage_config_key_id(config) == NULL)
        return 0;
    int rc = storage_config_open(config, keyring, &opened, err);
    if (rc == 0 && json_object_set_new(changes, "opened_config", opened))
        rc = out_of_memory(err);
    return rc;
}

int catalog_config_settle(json_t *changes, const char *text, bool encrypt, const char *kept,
                          const struct keyring *keyring, struct error *err)
{
    char *with_kept = NULL, *sealed = NULL;
    json_t *config = NULL;
    int rc = put_kept(text, kept, &with_kept, err);
    const char *given = with_kept ? with_kept : text;
    if (rc == 0)
        rc = encrypt ? seal(given, keyring, &config, err) : storage_config_parse(given, &config, err);
    if (rc == 0)
        rc = open_sealed(changes, config, keyring, err);
    if (rc == 0 && encrypt && config && (sealed = json_dumps(config, JSON_COMPACT)) == NULL)
        rc = out_of_memory(err);
    if (rc == 0 && json_object_set_new(changes, "storage_config", json_string(sealed ? sealed : given)))
        rc = out_of_memory(err);
    secret_free(sealed);
    secret_free(with_kept);
    json_decref(config);
    return rc;
}
