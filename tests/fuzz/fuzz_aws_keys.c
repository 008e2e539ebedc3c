/* The text of a secret with AWS keys: what was accepted can be signed with, what was refused isn't repeated.
 */
#include <string.h>

#include "auth/aws_credentials.h"
#include "fuzz.h"

static void must_be_clean(const char *text)
{
    for (; *text; text++)
        MUST((unsigned char)*text > ' ' && *text != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct aws_credentials c;
    char *memory;
    struct error err = {0};
    char *text = malloc(size + 1);
    MUST(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    int rc = aws_credentials_parse(text, "env:X", &c, &memory, &err);
    free(text); /* what was read stands in memory of its own */
    if (rc) {
        MUST(rc == err.code && err.message[0] != '\0' && strstr(err.message, "SECRET0") == NULL);
        return 0;
    }
    MUST(c.access_key_id[0] != '\0' && c.secret_access_key[0] != '\0');
    MUST(c.session_token == NULL || c.session_token[0] != '\0');
    MUST(strcmp(c.source, "env:X") == 0 && c.expires_at_ms == 0);
    must_be_clean(c.access_key_id);
    must_be_clean(c.secret_access_key);
    must_be_clean(c.session_token ? c.session_token : "");
    aws_credentials_memory_free(memory);
    return 0;
}
