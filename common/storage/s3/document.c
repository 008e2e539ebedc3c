#include "storage/s3/document.h"

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "base/xml.h"

static int on_start(void *data, const char *path, struct error *err)
{
    struct s3_document *document = data;
    (void)err;
    if (document->root[0] == '\0')
        snprintf(document->root, sizeof document->root, "%s", path);
    return 0;
}

static int on_text(void *data, const char *path, const char *text, size_t size, struct error *err)
{
    struct s3_document *document = data;
    (void)size, (void)err;
    const struct {
        const char *path;
        char *out;
        size_t size;
    } fields[] = {
        {"Error/Code", document->code, sizeof document->code},
        {"Error/Message", document->message, sizeof document->message},
        {"Error/RequestId", document->request_id, sizeof document->request_id},
        {"Error/Region", document->region, sizeof document->region},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (strcmp(path, fields[i].path) != 0)
            continue;
        snprintf(fields[i].out, fields[i].size, "%s", text);
        utf8_clean(fields[i].out);
    }
    return 0;
}

void s3_document_read(const char *body, size_t size, struct s3_document *ret)
{
    static const struct xml_events events = {.on_start = on_start, .on_text = on_text};
    *ret = (struct s3_document){0};
    if (xml_parse(body, size, size, &events, ret, NULL) < 0)
        *ret = (struct s3_document){0};
}
