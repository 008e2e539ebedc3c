#include "destination_config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/secret.h"
#include "auth/secret_local.h"
#include "store/catalog_config.h"

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
    const struct keyring *keyring = NULL;
    int rc = read_text(given, &text, err);
    if (rc == 0 && catalog_config_needs_keys(text, encrypt) && (keyring = cli_keyring(cli, err)) == NULL)
        rc = err->code;
    if (rc == 0)
        rc = catalog_config_settle(changes, text, encrypt, NULL, keyring, err);
    secret_free(text);
    return rc;
}
