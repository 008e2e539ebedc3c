#include "auth/secret.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

static const char *const forms =
    "write env:NAME, file:/absolute/path, vault:mount/path#field or aws-sm:id#field";

static const struct {
    const char *prefix;
    enum secret_scheme scheme;
} schemes[] = {
    {"env:", SECRET_ENV}, {"file:", SECRET_FILE}, {"vault:", SECRET_VAULT}, {"aws-sm:", SECRET_AWS_SM}};

enum { N_SCHEMES = sizeof schemes / sizeof *schemes };

/* Index into schemes, or -1. */
static int scheme_of(const char *reference)
{
    for (int i = 0; i < N_SCHEMES; i++)
        if (strncmp(reference, schemes[i].prefix, strlen(schemes[i].prefix)) == 0)
            return i;
    return -1;
}

static bool consists_of(const char *text, const char *characters)
{
    return text[0] != '\0' && text[strspn(text, characters)] == '\0';
}

static bool is_variable_name(const char *name)
{
    return consists_of(name, LETTERS DIGITS "_") && strchr(DIGITS, name[0]) == NULL;
}

/* Parts between single slashes, none of them "." or "..". */
static bool has_plain_parts(const char *path)
{
    for (const char *part = path; part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL) {
        size_t n = strcspn(part, "/");
        if (n == 0 || (n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.'))
            return false;
    }
    return true;
}

/* A name that can go into a template without leaving the place the template names. */
static bool is_bare_name(const char *name)
{
    return consists_of(name, LETTERS DIGITS "._/-") && name[0] != '/' && strstr(name, "..") == NULL;
}

/* What may stand in the path of a URL as it is (RFC 3986's pchar without '%'), so that nothing needs
 * encoding; no comma either, which parts the references of BM_ENCRYPTION_KEY_REF. */
static bool is_vault_place(const char *place)
{
    return consists_of(place, LETTERS DIGITS "-._~!$&'()*+;=:@/") && strchr(place, '/') &&
           has_plain_parts(place);
}

/* A name or an ARN. */
static bool is_aws_id(const char *id)
{
    return consists_of(id, LETTERS DIGITS "/_+=.@:-");
}

static bool is_printable(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return false;
    return true;
}

/* Behind the scheme: the place, and the field where the scheme has fields. */
static int split(const char *rest, bool has_field, struct secret_reference *out, struct error *err)
{
    const char *hash = has_field ? strchr(rest, '#') : NULL;
    size_t n = hash ? (size_t)(hash - rest) : strlen(rest);
    memcpy(out->place, rest, n);
    out->place[n] = '\0';
    out->field[0] = '\0';
    if (hash == NULL)
        return 0;
    if (hash[1] == '\0' || !is_printable(hash + 1))
        return error_set(
            err, ERROR_INPUT, false,
            "%.300s: behind '#' stands the name of the field; leave '#' out for the whole secret", out->full);
    strcpy(out->field, hash + 1); /* no longer than full, which it is a part of */
    return 0;
}

static int check_place(const struct secret_reference *r, struct error *err)
{
    const char *wrong = NULL;
    switch (r->scheme) {
    case SECRET_ENV:
        wrong = is_variable_name(r->place) ? NULL : "not the name of an environment variable";
        break;
    case SECRET_FILE:
        wrong = r->place[0] == '/' && r->place[1] ? NULL : "the path must be absolute";
        break;
    case SECRET_VAULT:
        wrong = is_vault_place(r->place) ? NULL : "not the mount and path of a secret (kv/databases/shop)";
        break;
    case SECRET_AWS_SM:
        wrong = is_aws_id(r->place) ? NULL : "not the name or ARN of a secret";
        break;
    }
    if (wrong)
        return error_set(err, ERROR_INPUT, false, "%.300s: %s; %s", r->full, wrong, forms);
    return 0;
}

static int too_long(struct error *err)
{
    return error_set(err, ERROR_INPUT, false, "secret reference longer than %d bytes",
                     SECRET_REFERENCE_SIZE - 1);
}

/* The bare name, put into the template. */
static int expand(const char *name, const char *template, char *full, struct error *err)
{
    if (!is_bare_name(name))
        return error_set(err, ERROR_INPUT, false,
                         "not a secret reference (and not repeated here, it may be a secret): %s", forms);
    if (template == NULL || template[0] == '\0')
        return error_set(err, ERROR_INPUT, false,
                         "a bare name as secret reference (not repeated here, it may be a secret) needs "
                         "BM_CREDENTIALS_DEFAULT, for example file:/run/secrets/%%s; or %s",
                         forms);
    const char *hole = strstr(template, "%s");
    if (scheme_of(template) < 0 || hole == NULL || strchr(hole + 2, '%') || strchr(template, '%') != hole)
        return error_set(err, ERROR_INPUT, false,
                         "BM_CREDENTIALS_DEFAULT must be a reference with one %%s in it, for example "
                         "file:/run/secrets/%%s");
    int n =
        snprintf(full, SECRET_REFERENCE_SIZE, "%.*s%s%s", (int)(hole - template), template, name, hole + 2);
    return n < SECRET_REFERENCE_SIZE ? 0 : too_long(err);
}

int secret_reference_parse(const char *reference, const char *default_template, struct secret_reference *ret,
                           struct error *err)
{
    struct secret_reference r = {0};
    int rc = 0;
    if (reference == NULL || reference[0] == '\0')
        return error_set(err, ERROR_INPUT, false, "empty secret reference: %s", forms);
    if (strlen(reference) >= SECRET_REFERENCE_SIZE)
        return too_long(err);
    if (scheme_of(reference) >= 0)
        strcpy(r.full, reference);
    else
        rc = expand(reference, default_template, r.full, err);
    if (rc)
        return rc;
    int scheme = scheme_of(r.full);
    r.scheme = schemes[scheme].scheme;
    rc = split(r.full + strlen(schemes[scheme].prefix), r.scheme == SECRET_VAULT || r.scheme == SECRET_AWS_SM,
               &r, err);
    if (rc == 0)
        rc = check_place(&r, err);
    if (rc == 0)
        *ret = r;
    return rc;
}

int secret_reference_check(const char *reference, const char *default_template, struct error *err)
{
    struct secret_reference r;
    return secret_reference_parse(reference, default_template, &r, err);
}

void secret_free(char *secret)
{
    if (secret == NULL)
        return;
    explicit_bzero(secret, strlen(secret));
    free(secret);
}

static void wipe(json_t *json)
{
    if (json->refcount != 1)
        return;
    if (json_is_string(json)) {
        explicit_bzero((char *)json_string_value(json), json_string_length(json));
    } else if (json_is_array(json)) {
        for (size_t i = 0; i < json_array_size(json); i++)
            wipe(json_array_get(json, i));
    } else if (json_is_object(json)) {
        const char *name;
        json_t *value;
        json_object_foreach(json, name, value) wipe(value);
    }
}

void secret_json_free(json_t *json)
{
    if (json)
        wipe(json);
    json_decref(json);
}
