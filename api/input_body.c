/* A JSON body. Messages never quote it: it may hold a password. */
#include <string.h>

#include "input_internal.h"

/* How deep brackets nest, without parsing: strings are skipped, the rest is the parser's business. */
static size_t depth_of(const char *bytes, size_t size)
{
    size_t depth = 0, deepest = 0;
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        char c = bytes[i];
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '{' || c == '['))
            depth++;
        else if (!in_string && (c == '}' || c == ']') && depth > 0)
            depth--;
        if (depth > deepest)
            deepest = depth;
    }
    return deepest;
}

static const char *describe(const json_error_t *error)
{
    enum json_error_code code = json_error_code(error);
    if (code == json_error_invalid_utf8)
        return "it is not UTF-8";
    if (code == json_error_premature_end_of_input)
        return "it ends too early";
    if (code == json_error_end_of_input_expected)
        return "something follows its end";
    if (code == json_error_duplicate_key)
        return "a member stands there twice";
    if (code == json_error_null_character || code == json_error_null_byte_in_key)
        return "it holds a NUL";
    if (code == json_error_numeric_overflow)
        return "a number is too large";
    if (code == json_error_out_of_memory)
        return "there is no memory for it";
    return "it is not JSON";
}

struct input *input_parse_body(const char *bytes, size_t size, const struct input_field *fields,
                               size_t n_fields, struct problem *ret_problem)
{
    json_error_t error;
    if (size == 0) {
        problem_init(ret_problem, 422, "the body's fields can't be taken as they are");
        return input_from_object(json_object(), fields, n_fields, ret_problem);
    }
    if (depth_of(bytes, size) > INPUT_DEPTH_MAX) {
        problem_init(ret_problem, 400, "the body is nested too deeply: at most %d levels", INPUT_DEPTH_MAX);
        return NULL;
    }
    json_t *root = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL) {
        problem_init(ret_problem, 400, "the body can't be read as JSON: %s (line %d, column %d)",
                     describe(&error), error.line, error.column);
        return NULL;
    }
    if (!json_is_object(root)) {
        json_decref(root);
        problem_init(ret_problem, 400, "the body must be a JSON object: {\"name\": value, ...}");
        return NULL;
    }
    problem_init(ret_problem, 422, "the body's fields can't be taken as they are");
    return input_from_object(root, fields, n_fields, ret_problem);
}
