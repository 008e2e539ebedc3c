/* A cron expression: accepted ones have their next run later than now, at a whole minute. */
#include <string.h>

#include "base/cron.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct time_zone *utc; /* for the life of the process */
    struct cron cron;
    struct error err = {0};
    MUST(utc != NULL || timezone_load("UTC", &utc, &err) == 0);
    char *text = malloc(size + 1);
    MUST(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    if (cron_parse(text, &cron, &err) == 0) {
        int64_t t = 1735689600; /* 2025-01-01 */
        for (int i = 0; i < 3; i++) {
            int64_t next = cron_next(&cron, utc, t);
            MUST(next > t && next % 60 == 0);
            t = next;
        }
    } else
        MUST(err.code == ERROR_INPUT && !err.retryable && err.message[0] != '\0');
    free(text);
    return 0;
}
