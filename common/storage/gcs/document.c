#include "storage/gcs/document.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "base/xml.h"

#define BODY_MAX ((size_t)64 << 10)
#define NESTING_MAX 2

static void copy(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text);
    utf8_clean(out);
}

static void read_json(const char *body, size_t size, int depth, struct gcs_document *ret);

/* A message: text, which may be a document of its own. */
static void take_message(const json_t *message, int depth, struct gcs_document *ret)
{
    const char *text = json_string_value(message);
    if (text == NULL)
        return;
    copy(ret->message, sizeof ret->message, text);
    if (*text == '{' && depth < NESTING_MAX)
        read_json(text, strlen(text), depth + 1, ret);
}

static void take_code(const json_t *code, struct gcs_document *ret)
{
    if (json_is_string(code) && *json_string_value(code))
        copy(ret->code, sizeof ret->code, json_string_value(code));
}

static void read_object(const json_t *json, int depth, struct gcs_document *ret)
{
    const json_t *error = json_object_get(json, "error");
    const json_t *first = json_array_get(json_object_get(error, "errors"), 0);
    if (json_is_string(error)) {
        ret->found = true;
        take_code(error, ret);
        take_message(json_object_get(json, "error_description"), depth, ret);
    } else if (json_is_object(error)) {
        ret->found = true;
        take_code(json_object_get(error, "status"), ret);
        take_code(json_object_get(first, "reason"), ret);
        take_message(json_object_get(first, "message"), depth, ret);
        take_message(json_object_get(error, "message"), depth, ret);
    } else if (json_object_get(json, "code")) {
        const json_t *message = json_object_get(json, "message");
        ret->found = true;
        if (json_is_object(message) && depth < NESTING_MAX)
            read_object(message, depth + 1, ret);
        else
            take_message(message, depth, ret);
    }
}

static void read_json(const char *body, size_t size, int depth, struct gcs_document *ret)
{
    json_t *json = json_loadb(body, size, 0, NULL);
    read_object(json, depth, ret);
    json_decref(json);
}

static int on_text(void *data, const char *path, const char *text, size_t size, struct error *err)
{
    struct gcs_document *document = data;
    (void)size, (void)err;
    if (strcmp(path, "Error/Code") == 0)
        copy(document->code, sizeof document->code, text);
    else if (strcmp(path, "Error/Message") == 0)
        copy(document->message, sizeof document->message, text);
    document->found = document->found || strncmp(path, "Error/", 6) == 0;
    return 0;
}

void gcs_document_read(const char *body, size_t size, struct gcs_document *ret)
{
    static const struct xml_events events = {.on_text = on_text};
    *ret = (struct gcs_document){0};
    if (size > BODY_MAX)
        return;
    read_json(body, size, 0, ret);
    if (!ret->found && xml_parse(body, size, BODY_MAX, &events, ret, NULL) < 0)
        *ret = (struct gcs_document){0};
}
