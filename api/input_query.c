/* The query's parameters as a JSON object: each as its field's type wants it. '+' is a blank (forms' habit).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/percent.h"
#include "input_internal.h"

#define PARAMETERS_MAX 64

/* NULL: a bad '%XX', a NUL, or memory. */
static char *decode(const char *text, size_t size)
{
    struct strbuf out;
    char *copy = strndup(text, size);
    strbuf_init(&out, size + 1);
    for (char *p = copy; p && *p; p++)
        if (*p == '+')
            *p = ' ';
    bool fine = copy && percent_decode(&out, copy, size) && !out.failed;
    free(copy);
    char *decoded = fine ? strdup(strbuf_cstr(&out)) : NULL;
    strbuf_deinit(&out);
    return decoded;
}

static json_t *to_texts(char *text)
{
    json_t *list = json_array();
    char *word;
    while (text && *text && (word = strsep(&text, ",")))
        json_array_append_new(list, json_string(word));
    return list;
}

/* NULL: not a number. */
static json_t *to_integer(const char *text)
{
    char *end;
    const char *digits = text + (*text == '-');
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (*digits == '\0' || digits[strspn(digits, "0123456789")] || errno)
        return NULL;
    return json_integer(number);
}

/* text, UTF-8, as its field's type wants it; as it is where it can't be that: input.c says what to write. */
static json_t *to_json(char *text, const struct input_field *field)
{
    json_t *json = NULL;
    if (field && field->type == INPUT_INTEGER)
        json = to_integer(text);
    else if (field && field->type == INPUT_TEXTS)
        json = to_texts(text);
    else if (field && field->type == INPUT_BOOLEAN && strcmp(text, "true") == 0)
        json = json_true();
    else if (field && field->type == INPUT_BOOLEAN && strcmp(text, "false") == 0)
        json = json_false();
    return json ? json : json_string(text);
}

static const struct input_field *find(const struct input_field *fields, size_t n_fields, const char *name)
{
    for (size_t i = 0; i < n_fields; i++)
        if (strcmp(fields[i].name, name) == 0)
            return &fields[i];
    return NULL;
}

static void take(json_t *root, const char *name, char *text, const struct input_field *field,
                 struct problem *problem)
{
    json_t *as_it_is = json_string(text);
    if (json_object_get(root, name))
        problem_add(problem, name, "stands there twice: write it once");
    else if (as_it_is == NULL || json_object_set_new(root, name, to_json(text, field)))
        problem_add(problem, name, "is not UTF-8");
    json_decref(as_it_is);
}

static void take_parameter(json_t *root, const char *text, size_t size, const struct input_field *fields,
                           size_t n_fields, struct problem *problem)
{
    const char *equals = memchr(text, '=', size);
    size_t name_size = equals ? (size_t)(equals - text) : size;
    char *name = decode(text, name_size);
    char *value = equals ? decode(equals + 1, size - name_size - 1) : strdup("");
    if (name == NULL)
        problem_add(problem, "?", "a parameter's name holds a bad %%XX");
    else if (value == NULL)
        problem_add(problem, name, "the value holds a bad %%XX");
    else
        take(root, name, value, find(fields, n_fields, name), problem);
    free(name);
    free(value);
}

struct input *input_parse_query(const char *query, const struct input_field *fields, size_t n_fields,
                                struct problem *ret_problem)
{
    json_t *root = json_object();
    int count = 0;
    problem_init(ret_problem, 400, "the query's parameters can't be taken as they are");
    for (const char *p = query; *p && root;) {
        size_t size = strcspn(p, "&");
        if (size && ++count <= PARAMETERS_MAX)
            take_parameter(root, p, size, fields, n_fields, ret_problem);
        p += size + (p[size] == '&');
    }
    if (count > PARAMETERS_MAX)
        problem_add(ret_problem, "?", "too many parameters: at most %d", PARAMETERS_MAX);
    if (problem_has_errors(ret_problem)) {
        json_decref(root);
        return NULL;
    }
    return input_from_object(root, fields, n_fields, ret_problem);
}
