#include "storage/object/endpoint.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool valid_port(const char *text)
{
    size_t n = strlen(text);
    return n > 0 && n <= 5 && strspn(text, "0123456789") == n && atoi(text) >= 1 && atoi(text) <= 65535;
}

static bool valid_host(const char *host, size_t n)
{
    static const char name[] = "abcdefghijklmnopqrstuvwxyz0123456789.-_";
    static const char ip6[] = "0123456789abcdef:.";
    if (n == 0 || n > 253)
        return false;
    if (*host == '[')
        return n > 3 && host[n - 1] == ']' && strspn(host + 1, ip6) == n - 2;
    return strspn(host, name) >= n && isalnum((unsigned char)*host);
}

/* "" or "/a/b": what needs no encoding in a URL, and no component that a server would resolve. */
static bool valid_path(const char *path)
{
    static const char may[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_~.";
    while (*path == '/') {
        size_t n = strspn(++path, may);
        if (n == 0 || strspn(path, ".") == n)
            return false;
        path += n;
    }
    return *path == '\0';
}

bool object_endpoint_parse(const char *text, struct object_endpoint *ret)
{
    struct object_endpoint out = {0};
    bool https = strncasecmp(text, "https://", 8) == 0;
    if (!https && strncasecmp(text, "http://", 7) != 0)
        return false;
    size_t scheme = https ? 8 : 7;
    size_t n = scheme + strcspn(text + scheme, "/");
    size_t path = strlen(text + n);
    if (path > 0 && text[n + path - 1] == '/')
        path--;
    if (n >= sizeof out.scheme_host || path >= sizeof out.path)
        return false;
    for (size_t i = 0; i < n; i++)
        out.scheme_host[i] = (char)tolower((unsigned char)text[i]);
    memcpy(out.path, text + n, path);
    const char *host = out.scheme_host + scheme;
    size_t host_size = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    if (host_size > strlen(host) || !valid_host(host, host_size) || !valid_path(out.path))
        return false;
    char *port = out.scheme_host + scheme + host_size;
    if (*port != '\0' && (*port != ':' || !valid_port(port + 1)))
        return false;
    if (*port && atoi(port + 1) == (https ? 443 : 80))
        *port = '\0';
    out.https = https;
    *ret = out;
    return true;
}
