/* A profile file: sections and keys aren't empty, nothing has blanks at its ends or a line's end in it, keys
 * are in lower case, values come in the section named last. */
#include <string.h>

#include "base/ini.h"
#include "fuzz.h"

static char section_now[INI_MAX_LINE + 1];

static void must_be_trimmed(const char *text)
{
    size_t n = strlen(text);
    MUST(n <= INI_MAX_LINE && strchr(text, '\n') == NULL);
    MUST(n == 0 || (strchr(" \t\r", text[0]) == NULL && strchr(" \t\r", text[n - 1]) == NULL));
}

static int on_section(void *data, const char *section, struct error *err)
{
    (void)data, (void)err;
    MUST(section[0] != '\0' && strchr(section, ']') == NULL);
    must_be_trimmed(section);
    strcpy(section_now, section);
    return 0;
}

static int on_value(void *data, const char *section, const char *key, const char *value, struct error *err)
{
    (void)data, (void)err;
    MUST(section_now[0] != '\0' && strcmp(section, section_now) == 0);
    MUST(key[0] != '\0' && strpbrk(key, "=ABCDEFGHIJKLMNOPQRSTUVWXYZ") == NULL);
    must_be_trimmed(key);
    must_be_trimmed(value);
    MUST(strstr(value, " #") == NULL && strstr(value, "\t;") == NULL);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct ini_events events = {on_section, on_value};
    struct error err = {0};
    section_now[0] = '\0';
    int rc = ini_parse((const char *)data, size, &events, NULL, &err);
    if (rc)
        MUST(rc == err.code && err.message[0] != '\0');
    return 0;
}
