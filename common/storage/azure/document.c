#include "storage/azure/document.h"

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "base/xml.h"

static int on_start(void *data, const char *path, struct error *err)
{
    struct azure_document *document = data;
    (void)err;
    if (document->root[0] == '\0')
        snprintf(document->root, sizeof document->root, "%s", path);
    return 0;
}

static int on_text(void *data, const char *path, const char *text, size_t size, struct error *err)
{
    struct azure_document *document = data;
    (void)size, (void)err;
    if (strcmp(path, "Error/Code") == 0) {
        snprintf(document->code, sizeof document->code, "%s", text);
        utf8_clean(document->code);
    } else if (strcmp(path, "Error/Message") == 0) {
        /* behind the first line stand the request's id and the time */
        snprintf(document->message, sizeof document->message, "%.*s", (int)strcspn(text, "\r\n"), text);
        utf8_clean(document->message);
    }
    return 0;
}

void azure_document_read(const char *body, size_t size, struct azure_document *ret)
{
    static const struct xml_events events = {.on_start = on_start, .on_text = on_text};
    *ret = (struct azure_document){0};
    if (xml_parse(body, size, size, &events, ret, NULL) < 0)
        *ret = (struct azure_document){0};
}
