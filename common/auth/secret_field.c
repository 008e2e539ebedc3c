#include "auth/secret_field.h"

#include <jansson.h>
#include <string.h>

#include "auth/secret.h"

static int copy_of(const char *text, char **ret_secret, struct error *err)
{
    char *copy = strdup(text);
    if (copy == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    *ret_secret = copy;
    return 0;
}

int secret_field(const char *text, const char *field, const char *what, char **ret_secret, struct error *err)
{
    if (field[0] == '\0') {
        if (text[0] == '\0')
            return error_set(err, ERROR_NOT_FOUND, true, "%.300s: the secret is empty", what);
        return copy_of(text, ret_secret, err);
    }
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    const json_t *value = json_object_get(object, field);
    int rc;
    if (!json_is_object(object))
        rc = error_set(err, ERROR_INPUT, true,
                       "%.300s: the secret is not a JSON object, so it has no fields; leave '#%.100s' out",
                       what, field);
    else if (value == NULL || json_is_null(value) || (json_is_string(value) && !json_string_length(value)))
        rc = error_set(err, ERROR_NOT_FOUND, true, "%.300s: the secret has %s field '%.100s'", what,
                       value ? "an empty" : "no", field);
    else if (json_is_string(value))
        rc = copy_of(json_string_value(value), ret_secret, err);
    else {
        char *dump = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
        rc = dump ? 0 : error_set(err, ERROR_SYSTEM, true, "out of memory");
        if (dump)
            *ret_secret = dump;
    }
    secret_json_free(object);
    return rc;
}
