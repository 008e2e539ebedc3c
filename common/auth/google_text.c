#include "auth/google_text.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"

enum { HOST_SIZE = 256, SHORTEST_SECRET = 20 };

bool google_text_is_token(const char *text)
{
    size_t n = 0;
    for (; text[n]; n++) {
        if (n == GOOGLE_TOKEN_MAX || text[n] <= ' ' || text[n] >= 0x7f)
            return false;
    }
    return n > 0;
}

/* ---- addresses ---- */

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_";

/* The host between "//" and a port, path, query or end; false for anything else, a user name above all. */
static bool read_host(const char *authority, char ret[HOST_SIZE])
{
    const char *rest;
    size_t n;
    if (*authority == '[') {
        const char *end = strchr(authority, ']');
        n = end ? (size_t)(end - authority) + 1 : 0;
    } else
        n = strspn(authority, letters);
    if (n == 0 || n >= HOST_SIZE)
        return false;
    memcpy(ret, authority, n);
    ret[n] = '\0';
    rest = authority + n;
    if (*rest == ':')
        rest += 1 + strspn(rest + 1, "0123456789");
    return *rest == '\0' || *rest == '/' || *rest == '?';
}

static bool is_near(const char *host, bool link_local)
{
    struct in_addr address;
    if (strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0)
        return true;
    if (inet_pton(AF_INET, host, &address) != 1)
        return false;
    uint32_t ip = ntohl(address.s_addr);
    return ip >> 24 == 127 || (link_local && ip >> 16 == ((169 << 8) | 254));
}

bool google_text_is_safe_address(const char *url, bool link_local)
{
    char host[HOST_SIZE];
    if (strncmp(url, "https://", 8) == 0)
        return read_host(url + 8, host);
    return strncmp(url, "http://", 7) == 0 && read_host(url + 7, host) && is_near(host, link_local);
}

/* ---- what a peer says ---- */

void google_text_copy_said(const char *text, char *ret, size_t size)
{
    size_t n = 0;
    while (*text) {
        size_t blanks = strspn(text, " \t\r\n"), word = strcspn(text + blanks, " \t\r\n");
        const char *shown = word < SHORTEST_SECRET ? text + blanks : "...";
        size_t length = word < SHORTEST_SECRET ? word : 3;
        if (word == 0 || n + length + 2 > size)
            break;
        if (n > 0)
            ret[n++] = ' ';
        memcpy(ret + n, shown, length);
        n += length;
        text += blanks + word;
    }
    ret[n] = '\0';
    utf8_clean(ret);
}

void google_text_copy_code(const char *text, char *ret, size_t size)
{
    size_t n = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_");
    if (text[n] == '\0' && n < size)
        memcpy(ret, text, n + 1);
    else
        snprintf(ret, size, "...");
}
