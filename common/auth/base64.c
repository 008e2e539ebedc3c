#include "auth/base64.h"

#include <limits.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define ALPHANUMERIC "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

/* How many '=' end a well-formed text, or -1: libcrypto's decoder lets white space pass, and keeps the
 * padding. */
static int padding_of(const char *text, size_t n, enum base64_alphabet alphabet)
{
    size_t body = strspn(text, alphabet == BASE64_URLSAFE ? ALPHANUMERIC "-_" : ALPHANUMERIC "+/");
    size_t padding = n - body;
    if (n == 0 || n % 4 != 0 || n > INT_MAX || padding > 2 || strspn(text + body, "=") != padding)
        return -1;
    return (int)padding;
}

int base64_decode(const char *text, enum base64_alphabet alphabet, unsigned char **ret, size_t *ret_size)
{
    size_t n = strlen(text);
    int padding = padding_of(text, n, alphabet);
    if (padding < 0)
        return -1;
    unsigned char *standard = malloc(n + 1);
    unsigned char *out = malloc(n / 4 * 3 + 1);
    int size = -1;
    if (standard && out) {
        for (size_t i = 0; i < n; i++)
            standard[i] = (unsigned char)(text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i]);
        size = EVP_DecodeBlock(out, standard, (int)n);
        explicit_bzero(standard, n);
    }
    free(standard);
    if (size < padding) {
        free(out);
        return -1;
    }
    out[size - padding] = '\0';
    *ret = out;
    *ret_size = (size_t)(size - padding);
    return 0;
}

char *base64_encode(const unsigned char *data, size_t size)
{
    char *out = size <= INT_MAX / 2 ? malloc((size + 2) / 3 * 4 + 1) : NULL;
    if (out)
        EVP_EncodeBlock((unsigned char *)out, data, (int)size);
    return out;
}

char *base64_encode_url(const unsigned char *data, size_t size)
{
    char *text = base64_encode(data, size);
    if (text == NULL)
        return NULL;
    for (char *at = text; *at; at++)
        *at = (char)(*at == '+' ? '-' : *at == '/' ? '_' : *at);
    text[strcspn(text, "=")] = '\0';
    return text;
}
