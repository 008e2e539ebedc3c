/* Long options: the first byte chooses the program, each line is one word of its command line. */
#include <string.h>

#include "base/settings.h"
#include "fuzz.h"

enum { WORDS = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    static const enum settings_program programs[] = {SETTINGS_SCHEDULER, SETTINGS_WORKER, SETTINGS_API,
                                                     SETTINGS_CLI};
    char *text = malloc(size + 1);
    MUST(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    char *argv[WORDS + 2] = {(char[]){"program"}};
    int argc = 1;
    for (char *rest = text + 1, *word; argc <= WORDS && (word = strsep(&rest, "\n")) != NULL;)
        argv[argc++] = word;
    struct settings s = {0};
    struct error err = {0};
    int next = -1;
    int rc = settings_load(&s, programs[data[0] % 4], argc, argv, &next, &err);
    if (rc == 0)
        MUST(next >= 1 && next <= argc);
    else
        MUST(rc == err.code && err.message[0] != '\0' && next == -1);
    settings_deinit(&s);
    free(text);
    return 0;
}
