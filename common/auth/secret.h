/*
 * References to secrets: env:NAME, file:/absolute/path, vault:mount/path#field, aws-sm:id#field; a bare name
 * is put into default_template (BM_CREDENTIALS_DEFAULT, "vault:kv/%s"). Syntax only: secrets.h fetches what
 * they name.
 */
#pragma once

#include <jansson.h>

#include "base/error.h"

enum { SECRET_REFERENCE_SIZE = 513 };

enum secret_scheme { SECRET_ENV, SECRET_FILE, SECRET_VAULT, SECRET_AWS_SM };

struct secret_reference {
    enum secret_scheme scheme;
    char full[SECRET_REFERENCE_SIZE];  /* with its scheme, the template applied: for messages */
    char place[SECRET_REFERENCE_SIZE]; /* variable, path, mount/path, or id */
    char field[SECRET_REFERENCE_SIZE]; /* behind '#'; "" = none */
};

/*
 * ERROR_INPUT names the forms that can be used. The reference itself is repeated in the message only when it
 * begins with a known scheme: anything else may be a literal secret in the wrong place. default_template may
 * be NULL or "".
 */
int secret_reference_parse(const char *reference, const char *default_template, struct secret_reference *ret,
                           struct error *err);
/* The same, for the answer alone. */
int secret_reference_check(const char *reference, const char *default_template, struct error *err);

/* Overwrites and frees; NULL is fine. */
void secret_free(char *secret);
/* json_decref, after the strings that nobody else holds were overwritten; NULL is fine. */
void secret_json_free(json_t *json);
