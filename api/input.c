/* Values against a table, wherever they come from: input_body.c and input_query.c make one JSON object. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "base/timestamp.h"
#include "input_internal.h"

#define TEXT_MAX 10000
#define OBJECT_MAX (64 << 10)
#define MESSAGE_MAX 600

static int64_t text_max(const struct input_field *field)
{
    return field->max ? field->max : TEXT_MAX;
}

static size_t object_max(const struct input_field *field)
{
    return field->max ? (size_t)field->max : OBJECT_MAX;
}

static int64_t integer_max(const struct input_field *field)
{
    return field->min || field->max ? field->max : INT32_MAX;
}

static void write_choices(struct strbuf *out, const struct input_field *field)
{
    strbuf_puts(out, "one of ");
    for (size_t i = 0; field->choices[i]; i++)
        strbuf_printf(out, "%s%s", i ? ", " : "", field->choices[i]);
}

/* What to write. */
static void write_hint(struct strbuf *out, const struct input_field *field)
{
    long long min = field->min, max = text_max(field);
    if (field->hint) {
        strbuf_puts(out, field->hint);
        return;
    }
    switch (field->type) {
    case INPUT_TEXT:
        strbuf_printf(out, "a text of %lld to %lld bytes%s", min, max,
                      field->flags & INPUT_LINES ? "" : " without control characters");
        break;
    case INPUT_INTEGER:
        strbuf_printf(out, "a whole number from %lld to %lld", min, (long long)integer_max(field));
        break;
    case INPUT_BOOLEAN:
        strbuf_puts(out, "true or false");
        break;
    case INPUT_CHOICE:
        write_choices(out, field);
        break;
    case INPUT_TIME:
        strbuf_puts(out, "a time with its zone, such as 2025-11-02T08:00:00Z");
        break;
    case INPUT_TEXTS:
        strbuf_printf(out, "a list of at most %d texts of 1 to %lld bytes", INPUT_TEXTS_MAX, max);
        break;
    case INPUT_OBJECT:
        strbuf_printf(out, "an object%s of at most %zu bytes",
                      field->flags & INPUT_OR_TEXT ? ", or its JSON as a text," : "", object_max(field));
        break;
    }
}

/* "write ..., not 'x'"; the value only when it is short and no secret. */
static void complain(struct problem *problem, const struct input_field *field, const char *what,
                     const json_t *value)
{
    struct strbuf message;
    strbuf_init(&message, MESSAGE_MAX);
    strbuf_printf(&message, "%swrite ", what);
    write_hint(&message, field);
    const char *text = field->flags & INPUT_SECRET ? NULL : json_string_value(value);
    if (text && strlen(text) <= 60)
        strbuf_printf(&message, ", not '%s'", text);
    else if (json_is_integer(value))
        strbuf_printf(&message, ", not %lld", (long long)json_integer_value(value));
    problem_add(problem, field->name, "%s", strbuf_cstr(&message));
    strbuf_deinit(&message);
}

/* JSON strings are UTF-8 already. */
static bool is_text(const json_t *value, const struct input_field *field, int64_t min)
{
    const char *text = json_string_value(value);
    if (text == NULL)
        return false;
    size_t size = json_string_length(value);
    if (strlen(text) != size || (int64_t)size < min || (int64_t)size > text_max(field))
        return false;
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        bool line = field->flags & INPUT_LINES && (*p == '\n' || *p == '\t');
        if ((*p < 0x20 || *p == 0x7f) && !line)
            return false;
    }
    return true;
}

static bool is_texts(const json_t *value, const struct input_field *field)
{
    size_t i;
    json_t *element;
    if (!json_is_array(value) || json_array_size(value) > INPUT_TEXTS_MAX)
        return false;
    json_array_foreach((json_t *)value, i, element)
    {
        if (!is_text(element, field, 1))
            return false;
    }
    return true;
}

static bool is_object(const json_t *value, const struct input_field *field)
{
    return json_is_object(value) && json_dumpb(value, NULL, 0, JSON_COMPACT) <= object_max(field);
}

static bool take_integer(const json_t *json, const struct input_field *field, struct input_value *value,
                         char digits[24])
{
    value->integer = json_integer_value(json);
    if (!json_is_integer(json) || value->integer < field->min || value->integer > integer_max(field))
        return false;
    snprintf(digits, 24, "%lld", (long long)value->integer);
    value->text = digits;
    return true;
}

static bool take_choice(const json_t *json, const struct input_field *field, struct input_value *value)
{
    const char *text = json_string_value(json);
    for (int64_t i = 0; text && field->choices[i]; i++)
        if (strcmp(field->choices[i], text) == 0) {
            value->text = field->choices[i];
            value->integer = i;
            return true;
        }
    return false;
}

static bool take_time(const json_t *json, struct input_value *value)
{
    const char *text = json_string_value(json);
    value->integer = text && strlen(text) == json_string_length(json) ? timestamp_parse(text) : -1;
    value->text = text;
    return value->integer >= 0;
}

static bool take_value(json_t *json, const struct input_field *field, struct input_value *value,
                       char digits[24])
{
    switch (field->type) {
    case INPUT_TEXT:
        value->text = json_string_value(json);
        return is_text(json, field, field->min);
    case INPUT_INTEGER:
        return take_integer(json, field, value, digits);
    case INPUT_BOOLEAN:
        value->boolean = json_is_true(json);
        return json_is_boolean(json);
    case INPUT_CHOICE:
        return take_choice(json, field, value);
    case INPUT_TIME:
        return take_time(json, value);
    case INPUT_TEXTS:
        value->json = json;
        return is_texts(json, field);
    case INPUT_OBJECT:
        if (json_is_string(json) && field->flags & INPUT_OR_TEXT) {
            value->text = json_string_value(json);
            return json_string_length(json) <= object_max(field) &&
                   strlen(value->text) == json_string_length(json);
        }
        value->json = json;
        return is_object(json, field);
    }
    return false;
}

static bool is_known(const struct input_field *fields, size_t n_fields, const char *name)
{
    for (size_t i = 0; i < n_fields; i++)
        if (strcmp(fields[i].name, name) == 0)
            return true;
    return false;
}

static void refuse_unknown(struct problem *problem, const char *name, const struct input_field *fields,
                           size_t n_fields)
{
    struct strbuf known;
    strbuf_init(&known, MESSAGE_MAX);
    for (size_t i = 0; i < n_fields; i++)
        strbuf_printf(&known, "%s%s", i ? ", " : "", fields[i].name);
    if (n_fields)
        problem_add(problem, name, "is not known here; known: %s", strbuf_cstr(&known));
    else
        problem_add(problem, name, "is not known here; leave it out");
    strbuf_deinit(&known);
}

/* root is borrowed; an object. */
static void take_fields(struct input *input, json_t *root, const struct input_field *fields, size_t n_fields,
                        struct problem *problem)
{
    const char *name;
    json_t *json;
    json_object_foreach(root, name, json)
    {
        if (!is_known(fields, n_fields, name))
            refuse_unknown(problem, name, fields, n_fields);
    }
    for (size_t i = 0; i < n_fields; i++) {
        struct input_value *value = &input->values[i];
        json = json_object_get(root, fields[i].name);
        if (json == NULL) {
            if (fields[i].flags & INPUT_REQUIRED)
                complain(problem, &fields[i], "is missing: ", NULL);
            continue;
        }
        input->n_given++;
        value->given = true;
        value->is_null = json_is_null(json) && fields[i].flags & INPUT_NULLABLE;
        if (!value->is_null && !take_value(json, &fields[i], value, input->digits[i]))
            complain(problem, &fields[i], "", json);
    }
}

struct input *input_from_object(json_t *root, const struct input_field *fields, size_t n_fields,
                                struct problem *problem)
{
    assert(n_fields <= INPUT_FIELDS_MAX);
    struct input *input = calloc(1, sizeof *input);
    if (input == NULL || root == NULL) {
        free(input);
        json_decref(root);
        problem_deinit(problem);
        problem_init(problem, 503, "out of memory");
        return NULL;
    }
    input->root = root;
    take_fields(input, root, fields, n_fields, problem);
    if (!problem_has_errors(problem))
        return input;
    input_free(input);
    return NULL;
}

void input_free(struct input *input)
{
    if (input == NULL)
        return;
    json_decref(input->root);
    free(input);
}

static void release(void *input)
{
    input_free(input);
}

static const struct input *answer(struct http_request *request, struct input *input, struct problem *problem)
{
    if (input == NULL) {
        problem_send(problem, request);
        return NULL;
    }
    if (http_keep(request, input, release))
        return input;
    problem_reply(request, 503, "out of memory");
    return NULL;
}

const struct input *input_body(struct http_request *request, const struct input_field *fields,
                               size_t n_fields)
{
    struct problem problem;
    size_t size;
    const char *bytes = http_body(request, &size);
    return answer(request, input_parse_body(bytes, size, fields, n_fields, &problem), &problem);
}

const struct input *input_query(struct http_request *request, const struct input_field *fields,
                                size_t n_fields)
{
    struct problem problem;
    return answer(request, input_parse_query(http_request_query(request), fields, n_fields, &problem),
                  &problem);
}
