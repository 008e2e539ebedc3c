#include "auth/azure_sas.h"

#include <stdio.h>
#include <string.h>

#include "base/percent.h"
#include "base/timestamp.h"

enum { VALUE_SIZE = 64 };

bool azure_sas_is(const char *text)
{
    return text[0] == '?' || strncmp(text, "sig=", 4) == 0 || strstr(text, "&sig=") != NULL;
}

/* The decoded value of the first parameter of that name into ret; false: none, or longer than any of its
 * kind. */
static bool find(const char *query, const char *name, char ret[VALUE_SIZE])
{
    size_t n = strlen(name);
    while (*query) {
        size_t size = strcspn(query, "&");
        if (size > n && query[n] == '=' && strncmp(query, name, n) == 0) {
            struct strbuf value;
            strbuf_init(&value, VALUE_SIZE);
            bool good = percent_decode(&value, query + n + 1, size - n - 1) && !value.failed &&
                        value.size < VALUE_SIZE;
            snprintf(ret, VALUE_SIZE, "%s", good ? strbuf_cstr(&value) : "?");
            strbuf_deinit(&value);
            return true;
        }
        query += size + (query[size] == '&');
    }
    return false;
}

/* "2026-01-02", "2026-01-02T03:04Z", or a whole time. */
static int64_t time_of(const char *text)
{
    char whole[VALUE_SIZE + 16];
    size_t n = strlen(text);
    if (n == strlen("2026-01-02"))
        snprintf(whole, sizeof whole, "%sT00:00:00Z", text);
    else if (n == strlen("2026-01-02T03:04Z") && text[n - 1] == 'Z')
        snprintf(whole, sizeof whole, "%.*s:00Z", (int)n - 1, text);
    else
        snprintf(whole, sizeof whole, "%s", text);
    return timestamp_parse(whole);
}

static bool is_query(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text <= ' ' || (unsigned char)*text >= 0x7f || strchr("#?\"<>\\^`{|}", *text))
            return false;
    }
    return true;
}

int azure_sas_read(const char *text, const char *what, struct azure_sas *ret, struct error *err)
{
    char value[VALUE_SIZE];
    struct azure_sas sas = {.query = text + (text[0] == '?')};
    if (!is_query(sas.query))
        return error_set(err, ERROR_INPUT, false,
                         "%.300s: a character in the SAS token that no query of a URL has", what);
    if (!find(sas.query, "sig", value) || value[0] == '\0')
        return error_set(err, ERROR_INPUT, false, "%.300s: a SAS token without a signature (sig=)", what);
    if (find(sas.query, "se", value)) {
        sas.expires_at_ms = time_of(value);
        if (sas.expires_at_ms <= 0)
            return error_set(err, ERROR_INPUT, false, "%.300s: the SAS token's expiry (se=) isn't a time",
                             what);
    }
    sas.https_only = find(sas.query, "spr", value) && strcmp(value, "https") == 0;
    explicit_bzero(value, sizeof value); /* it held the signature */
    *ret = sas;
    return 0;
}
