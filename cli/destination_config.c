#include "destination_config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/secret.h"
#include "auth/secret_local.h"
#include "storage/config.h"

/* Standard input to its end; not through stdio, whose buffer nobody overwrites. */
static int read_input(char **ret_text, struct error *err)
{
    char *text = malloc(SECRET_MAX_BYTES + 1);
    size_t n = 0;
    ssize_t got = 1;
    if (text == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    while (got != 0 && n < SECRET_MAX_BYTES) {
        got = read(STDIN_FILENO, text + n, SECRET_MAX_BYTES - n);
        if (got < 0 && errno != EINTR)
            break;
        n += got > 0 ? (size_t)got : 0;
    }
    text[n] = '\0';
    int rc = 0;
    if (got < 0)
        rc = error_errno(err, errno, "--config -: standard input");
    else if (n == SECRET_MAX_BYTES)
        rc = error_set(err, ERROR_INPUT, false, "--config -: more than %d bytes", SECRET_MAX_BYTES - 1);
    else if (n == 0)
        rc = error_set(err, ERROR_INPUT, false, "--config -: standard input is empty");
    if (rc) {
        explicit_bzero(text, n);
        free(text);
        return rc;
    }
    *ret_text = text;
    return 0;
}

static int read_text(const char *given, char **ret_text, struct error *err)
{
    if (strcmp(given, "-") == 0)
        return read_input(ret_text, err);
    if (given[0] == '@') {
        int rc = secret_read_file(given + 1, given + 1, ret_text, err);
        if (rc)
            error_context(err, "--config @");
        return rc;
    }
    *ret_text = strdup(given);
    return *ret_text ? 0 : error_set(err, ERROR_SYSTEM, true, "out of memory");
}

static int seal(struct cli *cli, const char *text, json_t **ret_config, struct error *err)
{
    json_t *plain = NULL;
    int rc = storage_config_parse_literal(text, &plain, err);
    const struct keyring *keyring = rc == 0 ? cli_keyring(cli, err) : NULL;
    if (rc == 0)
        rc = keyring ? storage_config_seal(plain, keyring, ret_config, err) : err->code;
    storage_config_free(plain);
    return rc;
}

/* For the driver's check, which wants to see all of it. */
static int open_sealed(struct cli *cli, const json_t *config, json_t *changes, struct error *err)
{
    json_t *opened = NULL;
    if (storage_config_key_id(config) == NULL)
        return 0;
    const struct keyring *keyring = cli_keyring(cli, err);
    int rc = keyring ? storage_config_open(config, keyring, &opened, err) : err->code;
    if (rc == 0)
        json_object_set_new(changes, "opened_config", opened);
    return rc;
}

int destination_config_settle(struct cli *cli, const struct arguments *args, json_t *changes,
                              struct error *err)
{
    const char *given = json_string_value(json_object_get(changes, "storage_config"));
    bool encrypt = arguments_has(args, "encrypt-config");
    if (given == NULL && encrypt)
        return error_set(err, ERROR_INPUT, false, "--encrypt-config needs the configuration: --config @FILE");
    if (given == NULL)
        return 0;
    char *text = NULL;
    json_t *config = NULL;
    int rc = read_text(given, &text, err);
    if (rc == 0)
        rc = encrypt ? seal(cli, text, &config, err) : storage_config_parse(text, &config, err);
    if (rc == 0)
        rc = open_sealed(cli, config, changes, err);
    if (rc == 0 && encrypt) {
        secret_free(text);
        text = json_dumps(config, JSON_COMPACT);
    }
    if (rc == 0 && (text == NULL || json_object_set_new(changes, "storage_config", json_string(text))))
        rc = error_set(err, ERROR_SYSTEM, true, "out of memory");
    secret_free(text);
    json_decref(config);
    return rc;
}
