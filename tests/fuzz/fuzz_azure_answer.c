/* What Azure's token services answer: a token that can be sent, or an error that doesn't repeat it. */
#include <string.h>

#include "auth/azure_answer.h"
#include "auth/secret.h"
#include "fuzz.h"

enum { NOW_MS = 1000000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct azure_token token = {0};
    struct error err = {0};
    int rc = azure_answer_read("test", (const char *)data, size, NOW_MS, &token, &err);
    MUST((rc == 0) == (token.text != NULL));
    if (rc == 0) {
        MUST(token.expires_at_ms > 0 && token.text[0] != '\0');
        for (const char *at = token.text; *at; at++)
            MUST((unsigned char)*at > ' ' && (unsigned char)*at < 0x7f);
        secret_free(token.text);
    } else
        MUST(rc == err.code && strstr(err.message, "SECRET0") == NULL);
    err = (struct error){0};
    rc = azure_answer_refused("test", 400, (const char *)data, size, true, &err);
    MUST(rc < 0 && rc == err.code && strstr(err.message, "SECRET0") == NULL);
    return 0;
}
