#include "base/percent.h"

static bool is_plain(char c, bool keep_slash)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '~' || (c == '/' && keep_slash);
}

void percent_encode(struct strbuf *out, const char *text, size_t n, bool keep_slash)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t i = 0;
    while (i < n) {
        size_t from = i;
        while (i < n && is_plain(text[i], keep_slash))
            i++;
        strbuf_append(out, text + from, i - from);
        for (; i < n && !is_plain(text[i], keep_slash); i++) {
            unsigned char c = (unsigned char)text[i];
            strbuf_append(out, (char[]){'%', hex[c >> 4], hex[c & 15]}, 3);
        }
    }
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool percent_decode(struct strbuf *out, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (text[i] != '%') {
            strbuf_putc(out, text[i]);
            continue;
        }
        int high = i + 2 < n ? hex_digit(text[i + 1]) : -1;
        int low = high < 0 ? -1 : hex_digit(text[i + 2]);
        if (low < 0 || (high | low) == 0)
            return false;
        strbuf_putc(out, (char)(high << 4 | low));
        i += 2;
    }
    return true;
}
