#include "store/json_rows.h"

#include <stdlib.h>

/* Type oids of pg_type.dat; they never change. */
enum {
    OID_BOOL = 16,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_JSON = 114,
    OID_FLOAT4 = 700,
    OID_FLOAT8 = 701,
    OID_NUMERIC = 1700,
    OID_JSONB = 3802
};

static json_t *value_of(const PGresult *result, int row, int column)
{
    if (PQgetisnull(result, row, column))
        return json_null();
    const char *text = PQgetvalue(result, row, column);
    switch (PQftype(result, column)) {
    case OID_BOOL:
        return json_boolean(text[0] == 't');
    case OID_INT2:
    case OID_INT4:
    case OID_INT8:
        return json_integer(strtoll(text, NULL, 10));
    case OID_FLOAT4:
    case OID_FLOAT8:
    case OID_NUMERIC:
        return json_real(strtod(text, NULL));
    case OID_JSON:
    case OID_JSONB:
        return json_loads(text, JSON_DECODE_ANY, NULL);
    default:
        return json_string(text);
    }
}

json_t *json_row(const PGresult *result, int row)
{
    json_t *object = json_object();
    for (int c = 0; object && c < PQnfields(result); c++) {
        if (json_object_set_new(object, PQfname(result, c), value_of(result, row, c))) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

json_t *json_rows(const PGresult *result)
{
    json_t *array = json_array();
    for (int row = 0; array && row < PQntuples(result); row++) {
        if (json_array_append_new(array, json_row(result, row))) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}
