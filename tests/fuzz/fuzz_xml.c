/* An XML document: starts and ends are balanced, paths grow and shrink by one name, each leaf has one text,
 * bounds hold. What was refused has an error; what was accepted has ended where it began. */
#include <string.h>

#include "base/xml.h"
#include "fuzz.h"

enum { DOCUMENT_MAX = 64 * 1024 };

struct seen {
    char path[XML_MAX_PATH + 1];
    int depth, texts;
    bool leaf;
};

static int on_start(void *data, const char *path, struct error *err)
{
    struct seen *s = data;
    (void)err;
    size_t parent = strlen(s->path);
    MUST(strlen(path) <= XML_MAX_PATH && strncmp(path, s->path, parent) == 0);
    MUST(parent == 0 || path[parent] == '/');
    strcpy(s->path, path);
    s->depth++;
    MUST(s->depth <= XML_MAX_DEPTH);
    s->leaf = true;
    s->texts = 0;
    return 0;
}

static int on_text(void *data, const char *path, const char *text, size_t size, struct error *err)
{
    struct seen *s = data;
    (void)err;
    MUST(s->leaf && strcmp(path, s->path) == 0 && strlen(text) == size && size <= XML_MAX_TEXT);
    s->texts++;
    return 0;
}

static int on_end(void *data, const char *path, struct error *err)
{
    struct seen *s = data;
    (void)err;
    MUST(strcmp(path, s->path) == 0 && s->depth > 0);
    MUST(!s->leaf || s->texts == 1);
    char *slash = strrchr(s->path, '/');
    *(slash ? slash : s->path) = '\0';
    s->depth--;
    s->leaf = false;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct xml_events events = {on_start, on_text, on_end};
    struct seen seen = {0};
    struct error err = {0};
    int rc = xml_parse((const char *)data, size, DOCUMENT_MAX, &events, &seen, &err);
    if (rc == 0)
        MUST(seen.depth == 0 && seen.path[0] == '\0');
    else
        MUST(rc == err.code && err.message[0] != '\0');
    return 0;
}
