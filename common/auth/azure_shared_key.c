/*
 * The string to sign:
 *
 *   VERB LF
 *   eleven headers' values, each with LF, empty where not sent
 *   name:value LF for each x-ms- header, sorted
 *   /ACCOUNT/PATH, and LF name:value for each name of the query, sorted
 *
 * Names of headers are sorted as bytes. The service sorts them by rules of its own where letters, digits and
 * '-' meet in one place; drivers use names where no rule differs.
 */
#include "auth/azure_shared_key.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const signed_headers[] = {
    "Content-Encoding",  "Content-Language", "Content-Length", /* the request's own */
    "Content-MD5",       "Content-Type",     "Date",           /* empty: x-ms-date is always sent */
    "If-Modified-Since", "If-Match",         "If-None-Match",  "If-Unmodified-Since", "Range",
};
enum { CONTENT_LENGTH = 2, DATE = 5, SIGNED_HEADERS = sizeof signed_headers / sizeof *signed_headers };

static const char prefix[] = "x-ms-";
enum { PREFIX_SIZE = sizeof prefix - 1, SIGNATURE_SIZE = 32 };

typedef const struct azure_shared_key_pair *pair;

static const char *value_of(pair p)
{
    return p->value ? p->value : "";
}

static bool is_x_ms(pair header)
{
    return strncasecmp(header->name, prefix, PREFIX_SIZE) == 0;
}

static void append_lower(struct strbuf *out, const char *text)
{
    for (; *text; text++)
        strbuf_putc(out, (char)tolower((unsigned char)*text));
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void append_trimmed(struct strbuf *out, const char *text)
{
    while (is_blank(*text))
        text++;
    size_t n = strlen(text);
    while (n > 0 && is_blank(text[n - 1]))
        n--;
    strbuf_append(out, text, n);
}

/* ---- what can't be signed ---- */

static bool has_line_break(const char *text)
{
    return strpbrk(text, "\r\n") != NULL;
}

static int check_headers(const struct azure_shared_key_request *r, struct error *err)
{
    bool dated = false;
    for (int i = 0; i < r->n_headers; i++) {
        pair header = &r->headers[i];
        if (has_line_break(header->name) || has_line_break(value_of(header)))
            return error_set(err, ERROR_INPUT, false, "a line break in a header that is to be signed");
        dated = dated || strcasecmp(header->name, "x-ms-date") == 0;
        for (int j = 0; j < i; j++) {
            if (strcasecmp(header->name, r->headers[j].name) == 0)
                return error_set(err, ERROR_INPUT, false, "the header %.60s twice", header->name);
        }
    }
    return dated ? 0 : error_set(err, ERROR_INPUT, false, "no x-ms-date among the headers");
}

static int check(const struct azure_shared_key_request *r, struct error *err)
{
    if (r->n_headers > AZURE_SHARED_KEY_MAX_HEADERS || r->n_query > AZURE_SHARED_KEY_MAX_QUERY)
        return error_set(err, ERROR_LIMIT, false, "more than %d headers or %d parameters to sign",
                         AZURE_SHARED_KEY_MAX_HEADERS, AZURE_SHARED_KEY_MAX_QUERY);
    for (int i = 0; i < r->n_query; i++) {
        if (has_line_break(r->query[i].name) || has_line_break(value_of(&r->query[i])))
            return error_set(err, ERROR_INPUT, false, "a line break in a query that is to be signed");
    }
    return check_headers(r, err);
}

/* ---- the string to sign ---- */

static void write_signed_headers(const struct azure_shared_key_request *r, struct strbuf *out)
{
    for (int i = 0; i < SIGNED_HEADERS; i++) {
        if (i == CONTENT_LENGTH && r->content_length > 0)
            strbuf_printf(out, "%llu", (unsigned long long)r->content_length);
        for (int j = 0; j < r->n_headers && i != CONTENT_LENGTH && i != DATE; j++) {
            if (strcasecmp(r->headers[j].name, signed_headers[i]) == 0)
                append_trimmed(out, value_of(&r->headers[j]));
        }
        strbuf_putc(out, '\n');
    }
}

static int by_name(const void *a, const void *b)
{
    return strcasecmp((*(const pair *)a)->name, (*(const pair *)b)->name);
}

/* By name, and those of one name by value. */
static int by_name_and_value(const void *a, const void *b)
{
    int order = by_name(a, b);
    return order ? order : strcmp(value_of(*(const pair *)a), value_of(*(const pair *)b));
}

static void write_x_ms_headers(const struct azure_shared_key_request *r, struct strbuf *out)
{
    pair sorted[AZURE_SHARED_KEY_MAX_HEADERS];
    size_t n = 0;
    for (int i = 0; i < r->n_headers; i++) {
        if (is_x_ms(&r->headers[i]))
            sorted[n++] = &r->headers[i];
    }
    qsort(sorted, n, sizeof *sorted, by_name);
    for (size_t i = 0; i < n; i++) {
        append_lower(out, sorted[i]->name);
        strbuf_putc(out, ':');
        append_trimmed(out, value_of(sorted[i]));
        strbuf_putc(out, '\n');
    }
}

static void write_resource(const struct azure_shared_key_request *r, struct strbuf *out)
{
    pair sorted[AZURE_SHARED_KEY_MAX_QUERY];
    size_t n = (size_t)r->n_query;
    for (size_t i = 0; i < n; i++)
        sorted[i] = &r->query[i];
    qsort(sorted, n, sizeof *sorted, by_name_and_value);
    strbuf_printf(out, "/%s%s", r->account, r->path);
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && by_name(&sorted[i - 1], &sorted[i]) == 0)
            strbuf_putc(out, ',');
        else {
            strbuf_putc(out, '\n');
            append_lower(out, sorted[i]->name);
            strbuf_putc(out, ':');
        }
        strbuf_puts(out, value_of(sorted[i]));
    }
}

static void write_string_to_sign(const struct azure_shared_key_request *r, struct strbuf *out)
{
    strbuf_puts(out, r->method);
    strbuf_putc(out, '\n');
    write_signed_headers(r, out);
    write_x_ms_headers(r, out);
    write_resource(r, out);
}

/* ---- the signature ---- */

static int write_authorization(const struct azure_shared_key_request *r, const struct strbuf *text,
                               struct strbuf *out, struct error *err)
{
    unsigned char mac[EVP_MAX_MD_SIZE], encoded[4 * ((SIGNATURE_SIZE + 2) / 3) + 1];
    unsigned mac_size = 0;
    if (HMAC(EVP_sha256(), r->key, (int)r->key_size, (const unsigned char *)strbuf_cstr(text), text->size,
             mac, &mac_size) == NULL ||
        mac_size != SIGNATURE_SIZE)
        return error_set(err, ERROR_SYSTEM, true, "libcrypto can't sign with HMAC-SHA256");
    EVP_EncodeBlock(encoded, mac, SIGNATURE_SIZE);
    strbuf_printf(out, "SharedKey %s:%s", r->account, (const char *)encoded);
    return out->failed ? error_set(err, ERROR_LIMIT, false, "the signature is too long, or memory is out")
                       : 0;
}

int azure_shared_key_sign(const struct azure_shared_key_request *request, struct strbuf *ret_authorization,
                          struct strbuf *string_to_sign, struct error *err)
{
    struct strbuf text;
    int rc = check(request, err);
    if (rc)
        return rc;
    strbuf_init(&text, AZURE_SHARED_KEY_MAX_TEXT);
    write_string_to_sign(request, &text);
    if (text.failed)
        rc = error_set(err, ERROR_LIMIT, false, "more than %d bytes to sign, or memory is out",
                       AZURE_SHARED_KEY_MAX_TEXT);
    else
        rc = write_authorization(request, &text, ret_authorization, err);
    if (rc == 0 && string_to_sign)
        strbuf_puts(string_to_sign, strbuf_cstr(&text));
    if (text.data)
        explicit_bzero(text.data, text.capacity); /* a customer's key may be among the headers */
    strbuf_deinit(&text);
    return rc;
}
