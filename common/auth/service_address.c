#include "auth/service_address.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

/* What may stand behind a host: nothing, or a port. */
static bool is_port(const char *text, size_t size)
{
    for (size_t i = 1; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
    }
    return size == 0 || text[0] == ':';
}

bool service_address_host(const char *authority, size_t size, char ret[SERVICE_HOST_SIZE])
{
    const char *host = authority, *end = memchr(authority, ':', size);
    if (size > 0 && *authority == '[') {
        host++;
        end = memchr(authority, ']', size);
        if (end == NULL)
            return false;
    }
    size_t n = end ? (size_t)(end - host) : size;
    const char *rest = host + n + (host > authority); /* behind ']' */
    if (n == 0 || n >= SERVICE_HOST_SIZE || !is_port(rest, (size_t)(authority + size - rest)))
        return false;
    memcpy(ret, host, n);
    ret[n] = '\0';
    return true;
}

bool service_address_is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return memcmp(&v6, &in6addr_loopback, sizeof v6) == 0;
    return strcasecmp(host, "localhost") == 0;
}

static bool is_clean(const char *url)
{
    for (; *url; url++) {
        if ((unsigned char)*url <= ' ' || *url == 0x7f || strchr("@?#\\", *url))
            return false;
    }
    return true;
}

enum service_address service_address_of(const char *url)
{
    bool tls = strncasecmp(url, "https://", 8) == 0;
    if ((!tls && strncasecmp(url, "http://", 7) != 0) || !is_clean(url))
        return SERVICE_ADDRESS_WRONG;
    const char *authority = url + (tls ? 8 : 7);
    char host[SERVICE_HOST_SIZE];
    if (!service_address_host(authority, strcspn(authority, "/"), host))
        return SERVICE_ADDRESS_WRONG;
    if (tls)
        return SERVICE_ADDRESS_HTTPS;
    return service_address_is_loopback(host) ? SERVICE_ADDRESS_HERE : SERVICE_ADDRESS_PLAIN;
}
