#include "auth/google_text.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "auth/service_address.h"
#include "base/utf8.h"

enum { SHORTEST_SECRET = 20 };

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

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_:[]";

/* The host between "//" and a port, path, query or end; false for anything else, a user name above all. What
 * stands behind may be anything: the addresses of service accounts have '@' in their path. */
static bool read_host(const char *authority, char ret[SERVICE_HOST_SIZE])
{
    size_t n = strcspn(authority, "/?"),
           end = *authority == '[' ? strcspn(authority, "]") + 1 : strcspn(authority, ":/?");
    if (strspn(authority, letters) != n || end > n || !service_address_host(authority, n, ret))
        return false;
    return end == n || (authority[end] == ':' && strspn(authority + end + 1, "0123456789") == n - end - 1);
}

static bool is_near(const char *host, bool link_local)
{
    struct in_addr address;
    return service_address_is_loopback(host) || (link_local && inet_pton(AF_INET, host, &address) == 1 &&
                                                 ntohl(address.s_addr) >> 16 == ((169 << 8) | 254));
}

bool google_text_is_safe_address(const char *url, bool link_local)
{
    char host[SERVICE_HOST_SIZE];
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
