/* The text of a secret for Azure: what was accepted can be used, what was refused isn't repeated. */
#include <string.h>
#include <strings.h>

#include "auth/azure_credentials.h"
#include "fuzz.h"

static void must_be_clean(const char *text)
{
    MUST(text != NULL && text[0] != '\0');
    for (; *text; text++)
        MUST((unsigned char)*text > ' ' && *text != 0x7f);
}

static void must_be_usable(const struct azure_credentials *c)
{
    MUST(strcmp(c->source, "env:X") == 0 && strlen(c->id) == AZURE_CREDENTIALS_ID_SIZE - 1);
    MUST(c->expires_at_ms == 0 || c->expires_at_ms > 1000);
    if (c->account)
        must_be_clean(c->account);
    if (c->endpoint)
        MUST(strncasecmp(c->endpoint, "http", 4) == 0 && c->endpoint[strlen(c->endpoint) - 1] != '/');
    switch (c->kind) {
    case AZURE_SHARED_KEY:
        MUST(c->account != NULL && c->key_size > 0);
        break;
    case AZURE_SAS:
        must_be_clean(c->sas);
        MUST(c->sas[0] != '?' && strchr(c->sas, '#') == NULL);
        break;
    case AZURE_BEARER:
        must_be_clean(c->token);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct azure_credentials_ask ask = {.endpoint = "https://acc.blob.core.windows.net"};
    struct azure_credentials *c = NULL;
    struct error err = {0};
    char *text = malloc(size + 1);
    MUST(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    int rc = azure_credentials_parse(text, "env:X", &ask, 1000, &c, &err);
    free(text); /* what was read stands in memory of its own */
    if (rc) {
        MUST(c == NULL && rc == err.code && err.message[0] != '\0');
        MUST(strstr(err.message, "SECRET0") == NULL);
        return 0;
    }
    must_be_usable(c);
    azure_credentials_free(c);
    return 0;
}
